"""Brightness, contrast, saturation and hue: functions of one image, and random transforms.

The definitions are torchvision's: factor 1 keeps the image, 0 removes the property, above 1
exaggerates it, and results are clipped to [0, 1]. Gray is the ITU-R 601 luma, 0.2989 red + 0.587
green + 0.114 blue, or the only channel.
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
    """Multiplies an image by a factor, and clips it to [0, 1].

    Args:
        image: Image with values in [0, 1] and any number of channels.
        factor: Factor of at least 0; 0 gives black.

    Raises:
        TypeError: The image is not floating.

    >>> float(adjust_brightness(jnp.full((1, 1, 3), 0.25), 2.0)[0, 0, 0])
    0.5
    """
    wide = widen(image)
    return blend(wide, jnp.zeros_like(wide), factor).astype(image.dtype)


def adjust_contrast(image: Image, factor: ScalarLike) -> Image:
    """Moves values away from, or towards, the mean of the gray image, and clips them to [0, 1].

    Args:
        image: Image with values in [0, 1] and 1 or 3 channels.
        factor: Factor of at least 0; 0 gives a uniform gray.

    Raises:
        TypeError: The image is not floating.
        ValueError: The image does not have 1 or 3 channels.

    >>> adjust_contrast(jnp.array([[[0.25], [0.75]]]), 0.5)[0, :, 0]
    Array([0.375, 0.625], dtype=float32)
    """
    wide = widen(image)
    return blend(wide, _gray(wide).mean(), factor).astype(image.dtype)


def adjust_saturation(image: Image, factor: ScalarLike) -> Image:
    """Moves pixels away from, or towards, their gray, and clips them to [0, 1].

    Args:
        image: Image with values in [0, 1] and 3 channels, or 1, which stays unchanged.
        factor: Factor of at least 0; 0 gives a gray image.

    Raises:
        TypeError: The image is not floating.
        ValueError: The image does not have 1 or 3 channels.

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
    """Rotates hues on the color circle, keeping saturation and value (of HSV).

    Args:
        image: Image with values in [0, 1] and 3 channels, or 1, which stays unchanged.
        shift: Rotation in turns: 1/3 turns red into green, -0.5 and 0.5 give complementary colors.

    Raises:
        TypeError: The image is not floating.
        ValueError: The image does not have 1 or 3 channels.

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
    # Channels are compared with each other, not with the maximum: if a compiler computes the image
    # twice, once with fused multiply-adds, equality may fail. At near ties all formulas agree.
    hue = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) / divisor,
        jnp.where(green >= blue, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = hue + 6 * shift

    # Each channel is a trapezoid over the circle in sixths; floor is much faster than %.
    def channel(offset: int) -> Array:
        place = offset + hue
        place = place - 6 * jnp.floor(place / 6)
        return value - chroma * jnp.clip(jnp.minimum(place, 4 - place), 0, 1)

    return jnp.stack([channel(5), channel(3), channel(1)], axis=-1).astype(image.dtype)


def to_grayscale(image: Image) -> Image:
    """Replaces every channel by the gray, keeping the number of channels.

    Args:
        image: Image with values in [0, 1] and 3 channels, or 1, which stays unchanged.

    Raises:
        TypeError: The image is not floating.
        ValueError: The image does not have 1 or 3 channels.

    >>> to_grayscale(jnp.array([[[0.0, 1.0, 0.0]]]))[0, 0]
    Array([0.587, 0.587, 0.587], dtype=float32)
    """
    return jnp.broadcast_to(_gray(widen(image)), image.shape).astype(image.dtype)


def color_jitter(
    brightness: Number = 0.0, contrast: Number = 0.0, saturation: Number = 0.0, hue: Number = 0.0
) -> Transform:
    """Changes brightness, contrast, saturation and hue, in a random order for each image.

    Args:
        brightness: Strength b; the factor is uniform in [max(0, 1 - b), 1 + b].
        contrast: Strength of the contrast, likewise.
        saturation: Strength of the saturation, likewise.
        hue: Greatest shift, at most 0.5 turns; the shift is uniform in [-hue, hue].

    Returns:
        A transform. Changes of strength 0 are left out: if all are 0, images are unchanged bit for
        bit.

    Raises:
        ValueError: A strength is negative, the hue exceeds 0.5, or (in the call) contrast,
            saturation or hue are applied to an image that does not have 1 or 3 channels.

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
        # Unrolled: a vmapped switch computes every branch. Unrolled and fused, it costs no more
        # than one fixed order; as a loop, it is four times slower on a CPU.
        for choice in jax.random.permutation(order_key, len(branches)):
            image = jax.lax.switch(choice, branches, image)
        return image

    return photometric(photometry)


def random_grayscale(probability: Number = 0.1) -> Transform:
    """Makes some images gray, keeping their number of channels.

    Args:
        probability: Probability of each image to become gray.

    Raises:
        ValueError: The probability is not in [0, 1], or (in the call) an image does not have 1 or 3
            channels.

    >>> random_grayscale(1.0)(jax.random.key(0), jnp.array([[[0.0, 1.0, 0.0]]]))[0, 0]
    Array([0.587, 0.587, 0.587], dtype=float32)
    """
    check_probability(probability)

    def photometry(key: RandomKey, image: Image) -> Image:
        return jnp.where(jax.random.bernoulli(key, probability), to_grayscale(image), image)

    return photometric(photometry)


def blend(image: Image, other: Float[Array, "..."], factor: ScalarLike) -> Image:
    """Interpolates from `other` (factor 0) to the image (factor 1) and beyond, within [0, 1]."""
    return jnp.clip(factor * image + (1 - factor) * other, 0, 1)


def _check_channels(image: Image) -> None:
    channels = image.shape[-1]
    if channels not in (1, 3):
        raise ValueError(
            f"color is defined for images of 1 (gray) or 3 (red, green, blue) channels, not "
            f"{channels}; adjust the color channels by themselves"
        )


def _gray(image: Image) -> Float[Array, "height width 1"]:
    """Returns the luma of an image of three channels; an image of one channel is its own gray."""
    _check_channels(image)
    if image.shape[-1] == 1:
        return image
    red, green, blue = image[..., 0:1], image[..., 1:2], image[..., 2:3]
    return 0.2989 * red + 0.587 * green + 0.114 * blue
