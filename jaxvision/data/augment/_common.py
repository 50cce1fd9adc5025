"""What every augmentation shares: the names of its arrays, its checks and its draws."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

Image = Float[Array, "height width channels"]
Matrix = Float[Array, "3 3"]
RandomKey = Key[Array, ""]
Number = int | float


def widen(image: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """Gives a floating image in at least float32, the precision in which everything is computed.

    Args:
        image: An image, or a batch of them.

    Returns:
        The same values; bfloat16 and float16 become float32, float64 stays.

    Raises:
        TypeError: If the image is not floating.
    """
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(
            f"an image must be floating, with values in [0, 1], and this one is {image.dtype}; "
            "for 8-bit images divide by 255 first: image.astype(jnp.float32) / 255"
        )
    return jnp.asarray(image, jnp.promote_types(image.dtype, jnp.float32))


def has_size(shape: tuple[int, ...], images: tuple[int, ...]) -> bool:
    """Tells whether a field has the size of the images of its batch, so that it may be a map.

    Args:
        shape: The shape of the field.
        images: That of the images, (batch, height, width, channels), or of volumes, with a depth
            before the height.

    Returns:
        Whether it is (batch, height, width, ...) or (batch, objects, height, width, ...).
    """
    return len(shape) > 2 and images[-3:-1] in (shape[1:3], shape[2:4])


def check_probability(probability: Number) -> None:
    """Raises ValueError unless the probability lies in [0, 1]."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in [0, 1], not {probability}")


def check_amount(name: str, value: Number, most: Number = math.inf) -> None:
    """Raises ValueError unless a strength lies in [0, most]."""
    if not 0 <= value <= most:
        allowed = "be at least 0" if most == math.inf else f"lie in [0, {most}]"
        raise ValueError(f"{name} must {allowed}, not {value}")


def check_range(name: str, bounds: tuple[Number, Number], most: Number = math.inf) -> None:
    """Raises ValueError unless bounds are (low, high) with 0 < low <= high <= most."""
    if not 0 < bounds[0] <= bounds[1] <= most:
        limit = "" if most == math.inf else f" <= {most}"
        raise ValueError(f"{name} must be (low, high) with 0 < low <= high{limit}, not {bounds}")


def as_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Reads a size: one number for a square, or (height, width)."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"size must be a positive height and width, not {size}")
    return height, width


def uniform(key: RandomKey, low: Number | Array, high: Number | Array) -> Float[Array, ""]:
    """Draws one float32, uniform in [low, high]."""
    return jax.random.uniform(key, (), jnp.float32) * (high - low) + low


def random_extent(
    key: RandomKey,
    height: int,
    width: int,
    scale: tuple[Number, Number],
    ratio: tuple[Number, Number],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Draws the height and width of a rectangle that fits into an image, without rejection.

    The area is uniform over `scale` times the image's area. Given the area, the logarithm of
    the aspect ratio (width over height) is uniform over those ratios in `ratio` at which the
    rectangle fits. Where none fits, the nearest ratio that does is taken.

    Drawing the ratio given the area keeps the area uniform; drawing again until both fit, the
    usual way, favours small areas and needs a loop.

    Args:
        key: A PRNG key.
        height: The image's height.
        width: The image's width.
        scale: Least and greatest fraction of the image's area.
        ratio: Least and greatest aspect ratio.

    Returns:
        Height and width in pixels, not rounded, at most the image's.
    """
    area_key, ratio_key = jax.random.split(key)
    area = uniform(area_key, *scale) * (height * width)
    narrowest, widest = jnp.log(area / height**2), jnp.log(width**2 / area)
    low, high = (jnp.clip(math.log(bound), narrowest, widest) for bound in ratio)
    aspect = jnp.exp(uniform(ratio_key, low, high))
    return jnp.minimum(jnp.sqrt(area / aspect), height), jnp.minimum(jnp.sqrt(area * aspect), width)
