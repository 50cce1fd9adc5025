"""Pooling by slices, whose gradient is fast on CPUs."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_MOST_SLICES = 3
"""Up to this size of a window, slices are faster than windows."""


def max_pool(
    x: Float[Array, "batch *space channels"],
    window: int,
    stride: int,
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "batch *out_space channels"]:
    """Takes the maximum of each window. Of equal numbers, the first gets the gradient.

    XLA computes the gradient of windows by a search and a scatter, which on a CPU take ten to
    twenty times as long as all the rest. Maxima of a few slices, one axis after another, have the
    same values and gradients. NaN are passed on.

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
    sizes = [
        size + before + after for size, (before, after) in zip(x.shape[1:-1], padding, strict=True)
    ]
    if window > _MOST_SLICES or min(sizes) < window:
        return nn.max_pool(x, (window,) * axes, (stride,) * axes, padding)
    if any(before or after for before, after in padding):
        x = jnp.pad(x, [(0, 0), *padding, (0, 0)], constant_values=-jnp.inf)
    for axis in range(axes, 0, -1):  # the last first, so that ties go row by row
        reach = x.shape[axis] - window
        slices = [
            jax.lax.slice_in_dim(x, start, start + reach // stride * stride + 1, stride, axis)
            for start in range(window)
        ]
        x = functools.reduce(_first_maximum, slices)
    return x


def _first_maximum(first: Array, second: Array) -> Array:
    """The larger of each two numbers, the first of equal ones, and NaN of either."""
    return jnp.where((first >= second) | jnp.isnan(first), first, second)
