"""Pooling and flattening of feature maps."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvision import ops


def max_pool(
    x: Float[Array, "batch *space channels"],
    window: int,
    *,
    stride: int | None = None,
    padding: int = 0,
    ceil: bool = False,
) -> Float[Array, "batch *out_space channels"]:
    """Takes the maximum of each window; of several equal maxima, the first gets the gradient.

    Args:
        x: Feature maps, or volumes of features.
        window: Size of a window along each spatial axis.
        stride: Step between windows; None places them side by side.
        padding: How far windows reach over each edge, at most half a window; values beyond the edge
            are never the maximum.
        ceil: Whether to keep a last window that begins inside but does not fit.

    Raises:
        ValueError: `padding` is negative or more than half a window.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    _check_pool(window, padding)
    stride = window if stride is None else stride
    over = [_overhang(size, window, stride, padding) if ceil else 0 for size in x.shape[1:-1]]
    edges = [(padding, padding + beyond) for beyond in over]
    return ops.max_pool(x, window, stride, edges)


def avg_pool(
    x: Float[Array, "batch *space channels"],
    window: int,
    *,
    stride: int | None = None,
    padding: int = 0,
    count_include_pad: bool = True,
) -> Float[Array, "batch *out_space channels"]:
    """Takes the average of each window, summed in float32 or better.

    Args:
        x: Feature maps, or volumes of features.
        window: Size of a window along each spatial axis.
        stride: Step between windows; None places them side by side.
        padding: Zeros on each side, at most half a window. A window that does not fit is left out.
        count_include_pad: Whether those zeros count in averages, as by default in PyTorch.

    Raises:
        ValueError: `padding` is negative or more than half a window.

    >>> avg_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    _check_pool(window, padding)
    stride = window if stride is None else stride
    axes = x.ndim - 2
    edges = ((padding, padding),) * axes
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    averages = nn.avg_pool(wide, (window,) * axes, (stride,) * axes, edges, count_include_pad)
    return averages.astype(x.dtype)


def adaptive_avg_pool(
    x: Float[Array, "batch height width channels"], height: int, width: int
) -> Float[Array, "batch {height} {width} channels"]:
    """Averages maps of any size over `height` x `width` windows.

    Along an axis of n pixels, window i of k reaches from floor(i n / k) to ceil((i + 1) n / k), as
    in PyTorch; so neighbors overlap where k does not divide n, and repeat where n < k. Sums are in
    float32 or better. Maps that already have the size are returned unchanged.

    >>> adaptive_avg_pool(jnp.arange(5.0).reshape(1, 1, 5, 1), 1, 2).ravel().tolist()
    [1.0, 3.0]
    """
    if x.shape[1:3] == (height, width):
        return x
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    down, across = _averages(x.shape[1], height), _averages(x.shape[2], width)
    # A TPU would otherwise multiply in bfloat16.
    averages = jnp.einsum(
        "bhwc,ih,jw->bijc",
        wide,
        down.astype(wide.dtype),
        across.astype(wide.dtype),
        precision=jax.lax.Precision.HIGHEST,
    )
    return averages.astype(x.dtype)


def global_average_pool(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch channels"]:
    """Averages over height and width, in float32 or better; the result has the dtype of `x`.

    Reference: Lin et al., Network in network, ICLR 2014, arXiv:1312.4400.

    >>> global_average_pool(jnp.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[3.0, 4.0]]
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return x.mean(axis=(1, 2), dtype=wide).astype(x.dtype)


def flatten(x: Float[Array, "batch *shape"]) -> Float[Array, "batch features"]:
    """Flattens each image or stack of maps to a vector of height * width * channels values.

    >>> flatten(jnp.ones((0, 4, 4, 3))).shape
    (0, 48)
    """
    # A size of -1 could not be inferred for an empty batch.
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _averages(size: int, windows: int) -> Float[np.ndarray, "windows size"]:
    """The weight of each pixel of an axis in each window of `adaptive_avg_pool`."""
    index = np.arange(windows)[:, np.newaxis]
    start, stop = index * size // windows, -(-(index + 1) * size // windows)
    inside = (start <= np.arange(size)) & (np.arange(size) < stop)
    return inside / (stop - start)


def _overhang(size: int, window: int, stride: int, padding: int) -> int:
    """How far the last window reaches beyond the padding if it begins inside but does not fit."""
    rest = (size + 2 * padding - window) % stride
    start = size + 2 * padding - window - rest + stride
    return stride - rest if rest and start < size + padding else 0


def _check_pool(window: int, padding: int) -> None:
    if not 0 <= 2 * padding <= window:
        raise ValueError(
            f"padding must be from 0 to half the window, here {window // 2}, got {padding}"
        )
