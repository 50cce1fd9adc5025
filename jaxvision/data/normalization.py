"""Conversion of pixels to floats, and normalization."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from jaxvision._preprocessing import check_mean_and_std

Images = Num[Array, "*batch height width channels"] | Bool[Array, "*batch height width channels"]
FloatImages = Float[Array, "*batch height width channels"]


def to_float(images: Images) -> FloatImages:
    """Converts pixels to floats; integers are divided by the largest value of their type.

    Args:
        images: Pixels of a floating-point type, uint8, uint16 or bool.

    Returns:
        Floating-point images unchanged; others in float32, from 0 to 1.

    Raises:
        TypeError: The images are of another type, in which the value of white is unknown.

    >>> to_float(jnp.array([[[51]]], jnp.uint8)).item()
    0.20000000298023224
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images
    if images.dtype == jnp.bool_:
        return images.astype(jnp.float32)
    if images.dtype not in (jnp.uint8, jnp.uint16):
        # JAX has converted integers of 64 bits to 32 before this.
        wide = {"int32": "int32 or int64", "uint32": "uint32 or uint64"}
        got = wide.get(images.dtype.name, images.dtype)
        raise TypeError(
            f"pixels must be uint8, uint16, bool or floating point, got {got}; pixels "
            'from 0 to 255 are images.astype("uint8")'
        )
    return images.astype(jnp.float32) / jnp.iinfo(images.dtype).max


def normalize(images: FloatImages, mean: Sequence[float], std: Sequence[float]) -> FloatImages:
    """Subtracts the mean and divides by the standard deviation, as pretrained weights expect.

    Args:
        images: Pixels from 0 to 1.
        mean: Mean that is subtracted; one number, or one per channel.
        std: Standard deviation that is divided by; one number, or one per channel.

    Returns:
        Pixels of the given type, computed in at least float32.

    Raises:
        ValueError: There are not as many numbers as channels, a mean is not finite, or a deviation
            is not positive.

    >>> normalize(jnp.ones((1, 1, 1)), mean=(0.5,), std=(0.25,)).item()
    2.0
    """
    wide, shift, scale = _checked(images, mean, std)
    return ((wide - shift) / scale).astype(images.dtype)


def denormalize(images: FloatImages, mean: Sequence[float], std: Sequence[float]) -> FloatImages:
    """Undoes `normalize`, for example to show the images that a model generates.

    Args:
        images: Normalized pixels.
        mean: Mean that `normalize` subtracted; one number, or one per channel.
        std: Standard deviation that `normalize` divided by; one number, or one per channel.

    Returns:
        Pixels of the given type, from 0 to 1 if they were so before, computed in at least float32.

    Raises:
        ValueError: As for `normalize`.

    >>> denormalize(jnp.full((1, 1, 1), 2.0), mean=(0.5,), std=(0.25,)).item()
    1.0
    """
    wide, shift, scale = _checked(images, mean, std)
    return (wide * scale + shift).astype(images.dtype)


def _checked(
    images: FloatImages, mean: Sequence[float], std: Sequence[float]
) -> tuple[Array, Array, Array]:
    """Returns the checked images, mean and deviation in the type to compute in."""
    for name, numbers in (("mean", mean), ("std", std)):
        if len(numbers) not in (1, images.shape[-1]):
            raise ValueError(
                f"{name} has {len(numbers)} numbers and the images have {images.shape[-1]} channels"
            )
    check_mean_and_std(mean, std)
    exact = jnp.promote_types(images.dtype, jnp.float32)
    return images.astype(exact), jnp.array(mean, exact), jnp.array(std, exact)
