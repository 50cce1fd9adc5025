"""Transforms: keyed functions of images that chain, batch, and take masks along.

A transform is a sequence of steps. A step moves pixels (its geometry, a 3x3 matrix), changes
their values (its photometry), or does both. Consecutive geometries are multiplied together and
the image is resampled once, by the product, so a chain of five does not blur five times.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxvision.data.augment._common import (
    Image,
    Matrix,
    Number,
    RandomKey,
    check_probability,
    widen,
)
from jaxvision.data.augment.warp import BILINEAR, Sampling, affine_warp, compose

Geometry = Callable[[RandomKey, int, int], Matrix]
Photometry = Callable[[RandomKey, Image], Image]


@dataclasses.dataclass(frozen=True)
class Step:
    """One link of a transform. Both functions get the same key; geometry acts first.

    Attributes:
        geometry: `(key, height, width) -> matrix`, from output pixels to input pixels.
        photometry: `(key, image) -> image` of the same shape, in at least float32.
        size: Height and width of what geometry gives; the input's when None.
        sampling: How geometry is to be sampled; None leaves it to the neighbours in the chain,
            for matrices that only ever copy pixels, like a flip's.
    """

    geometry: Geometry | None = None
    photometry: Photometry | None = None
    size: tuple[int, int] | None = None
    sampling: Sampling | None = None

    def with_key(self, derive: Callable[[RandomKey], RandomKey]) -> "Step":
        """Gives this step under a key made from the one it is handed."""
        geometry, photometry = self.geometry, self.photometry
        return dataclasses.replace(
            self,
            geometry=geometry and (lambda key, *size: geometry(derive(key), *size)),
            photometry=photometry and (lambda key, image: photometry(derive(key), image)),
        )


@dataclasses.dataclass(frozen=True)
class Transform:
    """A random transform of one image or of every image of a batch.

    Call it as `transform(key, images)`: an image of shape (height, width, channels), or a batch
    of them, whose rows get the keys `jax.random.split(key, batch)`. What happens to a row thus
    depends on the key and on its index, not on the other rows nor on how a batch is sharded.
    """

    steps: tuple[Step, ...]

    def __call__(
        self, key: RandomKey, images: Num[Array, "*batch height width channels"]
    ) -> Float[Array, "*batch out_height out_width channels"]:
        """Transforms one image, or each image of a batch by itself.

        Args:
            key: A PRNG key.
            images: Floating images with values in [0, 1], with or without a batch axis.

        Returns:
            The transformed images in the dtype of the given ones; steps compute in at least
            float32.

        Raises:
            TypeError: If the images are not floating.
            ValueError: If there is neither one image nor one batch of them.
        """
        if images.ndim not in (3, 4):
            raise ValueError(
                "expected one image (height, width, channels) or a batch (batch, height, width, "
                f"channels), not an array of shape {images.shape}"
            )
        wide = widen(images)
        if images.ndim == 3:
            return self._one(key, wide).astype(images.dtype)
        keys = jax.random.split(key, images.shape[0])
        return jax.vmap(self._one)(keys, wide).astype(images.dtype)

    def _one(self, key: RandomKey, image: Image) -> Float[Array, "out_height out_width channels"]:
        return _run(self.steps, key, {"image": image}, 0)["image"]

    def matrix(self, key: RandomKey, height: int, width: int) -> Matrix:
        """Gives the whole geometry of a call with this key on one image.

        Args:
            key: The key of that call; for row i of a batch `jax.random.split(key, batch)[i]`.
            height: The image's height.
            width: The image's width.

        Returns:
            The matrix from pixels of the result to pixels of the image; `warp_points` applies
            its inverse to points of the image.

        >>> from jaxvision.data import augment
        >>> augment.random_flip(1.0).matrix(jax.random.key(0), height=8, width=8)
        Array([[-1.,  0.,  7.],
               [ 0.,  1.,  0.],
               [ 0.,  0.,  1.]], dtype=float32)
        """
        total = jnp.eye(3)
        for step in self.steps:
            if step.geometry is not None:
                total = compose(total, step.geometry(key, height, width))
                height, width = step.size or (height, width)
        return total


def geometric(
    geometry: Geometry,
    *,
    size: tuple[int, int] | None = None,
    sampling: Sampling | None = BILINEAR,
) -> Transform:
    """Makes a transform that moves pixels.

    Args:
        geometry: `(key, height, width) -> matrix`, from output pixels to input pixels.
        size: Height and width of the output; the input's when None.
        sampling: How to read between pixels and beyond the border; None for matrices that only
            ever copy pixels, like a flip's.

    Returns:
        The transform.

    >>> swap = geometric(lambda key, height, width: jnp.eye(3)[jnp.array([1, 0, 2])])
    >>> jax.jit(swap)(jax.random.key(0), jnp.arange(4.0).reshape(2, 2, 1))[..., 0]
    Array([[0., 2.],
           [1., 3.]], dtype=float32)
    """
    return Transform((Step(geometry=geometry, size=size, sampling=sampling),))


def photometric(photometry: Photometry) -> Transform:
    """Makes a transform that changes values and leaves pixels where they are.

    Args:
        photometry: `(key, image) -> image` of the same shape; it gets at least float32.

    Returns:
        The transform.

    >>> halve = photometric(lambda key, image: image / 2)
    >>> float(halve(jax.random.key(0), jnp.ones((2, 2, 1))).max())
    0.5
    """
    return Transform((Step(photometry=photometry),))


def chain(*transforms: Transform) -> Transform:
    """Applies transforms one after another, each with a key of its own.

    Neighbours that move pixels, with no change of values between them and with the same
    sampling, become one warp. What one of them would push out of the frame and the next pull
    back in is then still there, where applying them one at a time would show the fill.

    Args:
        *transforms: The transforms, first to last; none at all gives the identity.

    Returns:
        The chained transform.

    >>> from jaxvision.data import augment
    >>> augment_images = augment.chain(augment.random_flip(), augment.random_crop(padding=4))
    >>> jax.eval_shape(augment_images, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    steps = []
    for index, transform in enumerate(transforms):

        def derive(key: RandomKey, index: int = index) -> RandomKey:
            return jax.random.fold_in(key, index)

        steps += [step.with_key(derive) for step in transform.steps]
    return Transform(tuple(steps))


def sometimes(transform: Transform, probability: Number = 0.5) -> Transform:
    """Applies a transform, as a whole, to some images and leaves the others as they are.

    Args:
        transform: A transform that keeps the size of images.
        probability: How often it is applied.

    Returns:
        The transform; with probability 0 it returns images bit for bit.

    Raises:
        ValueError: If the probability lies outside [0, 1], or the transform changes the size.

    >>> from jaxvision.data import augment
    >>> jitter = sometimes(augment.color_jitter(0.4, 0.4, 0.4, 0.1), probability=0.8)
    >>> jax.eval_shape(jitter, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    check_probability(probability)
    if any(step.size is not None for step in transform.steps):
        raise ValueError("sometimes cannot take a transform that sets the size of its result")

    # Every step is handed the same key, so all of them see the same coin.
    def heads(key: RandomKey) -> Array:
        return jax.random.bernoulli(jax.random.fold_in(key, 0), probability)

    def gated(step: Step) -> Step:
        inner = step.with_key(lambda key: jax.random.fold_in(key, 1))
        geometry, photometry = inner.geometry, inner.photometry
        return dataclasses.replace(
            step,
            geometry=geometry
            and (lambda key, *size: jnp.where(heads(key), geometry(key, *size), jnp.eye(3))),
            photometry=photometry
            and (lambda key, image: jnp.where(heads(key), photometry(key, image), image)),
        )

    return Transform(tuple(gated(step) for step in transform.steps))


def apply(
    transform: Transform, key: RandomKey, batch: Mapping[str, Any], *, mask_fill: int = 255
) -> dict[str, Any]:
    """Transforms the images of a batch and, where there is one, the mask that goes with them.

    The mask moves as the image does, read from the nearest pixel; changes of values leave it
    alone. The image becomes exactly what `transform(key, batch["image"])` gives.

    Args:
        transform: The transform.
        key: A PRNG key.
        batch: Holds `image`, floating (batch, height, width, channels), and maybe `mask`,
            integer or bool labels (batch, height, width) or (batch, height, width, masks).
            Other entries are passed on.
        mask_fill: The label of what comes in from beyond the border, where the boundary is
            "constant". The default 255 is the customary label for "ignore"; 0 suits a mask
            whose class 0 is the background.

    Returns:
        The batch, with `image` and `mask` transformed.

    Raises:
        KeyError: If there is no `image`.
        TypeError: If the images are not floating or the mask is not integer or bool.
        ValueError: If shapes do not match, the mask's dtype cannot hold `mask_fill`, or pixels
            are moved in a batch whose `boxes` or `keypoints` would be left behind.

    >>> from jaxvision.data import augment
    >>> batch = {"image": jnp.zeros((2, 8, 8, 3)), "mask": jnp.zeros((2, 8, 8), jnp.uint8)}
    >>> shift = augment.random_translation(0.5, 0.5)
    >>> move = jax.jit(lambda key, batch: apply(shift, key, batch, mask_fill=0))
    >>> sorted(move(jax.random.key(0), batch))
    ['image', 'mask']
    """
    if "image" not in batch:
        raise KeyError(f"the batch has no 'image', only {sorted(batch)}")
    _check_left_behind(transform, batch)
    images = jnp.asarray(batch["image"])
    if images.ndim != 4:
        raise ValueError(
            f"apply takes batches of images (batch, height, width, channels), not {images.shape}"
        )
    fields = {"image": widen(images)}
    if "mask" in batch:
        masks = jnp.asarray(batch["mask"])
        _check_masks(images, masks, mask_fill)
        fields["mask"] = masks if masks.ndim == 4 else masks[..., None]
    keys = jax.random.split(key, images.shape[0])
    moved = jax.vmap(lambda key, fields: _run(transform.steps, key, fields, mask_fill))(
        keys, fields
    )
    result = {**batch, "image": moved["image"].astype(images.dtype)}
    if "mask" in batch:
        result["mask"] = moved["mask"] if masks.ndim == 4 else moved["mask"][..., 0]
    return result


def _check_left_behind(transform: Transform, batch: Mapping[str, Any]) -> None:
    left = [name for name in ("boxes", "keypoints") if name in batch]
    if left and any(step.geometry is not None for step in transform.steps):
        raise ValueError(
            f"this transform moves pixels and would leave {left} behind; move them with "
            "warp_points and Transform.matrix, or take them out of the batch"
        )


def _check_masks(images: Any, masks: Any, mask_fill: int) -> None:
    if masks.ndim not in (3, 4) or masks.shape[:3] != images.shape[:3]:
        raise ValueError(
            f"a mask of shape {masks.shape} does not go with images of shape {images.shape}; it "
            "must be (batch, height, width) or (batch, height, width, masks) as the images are"
        )
    if masks.dtype == jnp.bool_:
        least, most = 0, 1
    elif jnp.issubdtype(masks.dtype, jnp.integer):
        least, most = int(jnp.iinfo(masks.dtype).min), int(jnp.iinfo(masks.dtype).max)
    else:
        raise TypeError(f"a mask must be integer or bool, and this one is {masks.dtype}")
    if not least <= mask_fill <= most:
        raise ValueError(f"a {masks.dtype} mask cannot hold mask_fill={mask_fill}; try mask_fill=0")


@dataclasses.dataclass(frozen=True)
class _Pending:
    """Geometry gathered so far and not yet carried out."""

    matrix: Matrix
    size: tuple[int, int]
    sampling: Sampling | None

    def joins(self, step: Step) -> bool:
        """Whether one sampling serves this and the step."""
        return None in (self.sampling, step.sampling) or self.sampling == step.sampling


def _run(
    steps: tuple[Step, ...], key: RandomKey, fields: dict[str, Array], mask_fill: int
) -> dict[str, Array]:
    """Carries out the steps on one image and what goes with it, runs of geometries at once."""
    pending = None
    for step in steps:
        if step.geometry is not None:
            if pending is not None and not pending.joins(step):
                fields, pending = _move(pending, fields, mask_fill), None
            if pending is None:
                height, width, _ = fields["image"].shape
                pending = _Pending(jnp.eye(3), (height, width), None)
            matrix = compose(pending.matrix, step.geometry(key, *pending.size))
            sampling = pending.sampling or step.sampling
            pending = _Pending(matrix, step.size or pending.size, sampling)
        if step.photometry is not None:
            fields, pending = _move(pending, fields, mask_fill), None
            fields = {**fields, "image": step.photometry(key, fields["image"])}
    return _move(pending, fields, mask_fill)


def _move(pending: _Pending | None, fields: dict[str, Array], mask_fill: int) -> dict[str, Array]:
    """Carries out a warp on everything that has a place in the image."""
    if pending is None:
        return fields
    sampling = pending.sampling or BILINEAR
    samplings = {
        "image": sampling,
        "mask": Sampling("nearest", sampling.boundary, mask_fill),
    }
    return {
        name: affine_warp(value, pending.matrix, size=pending.size, sampling=samplings[name])
        for name, value in fields.items()
    }
