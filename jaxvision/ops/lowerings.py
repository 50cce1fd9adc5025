"""Forms of convolutions that are fast on a CPU.

They are sums of matrix products and of multiplied shifts, so that JAX's own derivatives of them are
fast too. Where the work of a step is spread over more memory than the caches hold, it goes through
the batch or the channels chunk by chunk, and derivatives compute the shifts again rather than keep
them.
"""

import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

Array = jax.Array
Form = Callable[..., Array]

CHUNK_BYTES = 2**20
"""What a chunk of a batch may take, so that it and its results stay in the second-level cache."""
BLOCK_CHANNELS = 32
"""How many channels of groups are joined into one block: less leaves vector units idle, more
multiplies more zeros."""
UNROLLED_BLOCKS = 2
"""So many blocks of groups are convolved one after the other, more in a loop: it compiles once."""
UNROLLED_TAPS = 64
"""Kernels of more taps are gone through row by row in a loop, to keep compilation short."""


class Window(NamedTuple):
    """How a kernel moves over maps, down and across.

    Attributes:
        strides: The step between outputs.
        pads: Zeros before and after; a negative number cuts off.
        spread: The step between inputs.
        dilation: The step between taps.
        groups: In how many groups channels are convolved apart.
        precision: Of products.
    """

    strides: tuple[int, ...] = (1, 1)
    pads: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    spread: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    precision: lax.PrecisionLike = None


def for_cpu(lhs: tuple[int, ...], rhs: tuple[int, ...], window: Window) -> Form | None:
    """Chooses a form.

    Args:
        lhs: The shape of the maps, (batch, height, width, channels).
        rhs: The shape of the kernel, (height, width, channels / groups, features).
        window: How it moves.

    Returns:
        `form(maps, kernel, window=...)`; None where XLA's own is best.
    """
    channels_per_group = rhs[2]
    if window.spread != (1, 1):
        return None if window.strides != (1, 1) else transposed
    if window.groups > 1:
        return depthwise if channels_per_group == 1 else grouped
    if rhs[:2] == (1, 1):
        return pointwise
    most = [(taps - 1) * step for taps, step in zip(rhs[:2], window.dilation, strict=True)]
    is_usual = all(
        0 <= side <= reach for pair, reach in zip(window.pads, most, strict=True) for side in pair
    )
    return None if is_usual else padded


def convolve(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves by the form for a CPU, or by XLA's.

    Args:
        x: Maps, (batch, height, width, channels).
        kernel: (height, width, channels / groups, features).
        window: How it moves.

    Returns:
        Maps, (batch, out_height, out_width, features).
    """
    form = for_cpu(x.shape, kernel.shape, window) or _native
    return form(x, kernel, window=window)


def padded(x: Array, kernel: Array, window: Window) -> Array:
    """Writes out the zeros that no tap but the outermost would see, and cuts what is cut off.

    XLA's convolutions on a CPU read beside their input where a padding is negative, and it is in
    the gradient where the padding is larger than the kernel reaches.
    """
    most = [(taps - 1) * step for taps, step in zip(kernel.shape[:2], window.dilation, strict=True)]
    kept = tuple(
        (min(max(low, 0), reach), min(max(high, 0), reach))
        for (low, high), reach in zip(window.pads, most, strict=True)
    )
    rest = tuple(
        (low - kept_low, high - kept_high)
        for (low, high), (kept_low, kept_high) in zip(window.pads, kept, strict=True)
    )
    return _native(_pad(x, window._replace(pads=rest)), kernel, window._replace(pads=kept))


def _native(x: Array, kernel: Array, window: Window) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.pads,
        window.spread,
        window.dilation,
        ("NHWC", "HWIO", "NHWC"),
        window.groups,
        precision=window.precision,
    )


def pointwise(x: Array, kernel: Array, window: Window) -> Array:
    """Multiplies the channels of every pixel by one matrix."""
    (pixels,) = _shifts(x, (1, 1), window)
    return _dot(pixels, kernel[0, 0], window)


def depthwise(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves every channel on its own, in float32 or better."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    maps = x.astype(wide)
    if kernel.shape[3] > x.shape[3]:
        maps = jnp.repeat(maps, kernel.shape[3] // x.shape[3], axis=-1)
    return _depthwise(maps, kernel[:, :, 0].astype(wide), window).astype(x.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _depthwise(x: Array, taps: Array, window: Window) -> Array:
    """Sums shifted maps, each multiplied by a tap (rows, columns, channels).

    Three sums of shifts make up the output and the two gradients, and each wants another form; so
    the derivative to each argument is written in that whose transpose is fast.
    """
    return _multiply_taps(x, taps, window)


def _depthwise_jvp(
    window: Window,
    primals: tuple[Array, Array],
    tangents: tuple[Array | SymbolicZero, Array | SymbolicZero],
) -> tuple[Array, Array]:
    x, taps = primals
    dx, dtaps = tangents
    y = _depthwise(x, taps, window)
    parts = []
    if not isinstance(dx, SymbolicZero):
        parts.append(_scatter_taps(dx, taps, window))
    if not isinstance(dtaps, SymbolicZero):
        parts.append(
            _by_chunks(lambda chunk, t: _multiply_taps(chunk, t, window, loop=True), x, dtaps)
        )
    return y, _sum(parts) if parts else jnp.zeros_like(y)


_depthwise.defjvp(_depthwise_jvp, symbolic_zeros=True)


def grouped(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves groups of channels apart, in blocks that are as wide as vector units like them.

    A block joins neighbouring groups; what lies outside their own channels in its kernel is zero.
    """
    joined = max(1, min(window.groups, BLOCK_CHANNELS // kernel.shape[2]))
    while window.groups % joined:
        joined -= 1
    num_blocks = window.groups // joined
    kernels = _join_groups(kernel, window.groups, joined)
    alone = window._replace(groups=1)
    if num_blocks <= UNROLLED_BLOCKS:
        parts = [
            convolve(part, kernels[i], alone)
            for i, part in enumerate(jnp.split(x, num_blocks, axis=-1))
        ]
        return jnp.concatenate(parts, axis=-1)

    return _convolve_blocks(x, kernels, alone)


@functools.partial(jax.jit, static_argnames=("window",))
def _convolve_blocks(x: Array, kernels: Array, window: Window) -> Array:
    """Convolves blocks of channels apart, each with its own kernel.

    One after the other stays in the cache; where all fit in it, all at once compiles faster.
    """
    num_blocks, rows, columns, _, features = kernels.shape

    def convolve_block(block: tuple[Array, Array]) -> Array:
        maps, kernel = block
        shifts = [*_shifts(maps, (rows, columns), window)]
        seen = (
            jnp.concatenate(shifts[i : i + columns], -1) for i in range(0, len(shifts), columns)
        )
        matrices = kernel.reshape(rows, -1, features)
        return _sum(_dot(*pair, window) for pair in zip(seen, matrices, strict=True))

    # (block, batch, height, width, channels of a block): what a block needs lies together.
    blocks = jnp.moveaxis(x.reshape(*x.shape[:3], num_blocks, -1), 3, 0)
    if x.size * 4 <= CHUNK_BYTES:
        results = jax.vmap(convolve_block)((blocks, kernels))
    else:
        again = jax.checkpoint(convolve_block, prevent_cse=False)
        results = lax.map(again, (blocks, kernels))
    return jnp.moveaxis(results, 0, 3).reshape(*results.shape[1:4], -1)


def transposed(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves spread inputs without the zeros between them.

    Outputs that lie a multiple of the spread apart see the same taps of the kernel, and inputs next
    to each other: they are a plain convolution with these taps (Shi et al., 2016,
    arXiv:1609.05158, who call it sub-pixel convolution).
    """
    kernel = _spread_taps(kernel, window.dilation)
    (height, down), (width, across) = (
        _phases(x.shape[1 + axis], kernel.shape[axis], window.pads[axis], window.spread[axis])
        for axis in (0, 1)
    )
    plain = Window(groups=window.groups, precision=window.precision)
    outputs = []
    for top, rows in down:
        phases = []
        for left, columns in across:
            taps = kernel[top :: window.spread[0], left :: window.spread[1]]
            if 0 in taps.shape:  # the spread is wider than the kernel: nothing reaches these
                phases.append(jnp.zeros((len(x), height, width, kernel.shape[3]), x.dtype))
            else:
                phases.append(convolve(x, taps, plain._replace(pads=(rows, columns))))
        outputs.append(jnp.stack(phases, axis=3).reshape(len(x), height, -1, kernel.shape[3]))
    y = jnp.stack(outputs, axis=2).reshape(len(x), -1, *outputs[0].shape[2:])
    return y[
        :,
        : _spread_size(x.shape[1], kernel.shape[0], window.pads[0], window.spread[0]),
        : _spread_size(x.shape[2], kernel.shape[1], window.pads[1], window.spread[1]),
    ]


def _spread_size(size: int, taps: int, pads: tuple[int, int], spread: int) -> int:
    """How many outputs a transposed convolution has along an axis."""
    return (size - 1) * spread + sum(pads) - taps + 2


def _phases(
    size: int, taps: int, pads: tuple[int, int], spread: int
) -> tuple[int, list[tuple[int, tuple[int, int]]]]:
    """Along one axis, how many outputs each phase has, and its first tap and padding."""
    low, _ = pads
    num_steps = -(-_spread_size(size, taps, pads, spread) // spread)
    phases = []
    for phase in range(spread):
        first = (low - phase) % spread
        num_taps = len(range(first, taps, spread))
        start = (phase + first - low) // spread  # the input that the first output's first tap sees
        phases.append((first, (-start, num_steps - 1 + start + num_taps - size)))
    return num_steps, phases


def _spread_taps(kernel: Array, dilation: tuple[int, ...]) -> Array:
    """Writes the zeros between taps out."""
    if dilation == (1, 1):
        return kernel
    edges = [(0, 0, step - 1) for step in dilation]
    return lax.pad(kernel, jnp.zeros((), kernel.dtype), [*edges, (0, 0, 0), (0, 0, 0)])


def _join_groups(kernel: Array, groups: int, joined: int) -> Array:
    """One kernel per block of groups, (block, rows, columns, channels, features of a block)."""
    rows, columns, channels, features = kernel.shape
    shape = (rows, columns, channels, groups // joined, joined, features // groups)
    apart = kernel.reshape(shape).transpose(3, 0, 1, 4, 2, 5)[..., None, :]
    mine = jnp.eye(joined, dtype=kernel.dtype)[:, None, :, None]
    return (apart * mine).reshape(-1, rows, columns, joined * channels, joined * shape[-1])


@functools.partial(jax.jit, static_argnames=("window", "loop"))
def _multiply_taps(x: Array, taps: Array, window: Window, loop: bool = False) -> Array:
    """Sums shifted maps, each multiplied by a tap (rows, columns, channels).

    With `loop`, or with many taps, it goes through the rows of the kernel in a loop, which compiles
    faster.
    """
    rows, columns, _ = taps.shape
    if rows == 1 or not (loop or rows * columns > UNROLLED_TAPS):
        return _sum(
            shift * tap
            for shift, tap in zip(
                _shifts(x, (rows, columns), window),
                taps.reshape(rows * columns, -1),
                strict=True,
            )
        )
    padded = _pad(x, window)
    height, width = _out_size(padded.shape[1:3], (rows, columns), window)
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
    """What `_multiply_taps` computes, as a sum of multiplied maps that are shifted.

    It is slower, and its transpose as fast as `_multiply_taps`: a sum of shifts of one padded map.
    """
    rows, columns, _ = taps.shape
    height, width = _out_size(
        [size + sum(pads) for size, pads in zip(x.shape[1:3], window.pads, strict=True)],
        (rows, columns),
        window,
    )
    zero = jnp.zeros((), x.dtype)
    (down, across), (row_step, column_step) = window.strides, window.dilation

    def shifted(row: int, column: int) -> Array:
        edges = [
            ((count - 1 - index) * step, index * step, 0)
            for index, count, step in ((row, rows, row_step), (column, columns, column_step))
        ]
        return lax.pad(x * taps[row, column], zero, [(0, 0, 0), *edges, (0, 0, 0)])

    everywhere = _sum(shifted(row, column) for row in range(rows) for column in range(columns))
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


def _by_chunks(function: Callable[[Array, Array], Array], x: Array, taps: Array) -> Array:
    """Applies a function to as many images at a time as fit a cache."""
    images = max(1, CHUNK_BYTES // (8 * math.prod(x.shape[1:])))
    size = max(count for count in range(1, min(images, len(x)) + 1) if len(x) % count == 0)
    if size == len(x):
        return function(x, taps)
    chunks = x.reshape(-1, size, *x.shape[1:])
    again = jax.checkpoint(lambda chunk: function(chunk, taps), prevent_cse=False)
    results = lax.map(again, chunks)
    return results.reshape(-1, *results.shape[2:])


def _shifts(x: Array, taps: tuple[int, int], window: Window) -> Iterator[Array]:
    """What each tap of a kernel sees, row by row."""
    padded = _pad(x, window)
    height, width = _out_size(padded.shape[1:3], taps, window)
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


def _pad(x: Array, window: Window) -> Array:
    if window.pads == ((0, 0), (0, 0)):
        return x
    edges = [(0, 0, 0), *((low, high, 0) for low, high in window.pads), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _out_size(padded: Sequence[int], taps: tuple[int, int], window: Window) -> tuple[int, int]:
    height, width = (
        (size - step * (count - 1) - 1) // stride + 1
        for size, count, stride, step in zip(
            padded, taps, window.strides, window.dilation, strict=True
        )
    )
    return height, width


def _dot(x: Array, matrix: Array, window: Window) -> Array:
    """Multiplies the channels of every pixel by a matrix.

    The pixels are one axis: the gradient to the matrix is slow over several.
    """
    pixels = x.reshape(math.prod(x.shape[:3]), x.shape[3])
    return jnp.dot(pixels, matrix, precision=window.precision).reshape(*x.shape[:3], -1)


def _sum(arrays: Iterable[Array]) -> Array:
    """Adds up without a first zero."""
    return functools.reduce(operator.add, arrays)
