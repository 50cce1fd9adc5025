"""A depthwise convolution that is fast on CPUs, also in its derivatives."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.ops import windows
from jaxvision.ops.derivatives import with_derivatives
from jaxvision.ops.windows import Window

Array = jax.Array

UNROLLED_TAPS = 64
"""Kernels with more taps use a loop over the taps, to keep compilation short."""


def depthwise(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves every channel separately, in float32 or wider."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    maps = x.astype(wide)
    if kernel.shape[3] > x.shape[3]:
        maps = jnp.repeat(maps, kernel.shape[3] // x.shape[3], axis=-1)
    return _convolve(maps, kernel[:, :, 0].astype(wide), window).astype(x.dtype)


@functools.partial(jax.jit, static_argnames=("window", "loop"))
def _multiply_taps(x: Array, taps: Array, window: Window, loop: bool = False) -> Array:
    """Sums shifted maps, each multiplied by a tap (rows, columns, channels).

    With `loop`, or with many taps, it loops over them, which compiles faster.
    """
    rows, columns, _ = taps.shape
    if rows == 1 or not (loop or rows * columns > UNROLLED_TAPS):
        return windows.add_up(
            shift * tap
            for shift, tap in zip(
                windows.shifts(x, (rows, columns), window),
                taps.reshape(rows * columns, -1),
                strict=True,
            )
        )
    padded = windows.pad(x, window)
    height, width = windows.out_size(padded.shape[1:3], (rows, columns), window)
    (down, across), (row_step, column_step) = window.strides, window.dilation
    reach = (len(x), (height - 1) * down + 1, (width - 1) * across + 1, x.shape[3])

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def multiply_tap(index: Array, tap: Array) -> Array:
        row, column = index // columns * row_step, index % columns * column_step
        return lax.dynamic_slice(padded, (0, row, column, 0), reach)[:, ::down, ::across] * tap

    def add_tap(total: Array, tap: tuple[Array, Array]) -> tuple[Array, None]:
        return total + multiply_tap(*tap), None

    total = jnp.zeros((len(x), height, width, x.shape[3]), x.dtype)
    flat = taps.reshape(rows * columns, -1)
    return lax.scan(add_tap, total, (jnp.arange(rows * columns), flat))[0]


@functools.partial(jax.jit, static_argnames=("window",))
def _scatter_taps(x: Array, taps: Array, window: Window) -> Array:
    """The result of `_multiply_taps`, as a sum of multiplied maps that are then shifted.

    It is slower, but its transpose is as fast as `_multiply_taps`: a sum of shifts of a map.
    """
    rows, columns, _ = taps.shape
    height, width = windows.size_of_result(x.shape, (rows, columns), window)
    zero = jnp.zeros((), x.dtype)
    (down, across), (row_step, column_step) = window.strides, window.dilation

    def shifted(row: int, column: int) -> Array:
        edges = [
            ((count - 1 - index) * step, index * step, 0)
            for index, count, step in ((row, rows, row_step), (column, columns, column_step))
        ]
        return lax.pad(x * taps[row, column], zero, [(0, 0, 0), *edges, (0, 0, 0)])

    everywhere = windows.add_up(
        shifted(row, column) for row in range(rows) for column in range(columns)
    )
    starts = [
        (count - 1) * step - low
        for count, step, (low, _) in zip(taps.shape[:2], window.dilation, window.pads, strict=True)
    ]
    edges = [
        (-start, start + (count - 1) * stride + 1 - size, 0)
        for start, count, stride, size in zip(
            starts, (height, width), window.strides, everywhere.shape[1:3], strict=True
        )
    ]
    return lax.pad(everywhere, zero, [(0, 0, 0), *edges, (0, 0, 0)])[:, ::down, ::across]


def _multiply_taps_by_chunks(x: Array, taps: Array, window: Window) -> Array:
    at_once = windows.CHUNK_BYTES * len(x) // (2 * x.nbytes)  # maps and products
    return windows.by_chunks(lambda xs: _multiply_taps(xs, taps, window, loop=True), x, at_once)


_convolve = with_derivatives(_multiply_taps, _scatter_taps, _multiply_taps_by_chunks)
