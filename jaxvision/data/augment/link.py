"""Links of transforms, and how a sequence of them is carried out on one image.

A link moves pixels (its geometry, a 3x3 matrix), changes their values (its photometry), or does
both. Consecutive geometries are multiplied together and the image is resampled once, by the
product, so a chain of five does not blur five times.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array

from jaxvision.data.augment._common import Image, Matrix, RandomKey
from jaxvision.data.augment.warp import BILINEAR, Sampling, affine_warp, compose, warp_points
from jaxvision.data.fields import Fields
from jaxvision.data.movement import move

Geometry = Callable[[RandomKey, int, int], Matrix]
Photometry = Callable[[RandomKey, Image], Image]


@dataclasses.dataclass(frozen=True)
class Link:
    """One link of a transform. Both functions get the same key; geometry acts first.

    Attributes:
        geometry: `(key, height, width) -> matrix`, from output pixels to input pixels.
        photometry: `(key, image) -> image` of the same shape, in at least float32.
        size: Height and width of what geometry gives; the input's when None.
        sampling: How geometry is to be sampled; None leaves it to the neighbors in the chain,
            for matrices that only ever copy pixels, like a flip's.
    """

    geometry: Geometry | None = None
    photometry: Photometry | None = None
    size: tuple[int, int] | None = None
    sampling: Sampling | None = None

    def with_key(self, derive: Callable[[RandomKey], RandomKey]) -> "Link":
        """Gives this link under a key made from the one it is handed."""
        geometry, photometry = self.geometry, self.photometry
        return dataclasses.replace(
            self,
            geometry=geometry and (lambda key, *size: geometry(derive(key), *size)),
            photometry=photometry and (lambda key, image: photometry(derive(key), image)),
        )


@dataclasses.dataclass(frozen=True)
class _Pending:
    """Geometry gathered so far and not yet carried out."""

    matrix: Matrix
    size: tuple[int, int]
    sampling: Sampling | None

    def joins(self, link: Link) -> bool:
        """Whether one sampling serves this and the link."""
        return None in (self.sampling, link.sampling) or self.sampling == link.sampling


@dataclasses.dataclass(frozen=True)
class _Warp:
    """How a warp moves the pixels of one image; see `Motion`."""

    matrix: Matrix
    old: tuple[int, int]
    new: tuple[int, int]
    sampling: Sampling

    def resample(self, pixels: Array, *, nearest: bool, fill: int | None) -> Array:
        sampling = self.sampling
        if fill is not None:
            sampling = dataclasses.replace(sampling, fill=fill)
        if nearest:
            sampling = Sampling("nearest", sampling.boundary, sampling.fill)
        return affine_warp(pixels, self.matrix, size=self.new, sampling=sampling)

    def points(self, points: Array) -> Array:
        return warp_points(points, self.matrix)


def run_links(
    links: tuple[Link, ...],
    key: RandomKey,
    example: dict[str, Array],
    fields: Fields,
    mask_fill: int,
) -> dict[str, Array]:
    """Carries out links on one image and what goes with it, consecutive geometries at once.

    Where the image is a volume, geometry moves all of its slices alike.

    Args:
        links: What is done, in this order.
        key: What all of them draw from.
        example: The image, in at least float32, and all else that has a place in it.
        fields: What these are, by name.
        mask_fill: The class of mask pixels that come in from beyond the border.

    Returns:
        The example, transformed.
    """
    pending = None
    for link in links:
        if link.geometry is not None:
            if pending is not None and not pending.joins(link):
                example, pending = _move(pending, example, fields, mask_fill), None
            if pending is None:
                height, width = example["image"].shape[-3:-1]
                pending = _Pending(jnp.eye(3), (height, width), None)
            matrix = compose(pending.matrix, link.geometry(key, *pending.size))
            sampling = pending.sampling or link.sampling
            pending = _Pending(matrix, link.size or pending.size, sampling)
        if link.photometry is not None:
            example, pending = _move(pending, example, fields, mask_fill), None
            example = {**example, "image": link.photometry(key, example["image"])}
    return _move(pending, example, fields, mask_fill)


def _move(
    pending: _Pending | None, example: dict[str, Array], fields: Fields, mask_fill: int
) -> dict[str, Array]:
    """Carries out a warp on everything that has a place in the image."""
    if pending is None:
        return example
    height, width = example["image"].shape[-3:-1]
    warp = _Warp(pending.matrix, (height, width), pending.size, pending.sampling or BILINEAR)
    return move(example, fields, warp, mask_fill=mask_fill)
