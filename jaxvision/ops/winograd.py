"""Convolutions of 3x3 taps with fewer multiplications, by Winograd's minimal filtering.

A tile of 2x2 outputs sees 4x4 inputs. Sums and differences of these, multiplied by sums of taps,
give the outputs with 16 products per channel and feature instead of 36 (Lavin & Gray, Fast
algorithms for convolutional neural networks, CVPR 2016, arXiv:1509.09308). All factors are 1 or
1/2, so that the results are about as exact as those of a direct sum.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.ops import windows
from jaxvision.ops.windows import Window

Array = jax.Array

_CHUNK_BYTES = 8 * 2**20
"""Size of the transformed inputs and products of a chunk of the batch."""


def winograd(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves maps with one group of 3x3 taps, without strides, spread or dilation."""
    channels, features = kernel.shape[2:]
    height, width = windows.size_of_result(x.shape, (3, 3), window)
    (top, bottom), (left, right) = window.pads
    even = Window(pads=((top, bottom + height % 2), (left, right + width % 2)))
    tiles = -(-height // 2) * -(-width // 2)
    at_once = _CHUNK_BYTES // (16 * tiles * (channels + features) * x.dtype.itemsize)
    taps = _transformed_kernel(kernel)
    outputs = windows.by_chunks(
        lambda images: _convolve_tiles(images, taps, window.precision),
        windows.pad(x, even),
        at_once,
    )
    return outputs[:, :height, :width]


def _transformed_kernel(kernel: Array) -> list[list[Array]]:
    """The sums of taps that the products need, 4x4 matrices of channels and features."""
    by_row = _sums_of_taps(kernel)
    return [_sums_of_taps(row) for row in by_row]


def _sums_of_taps(taps: Array) -> list[Array]:
    first, middle, last = taps
    ends = (first + last) / 2
    return [first, ends + middle / 2, ends - middle / 2, last]


def _convolve_tiles(x: Array, taps: list[list[Array]], precision: lax.PrecisionLike) -> Array:
    """Convolves maps of an even height and width without padding."""
    rows = _differences(x, 1)
    products = []
    for row, matrices in zip(rows, taps, strict=True):
        seen = _differences(row, 2)
        pixels = (each.reshape(-1, x.shape[3]) for each in seen)
        products.append(
            _outputs(
                [
                    jnp.dot(each, matrix, precision=precision)
                    for each, matrix in zip(pixels, matrices, strict=True)
                ]
            )
        )
    tall, wide = x.shape[1] // 2 - 1, x.shape[2] // 2 - 1
    columns = [_outputs(list(each)) for each in zip(*products, strict=True)]
    shaped = [[each.reshape(len(x), tall, 1, wide, 1, -1) for each in column] for column in columns]
    rows_of = [jnp.concatenate(each, axis=4) for each in zip(*shaped, strict=True)]
    return jnp.concatenate(rows_of, axis=2).reshape(len(x), 2 * tall, 2 * wide, -1)


def _differences(x: Array, axis: int) -> list[Array]:
    """What tiles of four along an axis become; neighboring tiles share two."""
    pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    even, odd = (lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in (0, 1))
    a, c = (lax.slice_in_dim(even, i, even.shape[axis] - 1 + i, axis=axis) for i in (0, 1))
    b, d = (lax.slice_in_dim(odd, i, odd.shape[axis] - 1 + i, axis=axis) for i in (0, 1))
    return [a - c, b + c, c - b, b - d]


def _outputs(products: Sequence[Array]) -> list[Array]:
    """The two outputs of each tile along an axis."""
    a, b, c, d = products
    return [a + b + c, b - c - d]
