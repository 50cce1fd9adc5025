"""Links of transforms, and how a sequence of them is applied to one image.

A link moves pixels (its geometry, a 3x3 matrix), changes their values (its photometry), or both.
Consecutive geometries are multiplied, and the image is resampled once by the product, so that a
chain of five does not blur five times.
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
    """One link of a transform. Both functions get the same key; geometry is applied first.

    Attributes:
        geometry: Function `(key, height, width) -> matrix`, from output pixels to input pixels.
        photometry: Function `(key, image) -> image` of the same shape, in at least float32.
        size: Height and width after geometry; None keeps the input's.
        sampling: Sampling of the warp; None, for matrices that only copy pixels (such as flips),
            takes that of adjacent links.
    """

    geometry: Geometry | None = None
    photometry: Photometry | None = None
    size: tuple[int, int] | None = None
    sampling: Sampling | None = None

    def with_key(self, derive: Callable[[RandomKey], RandomKey]) -> "Link":
        """Returns this link with a key derived from the one it receives."""
        geometry, photometry = self.geometry, self.photometry
        return dataclasses.replace(
            self,
            geometry=geometry and (lambda key, *size: geometry(derive(key), *size)),
            photometry=photometry and (lambda key, image: photometry(derive(key), image)),
        )


@dataclasses.dataclass(frozen=True)
class _Pending:
    """Product of geometries that are not yet applied."""

    matrix: Matrix
    size: tuple[int, int]
    sampling: Sampling | None

    def joins(self, link: Link) -> bool:
        return None in (self.sampling, link.sampling) or self.sampling == link.sampling


@dataclasses.dataclass(frozen=True)
class _Warp:
    """Motion of the pixels of one image under a warp; see `Motion`."""

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
    """Applies links to one image and the fields that move with it, merging consecutive geometries.

    `example` holds the image, in at least float32, and these fields. All slices of a volume move
    alike.
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
    """Warps all fields that have positions in the image."""
    if pending is None:
        return example
    height, width = example["image"].shape[-3:-1]
    warp = _Warp(pending.matrix, (height, width), pending.size, pending.sampling or BILINEAR)
    return move(example, fields, warp, mask_fill=mask_fill)
