"""Resizing of feature maps, images and masks inside a model."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxvision.checks import check_name

ResizeMethod = Literal["nearest", "nearest_exact", "bilinear"]
METHODS = ("nearest", "nearest_exact", "bilinear")


def resize(
    x: Shaped[Array, "*batch height width channels"],
    size: int | tuple[int, int],
    method: ResizeMethod = "bilinear",
    *,
    align_corners: bool = False,
) -> Shaped[Array, "*batch new_height new_width channels"]:
    """Resizes maps to a given height and width, with the values of torch's `interpolate`.

    Shrinking samples the maps without averaging; `data.resize_and_crop` averages.

    Args:
        x: Feature maps or images; with the two nearest methods, also labels of any type.
        size: The new height and width; one number is used for both.
        method: `"nearest"` reads pixel `floor(i * old / new)`, as decoders expect;
            `"nearest_exact"` reads pixel `floor((i + 0.5) * old / new)`, which does not shift maps;
            `"bilinear"` interpolates linearly along both axes.
        align_corners: Whether bilinear interpolation aligns the centers of the corner pixels
            instead of the corners of the maps.

    Returns:
        Maps of the same type; bilinear interpolation computes in float32 or wider.

    Raises:
        TypeError: Maps to interpolate are not floating point.
        ValueError: The size is not positive, the method is unknown, or `align_corners` is used with
            another method than `"bilinear"`.

    >>> resize(jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1), (1, 4)).ravel().tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"size must be a positive height and width, got {size}")
    check_name("method", method, METHODS)
    if align_corners and method != "bilinear":
        raise ValueError(f"align_corners needs method='bilinear', got {method!r}")
    if x.shape[-3:-1] == (height, width):
        return x
    if method != "bilinear":
        return nearest_along(nearest_along(x, -3, height, method), -2, width, method)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"bilinear interpolation needs floating-point maps, got {x.dtype}; use "
            "method='nearest' for labels"
        )
    down, across = (
        _linear_weights(old, new, align_corners)
        for old, new in zip(x.shape[-3:-1], (height, width), strict=True)
    )
    wide = jnp.promote_types(x.dtype, jnp.float32)
    # Full precision, because TPUs multiply in bfloat16 by default.
    resized = jnp.einsum(
        "...hwc,ih,jw->...ijc",
        x.astype(wide),
        down.astype(wide),
        across.astype(wide),
        precision=jax.lax.Precision.HIGHEST,
    )
    return resized.astype(x.dtype)


def depth_to_space(
    x: Shaped[Array, "*batch height width channels"], factor: int
) -> Shaped[Array, "*batch new_height new_width fewer_channels"]:
    """Moves channels into pixels, as torch's `pixel_shuffle` does (sub-pixel convolution).

    Args:
        x: Feature maps, whose channels are a multiple of `factor**2`.
        factor: The factor by which height and width grow.

    Returns:
        Maps with `channels / factor**2` channels. Channel `c * factor**2 + i * factor + j` becomes
        row i and column j of each pixel's block in channel c.

    Raises:
        ValueError: The channels are not a multiple of `factor**2`.

    Reference: Shi et al., CVPR 2016, arXiv:1609.05158.

    >>> depth_to_space(jnp.arange(4.0).reshape(1, 1, 1, 4), 2)[0, ..., 0].tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    *batch, height, width, channels = x.shape
    if factor < 1 or channels % factor**2:
        raise ValueError(
            f"the channels must be a multiple of factor**2 = {factor**2}, got {channels}"
        )
    blocks = x.reshape(*batch, height, width, channels // factor**2, factor, factor)
    ordered = jnp.moveaxis(blocks, (-2, -1), (-4, -2))  # rows next to rows, columns next to columns
    return ordered.reshape(*batch, height * factor, width * factor, channels // factor**2)


def center_crop(
    x: Shaped[Any, "..."], size: Sequence[int], *, first_axis: int = 1
) -> Shaped[Any, "..."]:
    """Crops the center of maps or volumes, NumPy or JAX arrays.

    Args:
        x: Arrays with any number of axes.
        size: The new length of each axis from `first_axis` on; at most the old one.
        first_axis: The first axis to crop; axes after those of `size` stay whole.

    Returns:
        The center. If an odd number of pixels is cut off, the extra one is cut at the end.

    >>> center_crop(np.arange(7), [2], first_axis=0).tolist()
    [2, 3]
    """
    cut = [slice(None)] * first_axis
    for old, new in zip(x.shape[first_axis:], size, strict=False):
        start = (old - new) // 2
        cut.append(slice(start, start + new))
    return x[tuple(cut)]


def space_to_depth(
    x: Shaped[Array, "*batch height width channels"], factor: int
) -> Shaped[Array, "*batch new_height new_width more_channels"]:
    """Moves pixels into channels: the inverse of `depth_to_space`, torch's `pixel_unshuffle`.

    Args:
        x: Feature maps, whose height and width are multiples of `factor`.
        factor: The factor by which height and width shrink.

    Raises:
        ValueError: Height or width is not a multiple of `factor`.

    >>> space_to_depth(jnp.arange(4.0).reshape(1, 2, 2, 1), 2)[0, 0, 0].tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    *batch, height, width, channels = x.shape
    if factor < 1 or height % factor or width % factor:
        raise ValueError(
            f"height and width must be multiples of factor = {factor}, got {height} and {width}"
        )
    blocks = x.reshape(*batch, height // factor, factor, width // factor, factor, channels)
    ordered = jnp.moveaxis(blocks, (-4, -2), (-2, -1))
    return ordered.reshape(*batch, height // factor, width // factor, channels * factor**2)


def nearest_along(
    x: Shaped[Array, "..."], axis: int, new: int, method: ResizeMethod
) -> Shaped[Array, "..."]:
    """Resizes one axis of an array to length `new` by reading the nearest pixels, as `resize` does.

    Args:
        x: An array with any number of axes.
        axis: The axis to resize.
        new: The new length of the axis.
        method: `"nearest"` or `"nearest_exact"`.

    >>> nearest_along(jnp.arange(6), 0, 2, "nearest_exact").tolist()
    [1, 4]
    """
    old = x.shape[axis]
    if new == old:
        return x
    if old and new % old == 0:
        return jnp.repeat(x, new // old, axis)  # its gradient is a sum, not a scatter
    shift = 0.5 if method == "nearest_exact" else 0.0
    index = np.floor((np.arange(new) + shift) * (old / new)).astype(np.int32)
    return jnp.take(x, np.minimum(index, old - 1), axis, mode="clip")


def _linear_weights(old: int, new: int, align_corners: bool) -> Float[np.ndarray, "new old"]:
    """The weight of each old pixel of a side in each new pixel."""
    if align_corners:
        position = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        position = ((np.arange(new) + 0.5) * (old / new) - 0.5).clip(0, None)
    left = np.minimum(np.floor(position).astype(np.int64), old - 1)
    right = np.minimum(left + 1, old - 1)
    share = position - left
    weights = np.zeros((new, old))
    np.add.at(weights, (np.arange(new), left), 1 - share)
    np.add.at(weights, (np.arange(new), right), share)
    return weights
