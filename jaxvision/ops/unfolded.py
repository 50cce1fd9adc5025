"""Convolutions as products of unfolded maps (im2col), for loops and for small maps.

XLA's CPU backend runs its own convolutions inside a loop on one thread, and their gradients up to
fifteen times slower than this form. Outside of loops its own are faster, but for small maps.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxvision.ops.windows import Window, out_size, pad, shifts

Array = jax.Array


def unfolded(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves maps with one group of channels, without spread or dilation.

    A kernel that moves by several pixels sees blocks of so many: first the pixels of a block become
    channels, which are read in one piece; then the kernel moves by one block.

    Args:
        x: Maps, (batch, height, width, channels).
        kernel: (height, width, channels, features).
        window: How it moves.

    Returns:
        Maps, (batch, out_height, out_width, features).
    """
    down, across = window.strides
    channels, features = kernel.shape[2:]
    rows, columns = -(-kernel.shape[0] // down), -(-kernel.shape[1] // across)
    padded = pad(x, window)
    height, width = out_size(padded.shape[1:3], (kernel.shape[0], kernel.shape[1]), window)
    tall, wide = height - 1 + rows, width - 1 + columns  # in blocks
    maps = _fit(padded, 1, (tall * down, wide * across))
    blocks = maps.reshape(len(x), tall, down, wide, across, channels).swapaxes(2, 3)
    blocks = blocks.reshape(len(x), tall, wide, -1)
    seen = jnp.concatenate(list(shifts(blocks, (rows, columns), Window())), axis=-1)
    taps = _fit(kernel, 0, (rows * down, columns * across))
    matrix = taps.reshape(rows, down, columns, across, channels, features).swapaxes(1, 2)
    product = jnp.dot(
        seen.reshape(-1, seen.shape[-1]),
        matrix.reshape(seen.shape[-1], features),
        precision=window.precision,
    )
    return product.reshape(len(x), height, width, features)


def _fit(x: Array, axis: int, sizes: tuple[int, int]) -> Array:
    """Two neighboring axes at some sizes: zeros are added at the end, or it is cut off."""
    edges = [(0, 0, 0)] * x.ndim
    for offset, size in enumerate(sizes):
        edges[axis + offset] = (0, size - x.shape[axis + offset], 0)
    return lax.pad(x, jnp.zeros((), x.dtype), edges)
