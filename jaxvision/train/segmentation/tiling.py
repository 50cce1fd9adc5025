"""Segmentation of images of any size, tile by tile."""

import functools
import itertools
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Num, UInt8

from jaxvision._labels import IGNORED
from jaxvision.checks import check_count, check_name
from jaxvision.data import to_float
from jaxvision.train.segmentation.views import Apply, Views, with_views
from jaxvision.train.sharding import BATCH_AXIS, data_mesh

PyTree = Any
Output = Literal["classes", "probabilities"]
Pixels = int | tuple[int, int]
"""A size in pixels: one number, or (height, width)."""


def predict_tiled(
    apply: Apply,
    variables: PyTree,
    image: Num[Any, "height width channels"],
    *,
    tile: Pixels = 512,
    overlap: Pixels = 64,
    margin: Pixels | None = None,
    batch_size: int = 4,
    views: Views = "none",
    output: Output = "classes",
) -> UInt8[np.ndarray, "height width"] | Float32[np.ndarray, "height width classes"]:
    """Segments an image of any size tile by tile and blends the tiles.

    Probabilities of overlapping tiles are averaged. The weight of a tile is 0 within `margin`
    pixels of its borders, rises as a squared sine over the rest of the overlap, and is 1 inside; at
    borders of the image it stays 1. The weights at each pixel are normalized to sum to 1.

    The result equals that of the whole image, up to rounding, if no logit depends on pixels more
    than `margin` away and the segmenter is shift-equivariant. A segmenter with strides meets this
    where the starts of tiles (multiples of `tile - overlap`) are multiples of its stride; the last
    tile of each row and column ends at the image border, so its start may be any number.

    Tiles never extend beyond the image; a tile larger than the image is cut to the image. A program
    is compiled for each size of tile, and for each number of tiles below `batch_size`. Tiles run on
    all devices of this process. Memory holds the probabilities of one row of tiles at a time,
    unless they are the output.

    Args:
        apply: `apply(variables, images) -> logits`, with the height and width of the images. It is
            compiled; pass the same function object for every image to compile it once.
        variables: First argument of `apply`, such as the variables of a model.
        image: One image: uint8 and uint16 are scaled to [0, 1] as by `data.to_float`, floats are
            kept. It is only sliced by rows and columns, so it may be a `np.memmap`.
        tile: Height and width of a tile, in pixels.
        overlap: Pixels that neighboring tiles share; less than `tile`.
        margin: Pixels at the border of a tile that get no weight, because the segmenter does not
            see their surroundings; at most half of `overlap`. None takes a quarter of it.
        batch_size: Tiles computed at once, rounded up to a multiple of the devices.
        views: Flips and rotations of each tile to average over; see `with_views`.
        output: `"classes"`, the most probable class of each pixel, or `"probabilities"`.

    Returns:
        Classes, uint8 of shape (height, width), or probabilities, float32 of shape (height, width,
        classes).

    Raises:
        TypeError: The pixels are integers of another type.
        ValueError: The image is empty or does not have three axes, an option is out of range, or
            `apply` changes the size of images, gives NaN, or gives more than the 255 classes of a
            mask.

    Reference: Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation,
    MICCAI 2015, arXiv:1505.04597 (overlapping tiles).

    >>> brightness = lambda variables, images: jnp.concatenate([0 * images, images - 0.5], axis=-1)
    >>> image = np.linspace(0, 1, 50, dtype=np.float32).reshape(1, 50, 1)
    >>> classes = predict_tiled(brightness, {}, image, tile=16, overlap=4)
    >>> classes.shape, int(classes.sum())
    ((1, 50), 25)
    """
    check_name("output", output, ("classes", "probabilities"))
    check_count("batch_size", batch_size, of="tiles")
    height, width = _size(image)
    sizes, overlaps = _pair("tile", tile, least=1), _pair("overlap", overlap, least=0)
    margins = _margins(sizes, overlaps, margin)
    rows = _Axis.cover(height, sizes[0], overlaps[0], margins[0])
    columns = _Axis.cover(width, sizes[1], overlaps[1], margins[1])
    if isinstance(image, jax.Array):
        image = np.asarray(image)  # each slice of a JAX array would compile a program
    band = None
    for row, column, part in _tiles(apply, variables, image, rows, columns, batch_size, views):
        if band is None:
            band = _Band(rows, width, part.shape[2], output)
        band.add(row, columns.starts[column], part)
    assert band is not None  # there is at least one tile
    return band.finish(height)


class _Axis(NamedTuple):
    """Tiles along one axis of an image: their length, starts and weights."""

    length: int
    starts: tuple[int, ...]
    weights: Float32[np.ndarray, "tiles length"]

    @classmethod
    def cover(cls, size: int, tile: int, overlap: int, margin: int) -> "_Axis":
        """Covers an axis of an image; the weights of all tiles sum to 1 at every pixel."""
        length = min(tile, size)
        starts = (*range(0, size - length, tile - overlap), size - length)
        inside = np.arange(length) + 0.5 - margin  # distance of pixel centers from the margin
        share = np.clip(inside / max(overlap - 2 * margin, 1e-9), 0, 1)
        rise = np.sin(np.pi / 2 * share) ** 2
        weights, total = np.ones((len(starts), length)), np.zeros(size)
        for start, weight in zip(starts, weights, strict=True):
            weight *= rise if start > 0 else 1
            weight *= rise[::-1] if start + length < size else 1
            total[start : start + length] += weight
        for start, weight in zip(starts, weights, strict=True):
            weight /= total[start : start + length]
        return cls(length, starts, weights.astype(np.float32))


class _Band:
    """Weighted probabilities summed over one row of tiles, and the finished rows of the result."""

    def __init__(self, rows: _Axis, width: int, num_classes: int, output: Output) -> None:
        height = rows.starts[-1] + rows.length
        self.rows, self.row, self.output = rows, 0, output
        self.sums = np.zeros((rows.length, width, num_classes), np.float32)
        if output == "probabilities":
            self.result = np.empty((height, width, num_classes), np.float32)
        elif num_classes > IGNORED:
            raise ValueError(
                f"apply gave logits of {num_classes} classes, and a mask of uint8 holds "
                f'{IGNORED}: ask for output="probabilities"'
            )
        else:
            self.result = np.empty((height, width), np.uint8)

    def add(self, row: int, left: int, part: Float32[np.ndarray, "height width classes"]) -> None:
        """Adds a tile; rows of tiles must come in order."""
        if row > self.row:
            done = self.rows.starts[row] - self.rows.starts[self.row]
            self.finish(self.rows.starts[row])
            for index in range(len(self.sums) - done):  # one by one, without a copy of the band
                self.sums[index] = self.sums[index + done]
            self.sums[len(self.sums) - done :] = 0
            self.row = row
        self.sums[:, left : left + part.shape[1]] += part

    def finish(self, until: int) -> np.ndarray:
        """Stores the result up to a row of pixels, above which no tile will be added."""
        top = self.rows.starts[self.row]
        sums = self.sums[: until - top]
        self.result[top:until] = sums if self.output == "probabilities" else sums.argmax(axis=2)
        return self.result


def _tiles(
    apply: Apply,
    variables: PyTree,
    image: Num[Any, "height width channels"],
    rows: _Axis,
    columns: _Axis,
    batch_size: int,
    views: Views,
) -> Iterator[tuple[int, int, Float32[np.ndarray, "height width classes"]]]:
    """Yields the row and column of each tile, and its weighted probabilities."""
    places = list(itertools.product(range(len(rows.starts)), range(len(columns.starts))))
    devices = jax.local_devices()[: len(places)]
    mesh = data_mesh(devices)
    size = -(-min(batch_size, len(places)) // len(devices)) * len(devices)
    cut = jax.NamedSharding(mesh, jax.P(BATCH_AXIS))
    variables = jax.device_put(variables, jax.NamedSharding(mesh, jax.P()))

    def corner(place: tuple[int, int]) -> tuple[int, int]:
        return rows.starts[place[0]], columns.starts[place[1]]

    def read(place: tuple[int, int]) -> np.ndarray:
        y, x = corner(place)
        return np.asarray(image[y : y + rows.length, x : x + columns.length])

    def compute(batch: list[tuple[int, int]]) -> tuple[Array, Array]:
        filled = batch + batch[-1:] * (size - len(batch))
        pixels = np.stack([read(place) for place in filled])
        row, column = np.array(filled).T
        placed = jax.device_put((pixels, rows.weights[row], columns.weights[column]), cut)
        return _weighted(variables, *placed, apply=apply, views=views)

    batches = [places[start : start + size] for start in range(0, len(places), size)]
    following = compute(batches[0])
    for number, batch in enumerate(batches):
        parts, is_nan = map(np.asarray, following)
        if number + 1 < len(batches):  # runs while the current tiles are added
            following = compute(batches[number + 1])
        for place, part, nan in zip(batch, parts, is_nan, strict=False):
            if nan:
                y, x = corner(place)
                raise ValueError(
                    f"apply gave NaN for the tile of rows {y} to {y + rows.length} and columns {x} "
                    f"to {x + columns.length}: look at the variables, and at the image there"
                )
            yield *place, part


@functools.partial(jax.jit, static_argnames=("apply", "views"))
def _weighted(
    variables: PyTree,
    tiles: Num[Array, "tiles height width channels"],
    rows: Float[Array, "tiles height"],
    columns: Float[Array, "tiles width"],
    *,
    apply: Apply,
    views: Views,
) -> tuple[Float[Array, "tiles height width classes"], Bool[Array, " tiles"]]:
    """Probabilities times weights, and which tiles contain NaN."""
    probabilities = jnp.exp(with_views(apply, views)(variables, to_float(tiles)))
    weights = rows[:, :, None, None] * columns[:, None, :, None]
    return probabilities * weights, jnp.isnan(probabilities).any(axis=(1, 2, 3))


def _size(image: Any) -> tuple[int, int]:
    shape = np.shape(image)
    if len(shape) != 3 or 0 in shape:
        raise ValueError(
            f"image must be of shape (height, width, channels), none of them 0, got {shape}"
        )
    return shape[0], shape[1]


def _pair(name: str, value: Pixels, *, least: int) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be one number, or a height and a width, got {value!r}")
    for number in pair:
        check_count(name, number, of="pixels", least=least)
    return pair


def _margins(
    sizes: tuple[int, int], overlaps: tuple[int, int], margin: Pixels | None
) -> tuple[int, int]:
    if any(overlap >= size for size, overlap in zip(sizes, overlaps, strict=True)):
        raise ValueError(f"overlap must be less than tile, got {overlaps} and {sizes}")
    if margin is None:
        return overlaps[0] // 4, overlaps[1] // 4
    margins = _pair("margin", margin, least=0)
    if any(2 * each > overlap for each, overlap in zip(margins, overlaps, strict=True)):
        raise ValueError(
            f"margin must be at most half of overlap, got {margins} and {overlaps}: both tiles "
            "that share the overlap have a margin in it"
        )
    return margins
