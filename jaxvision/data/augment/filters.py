"""Blur, sharpness and noise: functions of one image, and random transforms."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from jaxvision.data.augment._common import (
    Image,
    Number,
    RandomKey,
    check_amount,
    check_range,
    uniform,
    widen,
)
from jaxvision.data.augment.color import blend
from jaxvision.data.augment.transform import Transform, photometric


def gaussian_blur(image: Image, sigma: ScalarLike, *, kernel_size: int) -> Image:
    """Blurs with a truncated, normalized Gaussian; beyond its border, the image is mirrored.

    Each axis is one matrix product, which allows a different sigma for every image of a batch; a
    grouped convolution would be many times slower on a CPU.

    Args:
        image: Image with values in [0, 1].
        sigma: Standard deviation in pixels; 0 leaves the image unchanged.
        kernel_size: Width of the filter in pixels, odd.

    Raises:
        TypeError: The image is not floating.
        ValueError: The kernel size is even, or half of it is not smaller than the image.

    >>> spot = jnp.zeros((5, 5, 1)).at[2, 2].set(1.0)
    >>> blur = jax.jit(gaussian_blur, static_argnames="kernel_size")
    >>> blur(spot, 0.5, kernel_size=3)[2, 1:4, 0].round(4)
    Array([0.0838, 0.6193, 0.0838], dtype=float32)
    """
    _check_kernel_size(kernel_size)
    height, width, _ = image.shape
    if kernel_size // 2 >= min(height, width):
        raise ValueError(
            f"kernel_size={kernel_size} is too wide to mirror an image of {height}x{width}; its "
            "half must be smaller than both sides"
        )
    wide = widen(image)
    down = _blur_weights(sigma, kernel_size // 2, height).astype(wide.dtype)
    across = _blur_weights(sigma, kernel_size // 2, width).astype(wide.dtype)
    rows = jnp.einsum("oi,iwc->owc", down, wide, precision="highest")
    return jnp.einsum("pw,owc->opc", across, rows, precision="highest").astype(image.dtype)


def adjust_sharpness(image: Image, factor: ScalarLike) -> Image:
    """Moves an image away from, or towards, a smoothed copy of it, and clips it to [0, 1].

    The smoothing is PIL's: a 3x3 mean whose middle counts five times. The outermost pixels, and
    images of fewer than three rows or columns, stay unchanged.

    Args:
        image: Image with values in [0, 1].
        factor: Factor of at least 0; 0 gives the smoothed copy, 1 the image, above 1 sharpens.

    Raises:
        TypeError: The image is not floating.

    >>> spot = jnp.zeros((3, 3, 1)).at[1, 1].set(0.5)
    >>> jax.jit(adjust_sharpness)(spot, 2.0)[1, 1, 0].round(4)
    Array(0.8077, dtype=float32)
    """
    wide = widen(image)
    height, width, _ = image.shape
    if height < 3 or width < 3:
        return image
    # Not nine shifted reads: XLA's CPU backend would compute a preceding warp nine times.
    square = jax.lax.reduce_window(wide, 0.0, jax.lax.add, (3, 3, 1), (1, 1, 1), "VALID")
    smooth = wide.at[1:-1, 1:-1].set((square + 4 * wide[1:-1, 1:-1]) / 13)
    return blend(wide, smooth, factor).astype(image.dtype)


def random_gaussian_blur(
    kernel_size: int, *, sigma: tuple[Number, Number] = (0.1, 2.0)
) -> Transform:
    """Blurs with a Gaussian whose standard deviation is drawn uniformly.

    Args:
        kernel_size: Width of the filter in pixels, odd; SimCLR uses a tenth of the image.
        sigma: Least and greatest standard deviation in pixels.

    Returns:
        A transform of all images; `sometimes` restricts it to some of them.

    Raises:
        ValueError: The kernel size is even, or `sigma` is not (low, high) with 0 < low <= high.

    Reference: Chen et al., A simple framework for contrastive learning of visual representations,
    ICML 2020, arXiv:2002.05709 (appendix A)

    >>> blur = random_gaussian_blur(5)
    >>> jax.eval_shape(blur, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    _check_kernel_size(kernel_size)
    check_range("sigma", sigma)

    def photometry(key: RandomKey, image: Image) -> Image:
        return gaussian_blur(image, uniform(key, *sigma), kernel_size=kernel_size)

    return photometric(photometry)


def random_gaussian_noise(std: Number = 0.1, *, clip: bool = True) -> Transform:
    """Adds independent Gaussian noise to every value.

    Args:
        std: Standard deviation of the noise; 0 leaves images in [0, 1] unchanged bit for bit.
        clip: Whether the result is clipped to [0, 1].

    Raises:
        ValueError: `std` is negative.

    >>> noise = random_gaussian_noise(0.1)
    >>> jax.eval_shape(noise, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    check_amount("std", std)

    def photometry(key: RandomKey, image: Image) -> Image:
        noisy = image + std * jax.random.normal(key, image.shape, image.dtype)
        return jnp.clip(noisy, 0, 1) if clip else noisy

    return photometric(photometry)


def _check_kernel_size(kernel_size: int) -> None:
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive, not {kernel_size}")


def _blur_weights(sigma: ScalarLike, radius: int, length: int) -> Float[Array, "length length"]:
    """Returns the weight of each input position in each output position, with mirrored inputs."""
    # The lower limit makes sigma 0 a spike of width 0, instead of 0 / 0.
    spread = 2 * jnp.maximum(jnp.square(sigma), 1e-12)

    def gaussian(distance: Array) -> Array:
        weight = jnp.exp(-jnp.square(distance) / spread)
        return jnp.where(jnp.abs(distance) <= radius, weight, 0)

    source = jnp.arange(length)
    output = source[:, None]
    # Mirroring does not repeat the border pixels, so they have no mirror image.
    before = jnp.where(source == 0, 0, gaussian(source + output))
    after = jnp.where(source == length - 1, 0, gaussian(2 * (length - 1) - source - output))
    weights = gaussian(source - output) + before + after
    return weights / weights.sum(axis=1, keepdims=True)
