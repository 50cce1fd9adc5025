"""Resizing of images inside a program, with the values of Pillow."""

import functools
import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32, UInt8

from jaxvision.checks import check_name
from jaxvision.ops.resizing import resize

Position = Float[np.ndarray, "..."]
Filter = Callable[[Position], Position]

_BITS = 22
"""Pillow's weights are integers, in units of 2**-22."""


def resample(
    images: UInt8[Array, "*batch height width channels"],
    size: tuple[int, int],
    method: str = "bilinear",
) -> UInt8[Array, "*batch new_height new_width channels"]:
    """Resizes 8-bit images to exactly the values of Pillow's `Image.resize`, version 13.

    Older versions round tall images in another order, so that a pixel may differ by 1. Shrinking
    averages over the area of a new pixel, which avoids aliasing. As in Pillow, the arithmetic is in
    integers, so all platforms give the same result. `resize` is the differentiable one.

    Args:
        images: Pixels, 0 to 255.
        size: The new height and width.
        method: A filter of Pillow, "bilinear", "bicubic", "lanczos", "box" or "hamming"; or
            "nearest", the pixel below the center of each new one.

    Raises:
        ValueError: The size is not positive, or the method is unknown.

    >>> resample(jnp.array([0, 255], jnp.uint8).reshape(1, 1, 2, 1), (1, 4)).ravel().tolist()
    [0, 64, 191, 255]
    """
    check_name("method", method, (*_FILTERS, "nearest"))
    if method == "nearest":
        return resize(images, size, "nearest_exact")
    if min(size) < 1:
        raise ValueError(f"size must be a positive height and width, got {size}")
    # Pillow rounds after the first axis, which is the width or, since version 13, the height of
    # images that lose more than twice as many rows as columns.
    rows, columns = images.shape[-3] - size[0], images.shape[-2] - size[1]
    order = [(-2, size[1]), (-3, size[0])]
    for axis, new in reversed(order) if rows > max(0, 2 * columns) else order:
        images = _along(images, axis, new, method)
    return images


def _along(images: Array, axis: int, new: int, method: str) -> Array:
    """Resizes one axis by weighted sums of the pixels that each new pixel covers."""
    old = images.shape[axis]
    if old == new:
        return images
    places, weights = _taps(old, new, method)
    first = images.ndim + axis
    column = (-1, *(1,) * (images.ndim - first - 1))

    def add_tap(total: Array, tap: tuple[Array, Array]) -> tuple[Array, None]:
        place, weight = tap
        seen = jnp.take(images, place, axis=first, mode="clip").astype(jnp.int32)
        return total + seen * weight.reshape(column), None

    # Tap by tap, because the inputs of all taps together are far larger than the image.
    shape = (*images.shape[:first], new, *images.shape[first + 1 :])
    half = jnp.full(shape, 1 << _BITS - 1, jnp.int32)
    total, _ = lax.scan(add_tap, half, (jnp.asarray(places.T), jnp.asarray(weights.T)))
    return jnp.clip(total >> _BITS, 0, 255).astype(jnp.uint8)


@functools.cache
def _taps(
    old: int, new: int, method: str
) -> tuple[Int32[np.ndarray, "new taps"], Int32[np.ndarray, "new taps"]]:
    """The indices and weights of the pixels that each new pixel covers; some weights are 0."""
    support, of_distance = _FILTERS[method]
    scale = old / new
    wide = max(scale, 1.0)
    center = (np.arange(new) + 0.5) * scale
    # Truncation after adding 0.5 rounds positive numbers, as in Pillow.
    start = np.maximum(center - support * wide + 0.5, 0).astype(np.int64)
    stop = np.minimum((center + support * wide + 0.5).astype(np.int64), old)
    places = start[:, None] + np.arange((stop - start).max())
    weights = of_distance((places - center[:, None] + 0.5) * (1 / wide))
    weights = np.where(places < stop[:, None], weights, 0)
    # Pillow sums sequentially; another order differs in the last bit.
    weights = weights / weights.cumsum(axis=1)[:, -1:]
    whole = np.trunc(weights * (1 << _BITS) + np.copysign(0.5, weights))
    return np.minimum(places, old - 1).astype(np.int32), whole.astype(np.int32)


def _box(x: Position) -> Position:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _triangle(x: Position) -> Position:
    return np.maximum(1 - np.abs(x), 0)


def _hamming(x: Position) -> Position:
    inside = np.sinc(x) * (0.54 + 0.46 * np.cos(math.pi * x))
    return np.where(np.abs(x) < 1, inside, 0)


def _cubic(x: Position) -> Position:
    """Keys' cubic filter with slope -1/2, as in Pillow but not in torch."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: Position) -> Position:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


_FILTERS: Mapping[str, tuple[float, Filter]] = {
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _cubic),
    "lanczos": (3.0, _lanczos),
    "box": (0.5, _box),
    "hamming": (1.0, _hamming),
}
"""The support of each filter, and its value at a distance in (new or old) pixels."""
