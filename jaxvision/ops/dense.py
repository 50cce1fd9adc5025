"""Convolutions with one group of channels, as XLA's own or by tiles.

XLA's own gradient by the kernel takes up to ten times as long as a product of unfolded maps, its
gradient by maps of few channels with a stride up to four times as long as without one, and its
convolutions of large maps half as long again as filtering by tiles.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.ops import windows
from jaxvision.ops.derivatives import with_derivatives
from jaxvision.ops.unfolded import in_blocks, unfolded
from jaxvision.ops.windows import Window
from jaxvision.ops.winograd import winograd

Array = jax.Array


def dense(x: Array, kernel: Array, window: Window) -> Array:
    """XLA's own convolution, with faster gradients.

    The gradient by the kernel is a product of unfolded maps, and that by images, whose channels are
    few, has no stride. In half precision XLA's own are kept, since sums over a batch would lose
    digits.
    """
    form = _convolve if jnp.finfo(x.dtype).bits >= 32 else padded
    return form(x, kernel, window)


def by_tiles(x: Array, kernel: Array, window: Window) -> Array:
    """Filters 3x3 taps by tiles; in half precision, whose sums would lose digits, directly."""
    form = winograd if jnp.finfo(x.dtype).bits >= 32 else padded
    return form(x, kernel, window)


def padded(x: Array, kernel: Array, window: Window) -> Array:
    """Pads and crops explicitly where XLA's convolutions on CPUs cannot do it safely.

    They read out of bounds if a padding is negative, as it is in the gradient if a padding exceeds
    the reach of the kernel.
    """
    kept = kept_pads(kernel.shape, window)
    rest = tuple(
        (low - kept_low, high - kept_high)
        for (low, high), (kept_low, kept_high) in zip(window.pads, kept, strict=True)
    )
    return native(windows.pad(x, window._replace(pads=rest)), kernel, window._replace(pads=kept))


def kept_pads(kernel: tuple[int, ...], window: Window) -> tuple[tuple[int, int], ...]:
    """The part of the padding that is not negative and within the reach of the kernel.

    Nothing is kept at the start for two taps with a stride of two: without padding in the gradient,
    XLA mistakes the axis for one of groups and may crash.
    """
    kept = []
    for (low, high), taps, stride, step in zip(
        window.pads, kernel[:2], window.strides, window.dilation, strict=True
    ):
        reach = (taps - 1) * step
        before = 0 if (taps, stride, step) == (2, 2, 1) else reach
        kept.append((min(max(low, 0), before), min(max(high, 0), reach)))
    return tuple(kept)


def native(x: Array, kernel: Array, window: Window) -> Array:
    """XLA's own convolution."""
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


def _unfolded_by_chunks(x: Array, kernel: Array, window: Window) -> Array:
    rows, columns, channels, _ = kernel.shape
    height, width = windows.size_of_result(x.shape, (rows, columns), window)
    unfolded_size = height * width * rows * columns * channels * x.dtype.itemsize
    at_once = windows.CHUNK_BYTES // unfolded_size
    return windows.by_chunks(lambda images: unfolded(images, kernel, window), x, at_once)


def _of_maps(x: Array, kernel: Array, window: Window) -> Array:
    """The form for tangents of the maps, whose transpose is fast."""
    numbers = math.prod(window.strides) * kernel.shape[2]
    if max(window.strides) == 1 or 2 * numbers > kernel.shape[3]:
        return padded(x, kernel, window)
    return _convolve(*in_blocks(x, kernel, window), Window(precision=window.precision))


_convolve = with_derivatives(padded, _of_maps, _unfolded_by_chunks)
