"""The movement of a kernel over maps, and the inputs of its taps."""

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array

CHUNK_BYTES = 2**20
"""The size of a chunk of a batch that fits, with its results, into the second-level cache."""


class Window(NamedTuple):
    """How a kernel moves over maps (height, width) or volumes (depth, height, width).

    `strides` is the step between outputs, `spread` that between inputs, `dilation` that between
    taps. `pads` are zeros before and after the spread inputs; negative numbers crop.
    """

    strides: tuple[int, ...] = (1, 1)
    pads: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    spread: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    precision: lax.PrecisionLike = None


def shifts(x: Array, taps: tuple[int, int], window: Window) -> Iterator[Array]:
    """The inputs of each tap of a kernel, row by row."""
    padded = pad(x, window)
    height, width = out_size(padded.shape[1:3], taps, window)
    (down, across), (rows, columns) = window.strides, window.dilation
    for row in range(0, taps[0] * rows, rows):
        for column in range(0, taps[1] * columns, columns):
            yield lax.slice(
                padded,
                (0, row, column, 0),
                (
                    padded.shape[0],
                    row + (height - 1) * down + 1,
                    column + (width - 1) * across + 1,
                    padded.shape[3],
                ),
                (1, down, across, 1),
            )


def pad(x: Array, window: Window) -> Array:
    """Pads with zeros explicitly, and crops where the padding is negative."""
    if window.pads == ((0, 0), (0, 0)):
        return x
    edges = [(0, 0, 0), *((low, high, 0) for low, high in window.pads), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), edges)


def out_size(padded: Sequence[int], taps: tuple[int, int], window: Window) -> tuple[int, int]:
    """The height and width of the output for padded maps of this height and width."""
    height, width = (
        (size - step * (count - 1) - 1) // stride + 1
        for size, count, stride, step in zip(
            padded, taps, window.strides, window.dilation, strict=True
        )
    )
    return height, width


def size_of_result(maps: Sequence[int], taps: tuple[int, int], window: Window) -> tuple[int, int]:
    """The height and width of the output for maps (batch, height, width, channels)."""
    padded = [size + sum(pads) for size, pads in zip(maps[1:3], window.pads, strict=True)]
    return out_size(padded, taps, window)


def add_up(arrays: Iterable[Array]) -> Array:
    """The sum of at least one array, without an initial zero."""
    return functools.reduce(operator.add, arrays)


def by_chunks(function: Callable[[Array], Array], x: Array, at_once: int) -> Array:
    """Applies a function to at most `at_once` images at a time, but to one at least.

    This keeps its results in the cache; derivatives compute them again. If the chunks cannot have
    the same size, images of zeros are added.
    """
    count = -(-len(x) // max(1, at_once))
    if count <= 1:
        return function(x)
    again = jax.checkpoint(function, prevent_cse=False)
    size = -(-len(x) // count)
    added = lax.pad(
        x, jnp.zeros((), x.dtype), [(0, count * size - len(x), 0), *[(0, 0, 0)] * (x.ndim - 1)]
    )
    results = lax.map(again, added.reshape(count, size, *x.shape[1:]))
    return results.reshape(-1, *results.shape[2:])[: len(x)]


def spread_size(size: int, taps: int, pads: tuple[int, int], spread: int) -> int:
    """The length of an axis of the output of a transposed convolution."""
    return (size - 1) * spread + sum(pads) - taps + 2


def phases(
    size: int, taps: int, pads: tuple[int, int], spread: int
) -> tuple[int, list[tuple[int, tuple[int, int]]]]:
    """The positions that outputs of a transposed convolution can have between inputs, on one axis.

    Returns the number of outputs per position and, for each, its first tap and its padding.
    """
    low, _ = pads
    num_steps = -(-spread_size(size, taps, pads, spread) // spread)
    phases = []
    for phase in range(spread):
        first = (low - phase) % spread
        num_taps = len(range(first, taps, spread))
        start = (phase + first - low) // spread  # the input that the first output's first tap sees
        phases.append((first, (-start, num_steps - 1 + start + num_taps - size)))
    return num_steps, phases


def spread_taps(kernel: Array, dilation: tuple[int, ...]) -> Array:
    """Writes the zeros between the taps of a dilated kernel."""
    if max(dilation) == 1:
        return kernel
    edges = [(0, 0, step - 1) for step in dilation]
    return lax.pad(kernel, jnp.zeros((), kernel.dtype), [*edges, (0, 0, 0), (0, 0, 0)])
