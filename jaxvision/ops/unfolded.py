"""Convolutions as products of unfolded maps (im2col), for loops and for small maps.

Inside loops, XLA's CPU convolutions use one thread, and their gradients take up to fifteen times as
long as this form. Outside of loops, XLA's are faster except for small maps.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.ops.windows import Window, out_size, pad, shifts

Array = jax.Array


def unfolded(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves maps with one group of channels, without spread or dilation.

    With a stride, the pixels of each block as large as the stride first become channels, which are
    contiguous; then the kernel moves by one block.
    """
    blocks, taps = in_blocks(x, kernel, window)
    rows, columns = taps.shape[:2]
    seen = jnp.concatenate(list(shifts(blocks, (rows, columns), Window())), axis=-1)
    product = jnp.dot(
        seen.reshape(-1, seen.shape[-1]),
        taps.reshape(seen.shape[-1], -1),
        precision=window.precision,
    )
    return product.reshape(*seen.shape[:3], -1)


def in_blocks(x: Array, kernel: Array, window: Window) -> tuple[Array, Array]:
    """Maps and a kernel in which each block as large as the stride is one pixel, and one tap.

    Their convolution with a stride of 1 and without padding is that of the given ones.
    """
    down, across = window.strides
    channels, features = kernel.shape[2:]
    rows, columns = -(-kernel.shape[0] // down), -(-kernel.shape[1] // across)
    padded = pad(x, window)
    height, width = out_size(padded.shape[1:3], (kernel.shape[0], kernel.shape[1]), window)
    tall, wide = height - 1 + rows, width - 1 + columns  # in blocks
    maps = _fit(padded, 1, (tall * down, wide * across))
    blocks = maps.reshape(len(x), tall, down, wide, across, channels).swapaxes(2, 3)
    taps = _fit(kernel, 0, (rows * down, columns * across))
    taps = taps.reshape(rows, down, columns, across, channels, features).swapaxes(1, 2)
    return blocks.reshape(len(x), tall, wide, -1), taps.reshape(rows, columns, -1, features)


def _fit(x: Array, axis: int, sizes: tuple[int, int]) -> Array:
    """Pads with zeros at the end, or crops, two neighboring axes to the given sizes."""
    edges = [(0, 0, 0)] * x.ndim
    for offset, size in enumerate(sizes):
        edges[axis + offset] = (0, size - x.shape[axis + offset], 0)
    return lax.pad(x, jnp.zeros((), x.dtype), edges)
