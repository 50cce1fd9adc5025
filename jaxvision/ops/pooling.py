"""Max pooling, in the form that is fastest on the target platform.

On CPUs, XLA's gradient searches every maximum again and adds number by number, which takes ten to
twenty times as long as everything else. Selections between shifted maps give the same values, and
their gradient consists of selections too.
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
    """The maximum of each window; the first of equal maxima gets the gradient, and NaN wins.

    Windows that do not fit into the padded maps are ignored.

    Args:
        x: Feature maps, or volumes of features.
        window: The size of a window along each spatial axis.
        stride: The step between windows.
        padding: How far windows extend before and after each spatial axis; padding is never the
            maximum.

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
        # The last axis first, so that of equal maxima the one in the first row of a window wins.
        for axis in reversed(range(axes)):
            x = _max_along(x, axis + 1, window, stride, padding[axis])
        return x

    return choose(selected if fits else native, native, [x])


def _max_along(x: Array, axis: int, window: int, stride: int, padding: tuple[int, int]) -> Array:
    """The maxima along an axis; the first of equal ones, or of several NaN, is chosen.

    Blocks as long as the stride become an axis of their own, so that a tap of all windows, and its
    gradient, is contiguous.
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
