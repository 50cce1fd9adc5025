"""Similarity of images to references, pixel by pixel; usable inside `jit`."""

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from jaxvision.checks import check_name, check_positive

Images = Real[Array, "batch height width channels"]
Padding = Literal["valid", "reflect", "symmetric"]
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The weights of the scales in the paper, finest first."""

_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def psnr(
    images: Real[Array, "batch *shape"],
    references: Real[Array, "batch *shape"],
    *,
    max_value: int | float = 1.0,
) -> Float[Array, " batch"]:
    """The peak signal-to-noise ratio in decibels, `10 log10(max_value^2 / mean squared error)`.

    It is infinite for equal images.

    Args:
        images: Images.
        references: Reference images, of the same shape.
        max_value: The largest possible value of a pixel.

    Raises:
        ValueError: The shapes differ, `max_value` is not positive, or it is 1 for integers.

    >>> print(psnr(jnp.full((1, 2, 2, 1), 0.1), jnp.zeros((1, 2, 2, 1))).round(3))
    [20.]
    """
    first, second = _pair(images, references, max_value)
    error = jnp.square(first - second).mean(axis=range(1, first.ndim))
    return 20 * math.log10(max_value) - 10 * jnp.log10(error)


def ssim(
    images: Images,
    references: Images,
    *,
    max_value: int | float = 1.0,
    padding: Padding = "valid",
) -> Float[Array, " batch"]:
    """The structural similarity of images, with the settings of its authors.

    Means, variances and covariances use a Gaussian window of 11x11 pixels with a standard deviation
    of 1.5; the constants are 0.01 and 0.03. Libraries differ in the second digit, because they use
    other windows or paddings, or shrink large images first.

    Args:
        images: Images.
        references: Reference images, of the same shape.
        max_value: The largest possible value of a pixel.
        padding: `"valid"` uses only windows inside the image, as the authors do. The other two
            accept images of any size, and mirror them at their border as `numpy.pad` does:
            `"reflect"` does not repeat the border pixels (as kornia and torchmetrics), and
            `"symmetric"` does (as the map of scikit-image).

    Returns:
        The mean over windows and channels, from -1 to 1; equal images have 1.

    Raises:
        ValueError: The shapes differ, `padding` is unknown, images are too small for `"valid"`,
            `max_value` is not positive, or it is 1 for integers.

    Reference: Wang et al., Image quality assessment, IEEE Trans. Image Processing 13, 2004.

    >>> import jax
    >>> image = np.linspace(0, 1, 144, dtype=np.float32).reshape(1, 12, 12, 1)
    >>> measure = jax.jit(ssim)
    >>> print(f"{measure(image, image)[0]:.4f} {measure(image, 1 - image)[0]:.4f}")
    1.0000 -0.9317
    """
    luminance, contrast = _ssim_parts(*_pair(images, references, max_value), max_value, padding)
    return (luminance * contrast).mean(axis=(1, 2, 3))


def ms_ssim(
    images: Images,
    references: Images,
    *,
    max_value: int | float = 1.0,
    padding: Padding = "valid",
    weights: Sequence[float] = MS_SSIM_WEIGHTS,
) -> Float[Array, " batch"]:
    """The structural similarity at several scales (MS-SSIM): a product of powers.

    Contrast and structure are compared at every scale, luminance at the coarsest one only. Each
    scale halves the previous one (means of 2x2 pixels).

    Args:
        images: Images.
        references: Reference images, of the same shape.
        max_value: The largest possible value of a pixel.
        padding: As for `ssim`; with `"valid"`, five scales need sides of more than 160 pixels.
        weights: The exponent of each scale, finest first.

    Returns:
        From 0 to 1; a channel whose mean contrast is negative at some scale counts as 0.

    Raises:
        ValueError: As for `ssim`, or there are no `weights`.

    Reference: Wang et al., Multiscale structural similarity for image quality assessment, 2003.

    >>> import functools, jax
    >>> image = np.linspace(0, 1, 576, dtype=np.float32).reshape(1, 24, 24, 1)
    >>> measure = jax.jit(functools.partial(ms_ssim, weights=(0.5, 0.5)))
    >>> print(f"{measure(image, image)[0]:.4f}")
    1.0000
    """
    if not len(weights):
        raise ValueError("weights must be one number or more, one for each scale, got none")
    first, second = _pair(images, references, max_value)
    product: Any = 1.0
    for scale, weight in enumerate(weights):
        if scale > 0:
            first, second = _halved(first), _halved(second)
        luminance, contrast = _ssim_parts(first, second, max_value, padding)
        if scale == len(weights) - 1:
            contrast = luminance * contrast
        by_channel = jnp.maximum(contrast.mean(axis=(1, 2)), 0)
        # A power has no finite derivative at 0.
        safe = jnp.where(by_channel > 0, by_channel, 1) ** weight
        product *= jnp.where(by_channel > 0, safe, 0)
    return product.mean(axis=-1)


def total_variation(images: Images) -> Float[Array, " batch"]:
    """The sum of the absolute differences of neighboring pixels, along both axes, per image.

    >>> print(total_variation(jnp.array([0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 4, 1)))
    [2.]
    """
    wide = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    down, across = (jnp.abs(jnp.diff(wide, axis=axis)).sum(axis=(1, 2, 3)) for axis in (1, 2))
    return down + across


def _pair(images: Array, references: Array, max_value: int | float) -> tuple[Array, Array]:
    check_positive("max_value", max_value)
    for each in (images, references):
        if jnp.issubdtype(each.dtype, jnp.integer) and max_value <= 1:
            raise ValueError(
                f"max_value must be the largest value of a pixel, and is {max_value} for images of "
                f"{each.dtype}: give max_value=255 for bytes, or divide the images by 255"
            )
    if images.shape != references.shape:
        raise ValueError(
            f"images and references must have one shape, got {images.shape} and {references.shape}"
        )
    wide = jnp.result_type(images, references, jnp.float32)
    return images.astype(wide), references.astype(wide)


def _ssim_parts(
    first: Images, second: Images, max_value: int | float, padding: Padding
) -> tuple[Array, Array]:
    """The luminance term and the contrast-structure term of each window."""
    check_name("padding", padding, get_args(Padding))
    if padding == "valid" and min(first.shape[1:3]) < _WINDOW:
        raise ValueError(
            f"images must be {_WINDOW}x{_WINDOW} pixels or more at every scale, got "
            f"{first.shape[1]}x{first.shape[2]}; use fewer scales, or padding='symmetric'"
        )
    mean1, mean2, square1, square2, product = (
        _smooth(each, padding) for each in (first, second, first**2, second**2, first * second)
    )
    c1, c2 = (_K1 * max_value) ** 2, (_K2 * max_value) ** 2
    variances = square1 - mean1**2 + square2 - mean2**2
    luminance = (2 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1)
    contrast = (2 * (product - mean1 * mean2) + c2) / (variances + c2)
    return luminance, contrast


def _smooth(images: Images, padding: Padding) -> Float[Array, "batch _ _ channels"]:
    """The mean under the window around each pixel, one axis after the other."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    taps = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    taps /= taps.sum()
    for axis in (1, 2):
        if padding != "valid":
            border = [(0, 0)] * 4
            border[axis] = (_WINDOW // 2, _WINDOW // 2)
            images = jnp.pad(images, border, mode=padding)
        length = images.shape[axis] - _WINDOW + 1
        parts = [
            float(tap) * jnp.take(images, np.arange(length) + start, axis)
            for start, tap in enumerate(taps)
        ]
        images = functools.reduce(jnp.add, parts)
    return images


def _halved(images: Images) -> Float[Array, "batch _ _ channels"]:
    """The mean of each 2x2 pixels; an odd last row or column is dropped."""
    height, width = images.shape[1] // 2, images.shape[2] // 2
    cut = images[:, : 2 * height, : 2 * width]
    return cut.reshape(len(cut), height, 2, width, 2, -1).mean(axis=(2, 4))
