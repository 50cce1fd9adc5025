"""Maxima of windows, by the form that is fastest where they run.

XLA's CPU backend finds the place of every maximum again for the gradient, and adds to it number by
number: ten to twenty times as long as all the rest. Selections between shifted maps have the same
values, and a gradient that is selections too.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxvision.ops.platform import choose


def max_pool(
    x: Float[Array, "batch *space channels"],
    window: int,
    stride: int,
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "batch *out_space channels"]:
    """Takes the maximum of each window. Where several are equal, the first gets the gradient.

    A NaN in a window is its maximum.

    Args:
        x: Feature maps, or volumes of features.
        window: The size of a window along each axis of space.
        stride: The step between windows.
        padding: How far windows reach before and after each axis of space; what lies beyond is
            never the maximum.

    Returns:
        The maxima; a window that does not fit is left out.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2, 2, [(0, 0), (0, 0)])[0, ..., 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    axes = len(padding)
    fits = all(
        size + before + after >= window
        for size, (before, after) in zip(x.shape[1:-1], padding, strict=True)
    )

    def native(x: Array) -> Array:
        return nn.max_pool(x, (window,) * axes, (stride,) * axes, padding)

    def selected(x: Array) -> Array:
        # The last axis first: of equal maxima in two rows of a window, that in the first row wins.
        for axis in reversed(range(axes)):
            x = _max_along(x, axis + 1, window, stride, padding[axis])
        return x

    return choose(selected if fits else native, native, [x])


def _max_along(x: Array, axis: int, window: int, stride: int, padding: tuple[int, int]) -> Array:
    """The maxima along an axis; of equal ones, or of several NaN, the first is chosen.

    Blocks as long as the stride become an axis of their own, so that a tap of all windows lies in
    one piece, and so does its gradient.
    """
    count = (x.shape[axis] + sum(padding) - window) // stride + 1
    num_blocks = count - 1 + -(-window // stride)
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (padding[0], num_blocks * stride - padding[0] - x.shape[axis], 0)
    padded = lax.pad(x, jnp.array(-jnp.inf, x.dtype), edges)
    blocks = padded.reshape(*x.shape[:axis], num_blocks, stride, *x.shape[axis + 1 :])
    places = [lax.squeeze(each, [axis + 1]) for each in lax.split(blocks, [1] * stride, axis + 1)]
    taps = [
        lax.slice_in_dim(places[i % stride], i // stride, i // stride + count, axis=axis)
        for i in range(window)
    ]
    greatest, *others = taps
    for tap in others:
        is_greater = (tap > greatest) | (jnp.isnan(tap) & ~jnp.isnan(greatest))
        greatest = jnp.where(is_greater, tap, greatest)
    return greatest
