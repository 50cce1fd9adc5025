"""Transforms: keyed functions of batches that can be chained and move all fields with the image.

A transform is a sequence of links, which are applied together; see `link`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, overload, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxvision._labels import IGNORED
from jaxvision.data.augment._common import (
    Image,
    Matrix,
    Number,
    RandomKey,
    check_probability,
    has_size,
    widen,
)
from jaxvision.data.augment.link import Geometry, Link, Photometry, run_links
from jaxvision.data.augment.warp import BILINEAR, Sampling, compose
from jaxvision.data.fields import Field, Fields, Kind, kind_of, known_fields
from jaxvision.data.movement import PLACED, mark

Batch = Mapping[str, Any]
_NUMBERS = ("image", "volume", "map")
"""Kinds of fields that are interpolated between pixels."""


@runtime_checkable
class Augment(Protocol):
    """Protocol of random changes of a batch: `Transform`, `mixup`, `cutmix`, or a chain of them."""

    def __call__(self, key: RandomKey, batch: Batch, /) -> dict[str, Any]:
        """Changes a batch.

        Args:
            key: PRNG key.
            batch: Fields by name, with the rows along their first axis; images are floating.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Transform:
    """Random transform of images and of all fields that have positions in them.

    `transform(key, batch)` transforms a batch of fields: fields with positions in the image move
    with it (see `data.Kind`), changes of values affect only `image`, and other fields are passed
    on. Volumes, (batch, depth, height, width, channels), move with all slices alike; their values
    cannot be changed. `transform(key, images)` transforms an image of shape (height, width,
    channels), or a batch of them. Row i gets the key `jax.random.split(key, batch)[i]`, so it
    depends on the key and on its index, not on other rows or on sharding.

    Attributes:
        links: Links, applied in this order.
        fields: Fields or kinds by name, for fields whose name does not tell their kind.
        mask_fill: Class of mask pixels from beyond the border, where the boundary is "constant"; 0
            suits masks whose class 0 is the background. None is 255, the usual class for "ignore".
    """

    links: tuple[Link, ...]
    fields: Mapping[str, Field | Kind] = dataclasses.field(default_factory=dict)
    mask_fill: int | None = None

    @overload
    def __call__(self, key: RandomKey, batch: Batch) -> dict[str, Any]: ...

    @overload
    def __call__(
        self, key: RandomKey, batch: Num[Array, "*batch height width channels"]
    ) -> Float[Array, "*batch out_height out_width channels"]: ...

    def __call__(self, key: RandomKey, batch: Any) -> Any:
        """Transforms a batch of fields, one image, or each image of a batch by itself.

        Args:
            key: PRNG key.
            batch: Fields by name, including `image`; or images. Images are floating, with values in
                [0, 1].

        Returns:
            The transformed input, in its types; links compute in at least float32. Fields are added
            that say which of the moved boxes and points are inside the image.

        Raises:
            KeyError: `image` is missing.
            TypeError: Images or maps are not floating, or a mask is neither integer nor bool.
            ValueError: Shapes do not fit, a mask cannot hold `mask_fill`, a field of the images'
                size has no known kind, or values of volumes would be changed.
        """
        if isinstance(batch, Mapping):
            return self._fields(key, batch)
        if batch.ndim not in (3, 4):
            raise ValueError(
                "expected one image (height, width, channels) or a batch (batch, height, width, "
                f"channels), not an array of shape {batch.shape}"
            )
        wide = widen(batch)
        if batch.ndim == 3:
            return self._one(key, wide).astype(batch.dtype)
        keys = jax.random.split(key, batch.shape[0])
        return jax.vmap(self._one)(keys, wide).astype(batch.dtype)

    def _one(self, key: RandomKey, image: Image) -> Float[Array, "out_height out_width channels"]:
        return run_links(self.links, key, {"image": image}, {"image": Field("image")}, 0)["image"]

    def _fields(self, key: RandomKey, batch: Batch) -> dict[str, Any]:
        if "image" not in batch:
            raise KeyError(f"the batch has no 'image', only {sorted(batch)}")
        images = jnp.asarray(batch["image"])
        if images.ndim not in (4, 5):
            raise ValueError(
                "images of a batch must be (batch, height, width, channels), or volumes (batch, "
                f"depth, height, width, channels), not {images.shape}"
            )
        if images.ndim == 5 and any(link.photometry is not None for link in self.links):
            raise ValueError(
                f"volumes can only be moved, for example by a flip, and this transform would "
                f"change the values of volumes of shape {images.shape}: leave such changes out, or "
                "make them in a function of your own"
            )
        given = {name: jnp.asarray(value) for name, value in batch.items()}
        fields = known_fields(
            list(given), {name: each for name, each in self.fields.items() if name in given}
        )
        if images.ndim == 5:
            fields = {**fields, "image": Field("volume")}
        placed = {name: field for name, field in fields.items() if field.kind in PLACED}
        mask_fill = IGNORED if self.mask_fill is None else self.mask_fill
        if self._moves_pixels():
            _check(given, placed, images.shape, mask_fill)
        else:
            placed = {"image": placed["image"]}
        marks = {mark(name, field.kind) for name, field in placed.items()} & given.keys()
        moving = {
            name: widen(given[name]) if fields[name].kind in _NUMBERS else given[name]
            for name in placed
        } | {name: given[name] for name in marks}
        keys = jax.random.split(key, images.shape[0])
        moved = jax.vmap(
            lambda key, example: run_links(self.links, key, example, placed, mask_fill)
        )(keys, moving)
        for name, field in placed.items():
            if field.kind in _NUMBERS:
                moved[name] = moved[name].astype(given[name].dtype)
        return {**batch, **moved}

    def _moves_pixels(self) -> bool:
        return any(link.geometry is not None for link in self.links)

    def matrix(self, key: RandomKey, height: int, width: int) -> Matrix:
        """Returns the combined matrix of a call with this key on one image.

        Args:
            key: Key of that call; for row i of a batch, `jax.random.split(key, batch)[i]`.
            height: Height of the image.
            width: Width of the image.

        Returns:
            Matrix from output pixels to input pixels; `warp_points` applies its inverse to points
            of the image.

        >>> from jaxvision.data import augment
        >>> augment.random_flip(1.0).matrix(jax.random.key(0), height=8, width=8)
        Array([[-1.,  0.,  7.],
               [ 0.,  1.,  0.],
               [ 0.,  0.,  1.]], dtype=float32)
        """
        total = jnp.eye(3)
        for link in self.links:
            if link.geometry is not None:
                total = compose(total, link.geometry(key, height, width))
                height, width = link.size or (height, width)
        return total


def geometric(
    geometry: Geometry,
    *,
    size: tuple[int, int] | None = None,
    sampling: Sampling | None = BILINEAR,
) -> Transform:
    """Makes a transform that moves pixels.

    Args:
        geometry: Function `(key, height, width) -> matrix`, from output pixels to input pixels.
        size: Height and width of the output; None keeps the input's.
        sampling: Sampling between pixels and beyond the border; None for matrices that only copy
            pixels, such as flips.

    >>> swap = geometric(lambda key, height, width: jnp.eye(3)[jnp.array([1, 0, 2])])
    >>> jax.jit(swap)(jax.random.key(0), jnp.arange(4.0).reshape(2, 2, 1))[..., 0]
    Array([[0., 2.],
           [1., 3.]], dtype=float32)
    """
    return Transform((Link(geometry=geometry, size=size, sampling=sampling),))


def photometric(photometry: Photometry) -> Transform:
    """Makes a transform that changes values without moving pixels.

    Args:
        photometry: Function `(key, image) -> image` of the same shape; it gets at least float32.

    >>> halve = photometric(lambda key, image: image / 2)
    >>> float(halve(jax.random.key(0), jnp.ones((2, 2, 1))).max())
    0.5
    """
    return Transform((Link(photometry=photometry),))


def sometimes(transform: Transform, probability: Number = 0.5) -> Transform:
    """Applies a whole transform to some images and leaves the others unchanged.

    Args:
        transform: Transform that keeps the size of images.
        probability: Probability of each image to be transformed; 0 returns images bit for bit.

    Raises:
        ValueError: The probability is not in [0, 1], or the transform changes the size.

    >>> from jaxvision.data import augment
    >>> jitter = sometimes(augment.color_jitter(0.4, 0.4, 0.4, 0.1), probability=0.8)
    >>> jax.eval_shape(jitter, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    check_probability(probability)
    if any(link.size is not None for link in transform.links):
        raise ValueError("sometimes cannot take a transform that sets the size of its result")

    # Every link gets the same key, so all of them toss the same coin.
    def heads(key: RandomKey) -> Array:
        return jax.random.bernoulli(jax.random.fold_in(key, 0), probability)

    def gated(link: Link) -> Link:
        inner = link.with_key(lambda key: jax.random.fold_in(key, 1))
        geometry, photometry = inner.geometry, inner.photometry
        return dataclasses.replace(
            link,
            geometry=geometry
            and (lambda key, *size: jnp.where(heads(key), geometry(key, *size), jnp.eye(3))),
            photometry=photometry
            and (lambda key, image: jnp.where(heads(key), photometry(key, image), image)),
        )

    return dataclasses.replace(transform, links=tuple(gated(link) for link in transform.links))


def _check(
    batch: Mapping[str, Array], placed: Fields, shape: tuple[int, ...], mask_fill: int
) -> None:
    """Refuses fields that cannot be moved, or would silently stay unmoved."""
    for name, value in batch.items():
        if name in placed and placed[name].kind == "mask":
            _check_masks(name, shape, value, mask_fill)
        if name in placed and placed[name].kind == "map" and not _is_floating(value):
            raise TypeError(f"a map must be floating, and {name!r} is {value.dtype}")
        unknown = name not in placed and kind_of(name) is None
        if unknown and has_size(value.shape, shape):
            raise ValueError(
                f"{name!r} has the size of the images, and its name does not say whether it is an "
                f"image, a mask or something else: give chain(..., fields={{{name!r}: 'mask'}}) or "
                "another kind"
            )


def _is_floating(value: Array) -> bool:
    return bool(jnp.issubdtype(value.dtype, jnp.floating))


def _check_masks(name: str, shape: tuple[int, ...], masks: Array, mask_fill: int) -> None:
    if len(shape) == 5:
        if masks.shape != shape[:4]:
            raise ValueError(
                f"{name!r} of shape {masks.shape} does not go with volumes of shape {shape}; a "
                "mask must be (batch, depth, height, width) as the volumes are"
            )
    elif masks.ndim not in (3, 4) or masks.shape[:3] != shape[:3]:
        raise ValueError(
            f"{name!r} of shape {masks.shape} does not go with images of shape {shape}; a mask "
            "must be (batch, height, width) or (batch, height, width, masks) as the images are"
        )
    if masks.dtype == jnp.bool_:
        return
    if jnp.issubdtype(masks.dtype, jnp.integer):
        least, most = int(jnp.iinfo(masks.dtype).min), int(jnp.iinfo(masks.dtype).max)
    else:
        raise TypeError(f"a mask must be integer or bool, and {name!r} is {masks.dtype}")
    if not least <= mask_fill <= most:
        raise ValueError(f"a {masks.dtype} mask cannot hold mask_fill={mask_fill}; try mask_fill=0")
