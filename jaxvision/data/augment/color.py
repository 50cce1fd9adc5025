"""Brightness, contrast, saturation, hue: functions of one image, and transforms that draw them.

The definitions are those of torchvision: a factor of 1 leaves the image as it is, 0 removes the
property, above 1 exaggerates it, and the result is clipped to [0, 1]. Gray is the ITU-R 601
luma, 0.2989 red + 0.587 green + 0.114 blue; an image of one channel is its own gray.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from jaxvision.data.augment._common import (
    Image,
    Number,
    RandomKey,
    check_amount,
    check_probability,
    uniform,
    widen,
)
from jaxvision.data.augment.transform import Transform, photometric


def adjust_brightness(image: Image, factor: ScalarLike) -> Image:
    """Multiplies by a factor.

    Args:
        image: An image with values in [0, 1], of any number of channels.
        factor: At least 0; 0 gives black.

    Returns:
        The image, clipped to [0, 1].

    Raises:
        TypeError: If the image is not floating.

    >>> float(adjust_brightness(jnp.full((1, 1, 3), 0.25), 2.0)[0, 0, 0])
    0.5
    """
    wide = widen(image)
    return blend(wide, jnp.zeros_like(wide), factor).astype(image.dtype)


def adjust_contrast(image: Image, factor: ScalarLike) -> Image:
    """Moves every value away from, or towards, the mean of the gray image.

    Args:
        image: An image with values in [0, 1], of 1 or 3 channels.
        factor: At least 0; 0 gives a uniform gray.

    Returns:
        The image, clipped to [0, 1].

    Raises:
        TypeError: If the image is not floating.
        ValueError: If it has neither 1 nor 3 channels.

    >>> adjust_contrast(jnp.array([[[0.25], [0.75]]]), 0.5)[0, :, 0]
    Array([0.375, 0.625], dtype=float32)
    """
    wide = widen(image)
    return blend(wide, _gray(wide).mean(), factor).astype(image.dtype)


def adjust_saturation(image: Image, factor: ScalarLike) -> Image:
    """Moves every pixel away from, or towards, its gray.

    Args:
        image: An image with values in [0, 1], of 3 channels, or of 1, which stays as it is.
        factor: At least 0; 0 gives a gray image.

    Returns:
        The image, clipped to [0, 1].

    Raises:
        TypeError: If the image is not floating.
        ValueError: If it has neither 1 nor 3 channels.

    >>> red = jnp.array([[[1.0, 0.0, 0.0]]])
    >>> adjust_saturation(red, 0.0)[0, 0]
    Array([0.2989, 0.2989, 0.2989], dtype=float32)
    """
    wide = widen(image)
    gray = _gray(wide)
    if image.shape[-1] == 1:
        return image
    return blend(wide, gray, factor).astype(image.dtype)


def adjust_hue(image: Image, shift: ScalarLike) -> Image:
    """Turns the color circle, keeping saturation and value (of HSV) as they are.

    Args:
        image: An image with values in [0, 1], of 3 channels, or of 1, which stays as it is.
        shift: In turns: 1/3 makes red green, -0.5 and 0.5 give complementary colors.

    Returns:
        The image.

    Raises:
        TypeError: If the image is not floating.
        ValueError: If it has neither 1 nor 3 channels.

    >>> red = jnp.array([[[1.0, 0.0, 0.0]]])
    >>> jax.jit(adjust_hue)(red, 1 / 3).round(5)[0, 0]
    Array([0., 1., 0.], dtype=float32)
    """
    wide = widen(image)
    _check_channels(wide)
    if image.shape[-1] == 1:
        return image
    red, green, blue = wide[..., 0], wide[..., 1], wide[..., 2]
    value = wide.max(axis=-1)
    chroma = value - wide.min(axis=-1)
    divisor = jnp.where(chroma == 0, 1, chroma)
    # Comparing channels, not a channel with the maximum: if a compiler computes the image twice,
    # once with fused multiply-adds, equality may fail, while at near ties all formulas agree.
    hue = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) / divisor,
        jnp.where(green >= blue, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = hue + 6 * shift

    # Over the circle in sixths each channel is a trapezium; floor is much faster than %.
    def channel(offset: int) -> Array:
        place = offset + hue
        place = place - 6 * jnp.floor(place / 6)
        return value - chroma * jnp.clip(jnp.minimum(place, 4 - place), 0, 1)

    return jnp.stack([channel(5), channel(3), channel(1)], axis=-1).astype(image.dtype)


def to_grayscale(image: Image) -> Image:
    """Replaces every channel by the gray.

    Args:
        image: An image with values in [0, 1], of 3 channels, or of 1, which stays as it is.

    Returns:
        The image, with as many channels as before.

    Raises:
        TypeError: If the image is not floating.
        ValueError: If it has neither 1 nor 3 channels.

    >>> to_grayscale(jnp.array([[[0.0, 1.0, 0.0]]]))[0, 0]
    Array([0.587, 0.587, 0.587], dtype=float32)
    """
    return jnp.broadcast_to(_gray(widen(image)), image.shape).astype(image.dtype)


def color_jitter(
    brightness: Number = 0.0, contrast: Number = 0.0, saturation: Number = 0.0, hue: Number = 0.0
) -> Transform:
    """Changes brightness, contrast, saturation and hue, in an order random for each image.

    Args:
        brightness: The factor is uniform in [max(0, 1 - brightness), 1 + brightness].
        contrast: The same for the contrast.
        saturation: The same for the saturation.
        hue: The shift is uniform in [-hue, hue] turns, and at most 0.5.

    Returns:
        The transform. What has strength 0 is left out, so that all 0 returns images bit for bit.

    Raises:
        ValueError: If a strength is negative, the hue exceeds 0.5, or (in the call) contrast,
            saturation or hue meet an image of neither 1 nor 3 channels.

    >>> jitter = color_jitter(0.4, 0.4, 0.4, 0.1)
    >>> jax.eval_shape(jitter, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    strengths = (brightness, contrast, saturation, hue)
    for name, strength in zip(("brightness", "contrast", "saturation"), strengths, strict=False):
        check_amount(name, strength)
    check_amount("hue", hue, most=0.5)
    adjustments = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    chosen = [index for index, strength in enumerate(strengths) if strength > 0]
    if not chosen:
        return photometric(lambda key, image: image)

    def photometry(key: RandomKey, image: Image) -> Image:
        order_key, *keys = jax.random.split(key, 5)
        amounts = [
            uniform(keys[index], max(0.0, 1 - strength), 1 + strength)
            for index, strength in enumerate(strengths[:3])
        ]
        amounts.append(uniform(keys[3], -hue, hue))
        branches = [
            lambda image, index=index: adjustments[index](image, amounts[index]) for index in chosen
        ]
        # Unrolled: a vmapped switch computes every branch, and so fused it costs no more than
        # one fixed order; as a loop it is four times slower on a CPU.
        for choice in jax.random.permutation(order_key, len(branches)):
            image = jax.lax.switch(choice, branches, image)
        return image

    return photometric(photometry)


def random_grayscale(probability: Number = 0.1) -> Transform:
    """Makes some of the images gray, keeping their number of channels.

    Args:
        probability: How often.

    Returns:
        The transform.

    Raises:
        ValueError: If the probability lies outside [0, 1], or (in the call) an image has neither
            1 nor 3 channels.

    >>> random_grayscale(1.0)(jax.random.key(0), jnp.array([[[0.0, 1.0, 0.0]]]))[0, 0]
    Array([0.587, 0.587, 0.587], dtype=float32)
    """
    check_probability(probability)

    def photometry(key: RandomKey, image: Image) -> Image:
        return jnp.where(jax.random.bernoulli(key, probability), to_grayscale(image), image)

    return photometric(photometry)


def blend(image: Image, other: Float[Array, "..."], factor: ScalarLike) -> Image:
    """Goes from `other` (factor 0) through the image (factor 1) and beyond, within [0, 1]."""
    return jnp.clip(factor * image + (1 - factor) * other, 0, 1)


def _check_channels(image: Image) -> None:
    channels = image.shape[-1]
    if channels not in (1, 3):
        raise ValueError(
            f"color is defined for images of 1 (gray) or 3 (red, green, blue) channels, not "
            f"{channels}; adjust the color channels by themselves"
        )


def _gray(image: Image) -> Float[Array, "height width 1"]:
    """The luma of an image of three channels, and an image of one channel itself."""
    _check_channels(image)
    if image.shape[-1] == 1:
        return image
    red, green, blue = image[..., 0:1], image[..., 1:2], image[..., 2:3]
    return 0.2989 * red + 0.587 * green + 0.114 * blue
