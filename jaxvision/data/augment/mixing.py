"""MixUp and CutMix, which mix the rows of a batch and their labels."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, Shaped

from jaxvision.data.augment._common import Number, RandomKey, check_amount, has_size, widen
from jaxvision.data.augment.erasing import rectangle
from jaxvision.data.fields import kind_of
from jaxvision.data.movement import PLACED


@dataclasses.dataclass(frozen=True, eq=False)
class Mixing:
    """Augmentation that mixes the rows of a batch; made by `mixup` and `cutmix`.

    The batch needs `image` (floating) and `label`: class indices, or distributions over the
    classes. Mixed labels are distributions. Rows of `weight` 0 are padding. They stay unmixed, and
    so do rows whose partner would be padding. Rows whose index is not a class are treated alike;
    their label, and thus their loss, is NaN, or zeros where their weight is 0.

    CutMix pastes masks and maps such as `pixel_weight` too, by the same rectangle; with a mask, the
    batch needs no `label`. MixUp takes neither, because the average of two classes is not a class.
    Other fields with positions in the image cannot be mixed.

    Attributes:
        kind: `"mixup"` or `"cutmix"`.
        alpha: Parameter of the Beta distribution of the shares; 0 mixes nothing.
        num_classes: Number of classes, for labels that are indices.
        per_row: Whether every row draws its own share, rather than one per batch.
    """

    kind: str
    alpha: Number
    num_classes: int | None
    per_row: bool

    def __call__(self, key: RandomKey, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Mixes the rows of a batch.

        Args:
            key: PRNG key.
            batch: Fields by name, as above.

        Returns:
            The batch, with `image`, `label` and, for CutMix, masks and maps mixed.

        Raises:
            KeyError: `image` or `label` is missing.
            TypeError: The images are not floating.
            ValueError: Labels and `num_classes` do not fit, or a field cannot be mixed: boxes,
                volumes and the like, or a field of the images' size and of unknown kind.
        """
        maps = self._maps(batch)
        images, weight = jnp.asarray(batch["image"]), batch.get("weight")
        if images.ndim != 4:
            raise ValueError(
                f"{self.kind} mixes images (batch, height, width, channels), not {images.shape}"
            )
        targets = None
        if "label" in batch:
            targets = _distributions(jnp.asarray(batch["label"]), self.num_classes, weight)
        if targets is not None and self.kind == "mixup":
            return {**batch, **self._average(key, images, targets, weight)}
        return {**batch, **self._paste(key, images, targets, maps, weight)}

    def _maps(self, batch: Mapping[str, Any]) -> dict[str, Array]:
        """Returns the masks and maps to paste; refuses fields that would silently stay unmixed."""
        kinds = ("mask", "map") if self.kind == "cutmix" else ()
        maps = {name: jnp.asarray(batch[name]) for name in batch if kind_of(name) in kinds}
        masked = any(kind_of(name) == "mask" for name in maps)
        if "image" not in batch or not ("label" in batch or masked):
            needs = "'image' and 'label'" + (" or 'mask'" if self.kind == "cutmix" else "")
            raise KeyError(f"{self.kind} needs {needs}, and not only {sorted(batch)}")
        shape = jnp.shape(batch["image"])
        for name in batch.keys() - maps.keys() - {"image"}:
            nameless = kind_of(name) is None and has_size(jnp.shape(batch[name]), shape)
            if nameless or kind_of(name) in PLACED:
                remedy = "give it a name that tells its kind, or " if nameless else ""
                raise ValueError(
                    f"{self.kind} cannot mix {name!r}: {remedy}take it out of the batch"
                )
        for name, each in maps.items():
            if each.ndim not in (3, 4) or each.shape[:3] != shape[:3]:
                raise ValueError(
                    f"{name!r} of shape {each.shape} does not go with images of shape {shape}"
                )
        return maps

    def _average(
        self, key: RandomKey, images: Array, targets: Array, weight: Array | None
    ) -> dict[str, Array]:
        wide = widen(images)
        partner_key, share_key = jax.random.split(key)
        partner, alone = _partners(partner_key, len(images), targets, weight)
        share = _shares(share_key, self.alpha, images.shape[0] if self.per_row else 1)
        share = jnp.where(alone, 1, share)
        image_share = share[:, None, None, None]
        mixed = image_share * wide + (1 - image_share) * wide[partner]
        # Unmixed rows are selected: zero times a partner that is not finite would be NaN.
        mixed = jnp.where(alone[:, None, None, None], wide, mixed)
        return {
            "image": mixed.astype(images.dtype),
            "label": _mix_targets(targets, partner, share),
        }

    def _paste(
        self,
        key: RandomKey,
        images: Array,
        targets: Array | None,
        maps: dict[str, Array],
        weight: Array | None,
    ) -> dict[str, Array]:
        wide = widen(images)
        batch, height, width, _ = images.shape
        partner_key, share_key, box_key = jax.random.split(key, 3)
        partner, alone = _partners(partner_key, batch, targets, weight)
        count = batch if self.per_row else 1
        shares = _shares(share_key, self.alpha, count)
        pasted = jax.vmap(lambda key, share: _cut(key, share, height, width))(
            jax.random.split(box_key, count), shares
        )
        pasted = pasted & ~alone[:, None, None, None]
        mixed = {"image": jnp.where(pasted, wide[partner], wide).astype(images.dtype)}
        if targets is not None:
            kept = 1 - pasted.mean(axis=(1, 2, 3), dtype=targets.dtype)
            mixed["label"] = _mix_targets(targets, partner, kept)
        for name, each in maps.items():
            where = pasted if each.ndim == 4 else pasted[..., 0]
            mixed[name] = jnp.where(where, each[partner], each)
        return mixed


def mixup(alpha: Number, *, num_classes: int | None = None, per_row: bool = False) -> Mixing:
    """Averages each image with another of the batch, and their labels in the same proportion.

    Partners come from a random permutation, so every row is used once as a partner.

    Args:
        alpha: Parameter of the shares' distribution, Beta(alpha, alpha); 0 mixes nothing.
        num_classes: Number of classes, for labels that are indices.
        per_row: Whether every row draws its own share; the paper draws one per batch.

    Returns:
        A function of batches; see `Mixing`.

    Raises:
        ValueError: `alpha` is negative.

    Reference: Zhang et al., mixup: Beyond empirical risk minimization, ICLR 2018, arXiv:1710.09412

    >>> batch = {"image": jnp.zeros((4, 8, 8, 3)), "label": jnp.array([0, 1, 2, 0])}
    >>> mixed = jax.jit(mixup(0.2, num_classes=3))(jax.random.key(0), batch)
    >>> mixed["image"].shape, mixed["label"].shape
    ((4, 8, 8, 3), (4, 3))
    """
    check_amount("alpha", alpha)
    return Mixing("mixup", alpha, num_classes, per_row)


def cutmix(alpha: Number = 1.0, *, num_classes: int | None = None, per_row: bool = False) -> Mixing:
    """Pastes a rectangle of another image into each image, and mixes the labels by its exact area.

    The rectangle has the image's aspect ratio and 1 - share of its area, with the share drawn from
    Beta(alpha, alpha). Its center is uniform over the image, and it is clipped at the border;
    labels are mixed by the pixels that were pasted. Masks are pasted likewise; with a mask, the
    batch needs no `label`.

    Args:
        alpha: Parameter of the Beta distribution; 0 mixes nothing.
        num_classes: Number of classes, for labels that are indices.
        per_row: Whether every row draws its own rectangle; the paper draws one per batch.

    Returns:
        A function of batches; see `Mixing`.

    Raises:
        ValueError: `alpha` is negative.

    Reference: Yun et al., CutMix: Regularization strategy to train strong classifiers with
    localizable features, ICCV 2019, arXiv:1905.04899

    >>> batch = {"image": jnp.zeros((4, 8, 8, 3)), "label": jnp.array([0, 1, 2, 0])}
    >>> mixed = jax.jit(cutmix(num_classes=3))(jax.random.key(0), batch)
    >>> mixed["image"].shape, mixed["label"].shape
    ((4, 8, 8, 3), (4, 3))
    """
    check_amount("alpha", alpha)
    return Mixing("cutmix", alpha, num_classes, per_row)


def _distributions(
    labels: Num[Array, "batch *classes"],
    num_classes: int | None,
    weight: Num[Array, " batch"] | None,
) -> Float[Array, "batch classes"]:
    indices = jnp.issubdtype(labels.dtype, jnp.integer)
    if indices and labels.ndim == 1:
        if num_classes is None:
            raise ValueError("labels are class indices; say how many classes: num_classes=...")
        targets = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
        void = (labels < 0) | (labels >= num_classes)
        if weight is not None:
            void &= weight != 0
        return jnp.where(void[:, None], jnp.nan, targets)
    if indices or labels.ndim != 2:
        raise ValueError(
            "labels must be integer class indices (batch,) or floating distributions (batch, "
            f"classes), not {labels.dtype} of shape {labels.shape}"
        )
    if num_classes not in (None, labels.shape[1]):
        raise ValueError(f"num_classes={num_classes}, but labels are over {labels.shape[1]}")
    return labels.astype(jnp.promote_types(labels.dtype, jnp.float32))


def _partners(
    key: RandomKey,
    count: int,
    targets: Float[Array, "batch classes"] | None,
    weight: Num[Array, " batch"] | None,
) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """Returns the partner of each row, and which rows stay unmixed."""
    partner = jax.random.permutation(key, count)
    kept_out = jnp.zeros(count, bool) if targets is None else jnp.isnan(targets).any(axis=1)
    if weight is not None:
        kept_out |= weight == 0
    return partner, kept_out | kept_out[partner]


def _shares(key: RandomKey, alpha: Number, count: int) -> Float[Array, " count"]:
    if alpha == 0:
        return jnp.ones(count, jnp.float32)
    return jax.random.beta(key, alpha, alpha, (count,), jnp.float32)


def _cut(
    key: RandomKey, share: Float[Array, ""], height: int, width: int
) -> Bool[Array, "height width 1"]:
    """Marks a rectangle with a random center and 1 - share of the area, before clipping."""
    row_key, column_key = jax.random.split(key)
    side = jnp.sqrt(1 - share)

    def bounds(key: RandomKey, length: int) -> tuple[Array, Array]:
        middle = jax.random.randint(key, (), 0, length)
        half = (side * length).astype(jnp.int32) // 2
        return middle - half, middle + half

    return rectangle(height, width, rows=bounds(row_key, height), columns=bounds(column_key, width))


def _mix_targets(
    targets: Float[Array, "batch classes"],
    partner: Int[Array, " batch"],
    share: Shaped[Array, "#batch"],
) -> Float[Array, "batch classes"]:
    share = share[:, None].astype(targets.dtype)
    # Unmixed rows are selected, so that they do not get the NaN of their partner.
    return jnp.where(share == 1, targets, share * targets + (1 - share) * targets[partner])
