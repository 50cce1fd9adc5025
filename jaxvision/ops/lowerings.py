"""Forms of convolutions that are fast on CPUs.

They are sums of matrix products and of multiplied shifts, so that their derivatives by JAX are fast
too. Steps that need more memory than the caches hold process the batch or the channels in chunks;
derivatives recompute the shifts instead of storing them.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.ops import windows
from jaxvision.ops.dense import by_tiles, dense, kept_pads, native, padded
from jaxvision.ops.depthwise import depthwise
from jaxvision.ops.slices import Convolve, sliced
from jaxvision.ops.unfolded import unfolded
from jaxvision.ops.windows import Window

Array = jax.Array
Form = Callable[..., Array]
Choose = Callable[[tuple[int, ...], tuple[int, ...], Window], Form | None]

BLOCK_CHANNELS = 32
"""Channels per block of groups: fewer leave vector units idle, more multiply more zeros."""
UNROLLED_BLOCKS = 2
"""Up to this many blocks of groups are unrolled; more run in a loop, which compiles only once."""
_FEW_CHANNELS, _SMALL_MAP, _MOST_UNFOLDED = 16, 256, 2**22
"""Least channels, most pixels and most unfolded numbers of 3x3 convolutions that are unfolded."""
_MUCH_WORK, _MANY_TILES, _MANY_CHANNELS = 2**32, 512, 32
"""Least operations, 2x2 tiles of outputs and channels of 3x3 convolutions that filter by tiles."""
_SOME_WORK, _SOME_FEATURES = 2**29, 32
"""Least operations and features where the gradient by the kernel is a product of unfolded maps."""


def for_cpu(lhs: tuple[int, ...], rhs: tuple[int, ...], window: Window) -> Form | None:
    """The form `form(maps, kernel, window=...)` for these shapes; None if XLA's own is best."""
    if len(window.strides) == 3:
        return _volumes(window, convolve)
    if window.spread != (1, 1):
        return None if window.strides != (1, 1) else transposed(rhs, window)
    if window.groups > 1:
        return depthwise if rhs[2] == 1 else grouped
    if rhs[:2] == (1, 1):
        return pointwise
    if _is_long(lhs, rhs, window):
        return by_tiles
    if _is_small(lhs, rhs, window) or _unfolds_little(rhs, window):
        return unfolded
    if _gains_by_unfolding(lhs, rhs, window):
        return dense
    return None if kept_pads(rhs, window) == window.pads else padded


def _is_long(lhs: tuple[int, ...], rhs: tuple[int, ...], window: Window) -> bool:
    """Whether filtering by tiles is faster than XLA's own convolution and worth its compilation.

    The 16 products of a layer take seconds to compile. From 2**32 operations on, they gain that
    within some fifty training steps.
    """
    if rhs[:2] != (3, 3) or not window.strides == window.dilation == (1, 1):
        return False
    height, width = windows.size_of_result(lhs, (3, 3), window)
    tiles = lhs[0] * -(-height // 2) * -(-width // 2)
    return (
        _operations(lhs, rhs, window) >= _MUCH_WORK
        and tiles >= _MANY_TILES
        and min(rhs[2:]) >= _MANY_CHANNELS
    )


def _gains_by_unfolding(lhs: tuple[int, ...], rhs: tuple[int, ...], window: Window) -> bool:
    """Whether the gradient by the kernel is faster as a product, and worth its compilation."""
    return (
        window.dilation == (1, 1)
        and rhs[3] >= _SOME_FEATURES
        and _operations(lhs, rhs, window) >= _SOME_WORK
    )


def _operations(lhs: tuple[int, ...], rhs: tuple[int, ...], window: Window) -> int:
    """Multiplications and additions of a convolution with one group of channels."""
    pixels = math.prod(windows.size_of_result(lhs, (rhs[0], rhs[1]), window))
    return 2 * lhs[0] * pixels * math.prod(rhs)


def _is_small(lhs: tuple[int, ...], rhs: tuple[int, ...], window: Window) -> bool:
    """Whether maps are so small that unfolding them is faster than XLA's own convolution.

    XLA's threads share the pixels. With 512 channels, a product of unfolded maps takes half the
    time at 4x4 pixels, and nine tenths at 16x16.
    """
    pixels = lhs[1] * lhs[2]
    return (
        window.strides == window.dilation == (1, 1)
        and rhs[:2] == (3, 3)
        and rhs[2] >= _FEW_CHANNELS
        and pixels <= _SMALL_MAP
        and lhs[0] * pixels * rhs[0] * rhs[1] * rhs[2] <= _MOST_UNFOLDED
    )


def _unfolds_little(rhs: tuple[int, ...], window: Window) -> bool:
    """Whether a kernel with a stride is cheap to unfold: windows do not overlap or are small.

    A window is small if it holds no more numbers than there are features, as for patches of images
    and many first layers. In training, the product takes a third to nine tenths of XLA's time.
    """
    taps = rhs[:2]
    apart = all(size <= stride for size, stride in zip(taps, window.strides, strict=True))
    few = math.prod(taps) * rhs[2] <= rhs[3]
    return min(window.strides) > 1 and window.dilation == (1, 1) and (apart or few)


def for_cpu_loops(lhs: tuple[int, ...], rhs: tuple[int, ...], window: Window) -> Form | None:
    """The form for use inside a loop, as `for_cpu`."""
    if len(window.strides) == 3:
        return _volumes(window, functools.partial(convolve, choose=for_cpu_loops))
    plain = window.groups == 1 and window.spread == window.dilation == (1, 1)
    if plain and rhs[:2] != (1, 1):
        return by_tiles if _is_long(lhs, rhs, window) else unfolded
    return for_cpu(lhs, rhs, window)


def _volumes(window: Window, convolve: Convolve) -> Form | None:
    if window.spread[0] > 1 and window.strides[0] > 1:
        return None
    return functools.partial(sliced, convolve=convolve)


def convolve(x: Array, kernel: Array, window: Window, *, choose: Choose = for_cpu) -> Array:
    """Convolves maps in the form for a CPU, or in XLA's if there is none."""
    form = choose(x.shape, kernel.shape, window) or native
    return form(x, kernel, window=window)


def pointwise(x: Array, kernel: Array, window: Window) -> Array:
    """Multiplies the channels of every pixel by one matrix."""
    (pixels,) = windows.shifts(x, (1, 1), window)
    return _dot(pixels, kernel[0, 0], window)


def grouped(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves groups of channels in blocks that fill the vector units.

    A block joins neighboring groups; its kernel is 0 between channels of different groups.
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
    """Convolves each block of channels with its own kernel.

    Blocks run one after the other to stay in the cache, or together if there are at most two
    chunks, which is as fast and generates less code.
    """
    # (block, batch, height, width, channels of a block), so that each block is contiguous.
    blocks = jnp.moveaxis(x.reshape(*x.shape[:3], len(kernels), -1), 3, 0)
    convolve_block = functools.partial(_convolve_rows, window=window)
    if x.size * 4 <= 2 * windows.CHUNK_BYTES:
        results = jax.vmap(convolve_block)(blocks, kernels)
    else:
        again = jax.checkpoint(convolve_block, prevent_cse=False)
        results = lax.map(lambda block: again(*block), (blocks, kernels))
    return jnp.moveaxis(results, 0, 3).reshape(*results.shape[1:4], -1)


def _convolve_rows(x: Array, kernel: Array, window: Window) -> Array:
    """Multiplies the inputs of one kernel row by all rows, and adds up the shifted products.

    With a stride, a row of the maps meets only every n-th row of the kernel, so each of these sets
    of rows has its own product.
    """
    padded = windows.pad(x, window)
    rows, columns, channels, _ = kernel.shape
    height, _ = windows.out_size(padded.shape[1:3], (rows, columns), window)
    (down, across), (row_step, column_step) = window.strides, window.dilation
    along = Window(strides=(1, across), dilation=(1, column_step))
    period = down // math.gcd(down, row_step)
    results = []
    for first in range(min(period, rows)):
        steps = range(first * row_step, rows * row_step, period * row_step)
        last = steps[-1] + (height - 1) * down
        band = lax.slice_in_dim(padded, steps[0], last + 1, down, axis=1)
        seen = jnp.concatenate([*windows.shifts(band, (1, columns), along)], -1)
        matrix = kernel[first::period].transpose(1, 2, 0, 3).reshape(columns * channels, -1)
        products = _dot(seen, matrix, window)
        for step, product in zip(steps, jnp.split(products, len(steps), -1), strict=True):
            top = (step - steps[0]) // down
            results.append(product[:, top : top + height])
    return windows.add_up(results)


def transposed(rhs: tuple[int, ...], window: Window) -> Form:
    """The form of a transposed convolution, which avoids the zeros between inputs.

    It is `overlapped` where that keeps at most four times the outputs in memory, else
    `interleaved`.
    """
    reaches = [(taps - 1) * step + 1 for taps, step in zip(rhs[:2], window.dilation, strict=True)]
    few = all(reach <= 2 * step for reach, step in zip(reaches, window.spread, strict=True))
    return overlapped if few and window.groups == 1 else interleaved


def overlapped(x: Array, kernel: Array, window: Window) -> Array:
    """Multiplies every input by all taps, and adds up the products of each output."""
    kernel = windows.spread_taps(kernel, window.dilation)[::-1, ::-1]
    pixels, taps_and_features = math.prod(x.shape[1:3]), kernel.size // kernel.shape[2]
    at_once = 4 * windows.CHUNK_BYTES // (pixels * taps_and_features * kernel.itemsize)
    return windows.by_chunks(lambda images: _overlap(images, kernel, window), x, at_once)


@functools.partial(jax.jit, static_argnames=("window",))
def _overlap(x: Array, kernel: Array, window: Window) -> Array:
    """Cuts the taps into blocks as large as the spread: the outputs of a block tile the plane."""
    (rows, columns, channels, features), (down, across) = kernel.shape, window.spread
    num_down, num_across = -(-rows // down), -(-columns // across)
    matrix = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
    products = _dot(x, matrix, window).reshape(*x.shape[:3], rows, columns, features)
    tiles = []
    # The gradient of `split` writes its parts; the gradients of slices would be summed.
    for i, band in enumerate(lax.split(products, _cut(rows, down), 3)):
        for j, block in enumerate(lax.split(band, _cut(columns, across), 4)):
            edges = [(0, 0, 0), (i, num_down - 1 - i, 0), (j, num_across - 1 - j, 0)]
            edges += [(0, down - block.shape[3], 0), (0, across - block.shape[4], 0), (0, 0, 0)]
            tiles.append(lax.pad(block, jnp.zeros((), block.dtype), edges))
    y = windows.add_up(tiles).transpose(0, 1, 3, 2, 4, 5)
    y = y.reshape(len(x), y.shape[1] * down, -1, features)
    cuts = []
    for axis, taps in enumerate((rows, columns)):
        before = window.pads[axis][0] - taps + 1
        size = windows.spread_size(x.shape[1 + axis], taps, window.pads[axis], window.spread[axis])
        cuts.append((before, size - before - y.shape[1 + axis]))
    return windows.pad(y, Window(pads=tuple(cuts)))


def _cut(total: int, size: int) -> list[int]:
    """The sizes of parts of `total`; the last one may be smaller than `size`."""
    return [min(size, total - start) for start in range(0, total, size)]


def interleaved(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves once for each position that an output can have between inputs.

    Outputs at the same position see the same taps of the kernel and adjacent inputs, so they form a
    plain convolution (the sub-pixel convolution of Shi et al., 2016, arXiv:1609.05158).
    """
    kernel = windows.spread_taps(kernel, window.dilation)
    (height, down), (width, across) = (
        windows.phases(
            x.shape[1 + axis], kernel.shape[axis], window.pads[axis], window.spread[axis]
        )
        for axis in (0, 1)
    )
    plain = Window(groups=window.groups, precision=window.precision)
    outputs = []
    for top, rows in down:
        phases = []
        for left, columns in across:
            taps = kernel[top :: window.spread[0], left :: window.spread[1]]
            if 0 in taps.shape:  # the spread is wider than the kernel: no tap reaches these
                phases.append(jnp.zeros((len(x), height, width, kernel.shape[3]), x.dtype))
            else:
                phases.append(convolve(x, taps, plain._replace(pads=(rows, columns))))
        outputs.append(jnp.stack(phases, axis=3).reshape(len(x), height, -1, kernel.shape[3]))
    y = jnp.stack(outputs, axis=2).reshape(len(x), -1, *outputs[0].shape[2:])
    return y[
        :,
        : windows.spread_size(x.shape[1], kernel.shape[0], window.pads[0], window.spread[0]),
        : windows.spread_size(x.shape[2], kernel.shape[1], window.pads[1], window.spread[1]),
    ]


def _join_groups(kernel: Array, groups: int, joined: int) -> Array:
    """One kernel per block of groups, (block, rows, columns, channels, features of a block).

    The product has only five axes: on some CPUs, jaxlib 0.10 writes out of bounds when it sums a
    product of seven axes of which one has length 1.
    """
    rows, columns, channels, features = kernel.shape
    blocks, width = groups // joined, features // groups
    apart = kernel.reshape(rows, columns, channels, blocks, joined, width)
    apart = apart.transpose(3, 0, 1, 4, 2, 5).reshape(-1, joined, channels, 1, width)
    mine = jnp.eye(joined, dtype=kernel.dtype)[:, None, :, None]
    return (apart * mine).reshape(blocks, rows, columns, joined * channels, joined * width)


def _dot(x: Array, matrix: Array, window: Window) -> Array:
    """Multiplies the channels of every pixel by a matrix.

    The pixels are one axis, because the gradient for the matrix is slow over several.
    """
    pixels = x.reshape(math.prod(x.shape[:3]), x.shape[3])
    return jnp.dot(pixels, matrix, precision=window.precision).reshape(*x.shape[:3], -1)
