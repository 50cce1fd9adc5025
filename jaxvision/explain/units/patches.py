"""The patches of a data set to which units respond most."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision.checks import check_count
from jaxvision.explain.receptive_field import FieldGrid

Batch = Any
"""Images (batch, height, width, channels) of JAX or NumPy, or a dict that has them as `image`."""


class Patches(NamedTuple):
    """The strongest responses of each channel over a data set, strongest first.

    Rows that the data set could not fill have the response -inf and the index -1.

    Attributes:
        images: The pixels that the unit sees, of the type of the images.
        responses: Response of the unit.
        indices: Index of the image among those that were read.
        units: Row and column of the unit in the map.
    """

    images: np.ndarray
    responses: Float[np.ndarray, "channels count"]
    indices: Int[np.ndarray, "channels count"]
    units: Int[np.ndarray, "channels count 2"]


def strongest_patches(
    f: Any,
    batches: Iterable[Batch],
    grid: FieldGrid,
    *,
    channels: Sequence[int] | None = None,
    count: int = 9,
) -> Patches:
    """Finds the patches of images to which each channel of a map responds most.

    Images are read once, batch by batch, and only the patches are kept. Of an image a channel takes
    its strongest unit alone, so that patches differ. A patch is what the unit can see, by its exact
    theoretical field; what lies outside of the image is 0.

    Args:
        f: Function from a batch of images to maps (batch, height, width, channels). It takes the
            images as they are, so that normalization belongs to it.
        batches: Batches of images of one size: arrays, or dicts with `image` and, for batches that
            are filled up, a `weight` that is 0 for rows to leave out. A smaller batch compiles `f`
            once more.
        grid: Fields of the units, from `field_grid(f, image_shape)`.
        channels: Channels of the map; None takes all.
        count: Number of patches per channel.

    Returns:
        For each channel, patches of the shape (channels, count, height, width, image channels).

    Raises:
        ValueError: There are no images, `f` does not return maps, the count is below 1, or a
            channel is not in the map.

    Reference: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014,
    arXiv:1311.2901.

    >>> images = np.zeros((2, 4, 4, 1), np.float32)
    >>> images[1, 2, 3] = 5
    >>> grid = FieldGrid(size=(1, 1), stride=(1, 1), start=(0, 0))
    >>> found = strongest_patches(lambda x: x, [images], grid, count=1)
    >>> found.responses.item(), found.indices.item(), found.units[0, 0].tolist()
    (5.0, 1, [2, 3])
    """
    check_count("count", count)
    best: Patches | None = None
    seen = 0
    strongest = jax.jit(lambda images: _strongest(f, images, channels))
    for batch in batches:
        images = np.asarray(batch["image"] if isinstance(batch, Mapping) else batch)
        if len(images) == 0:
            continue
        responses, units = (np.asarray(each) for each in strongest(jnp.asarray(images)))
        if isinstance(batch, Mapping) and "weight" in batch:
            real = np.asarray(batch["weight"]) > 0
            images, responses, units = images[real], responses[:, real], units[:, real]
        if best is None:
            best = _nothing(len(responses), count, grid, images)
        best = _merged(best, responses, units, images, seen, grid)
        seen += len(images)
    if best is None:
        raise ValueError("batches have no images: there is nothing to look for")
    return best


def _strongest(
    f: Any, images: Any, channels: Sequence[int] | None
) -> tuple[Float[Array, "channels batch"], Int[Array, "channels batch 2"]]:
    """The strongest unit of each channel in each image, and its row and column."""
    maps = f(images)
    if getattr(maps, "ndim", None) != 4:
        shape = getattr(maps, "shape", type(maps).__name__)
        raise ValueError(f"f must return maps (batch, height, width, channels), got {shape}")
    width, known = maps.shape[2:]
    chosen = range(known) if channels is None else channels
    outside = [channel for channel in chosen if not 0 <= channel < known]
    if outside or not len(chosen):
        raise ValueError(f"channels must be some of 0 to {known - 1}, got {[*chosen]}")
    flat = maps[..., np.asarray(chosen)].astype(jnp.float32).reshape(len(maps), -1, len(chosen))
    places = flat.argmax(axis=1)
    return flat.max(axis=1).T, jnp.stack(jnp.divmod(places.T, width), axis=-1)


def _nothing(channels: int, count: int, grid: FieldGrid, images: np.ndarray) -> Patches:
    return Patches(
        np.zeros((channels, count, *grid.size, images.shape[3]), images.dtype),
        np.full((channels, count), -np.inf, np.float32),
        np.full((channels, count), -1),
        np.full((channels, count, 2), -1),
    )


def _merged(
    best: Patches,
    responses: np.ndarray,
    units: np.ndarray,
    images: np.ndarray,
    first: int,
    grid: FieldGrid,
) -> Patches:
    """The strongest of those known and of those of a batch; equals stay in the order of images."""
    count = best.responses.shape[1]
    order = np.argsort(-np.concatenate([best.responses, responses], axis=1), axis=1, kind="stable")[
        :, :count
    ]
    merged = Patches(*(each.copy() for each in best))
    for channel, places in enumerate(order):
        for rank, place in enumerate(places):
            if place < count:
                for target, source in zip(merged, best, strict=True):
                    target[channel, rank] = source[channel, place]
                continue
            row = place - count
            unit = units[channel, row]
            merged.images[channel, rank] = cropped(images[row], grid.box(*map(int, unit)))
            merged.responses[channel, rank] = responses[channel, row]
            merged.indices[channel, rank] = first + row
            merged.units[channel, rank] = unit
    return merged


def cropped(image: np.ndarray, box: Any) -> np.ndarray:
    """The part of an image in a box of rows and columns; what lies outside of the image is 0."""
    (top, bottom), (left, right) = box
    height, width, channels = image.shape
    patch = np.zeros((bottom - top, right - left, channels), image.dtype)
    rows = slice(max(top, 0), max(min(bottom, height), 0))
    columns = slice(max(left, 0), max(min(right, width), 0))
    part = image[rows, columns]
    down, across = rows.start - top, columns.start - left
    patch[down : down + part.shape[0], across : across + part.shape[1]] = part
    return patch
