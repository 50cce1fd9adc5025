"""Types, checks and random draws shared by the augmentations."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

Image = Float[Array, "height width channels"]
Matrix = Float[Array, "3 3"]
RandomKey = Key[Array, ""]
Number = int | float


def widen(image: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """Returns a floating image in at least float32, in which all transforms compute."""
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(
            f"an image must be floating, with values in [0, 1], and this one is {image.dtype}; "
            "for 8-bit images divide by 255 first: image.astype(jnp.float32) / 255"
        )
    return jnp.asarray(image, jnp.promote_types(image.dtype, jnp.float32))


def has_size(shape: tuple[int, ...], images: tuple[int, ...]) -> bool:
    """Whether a field of this shape may be a map of the images.

    Their sizes agree if it is (batch, height, width, ...) or (batch, objects, height, width, ...).
    """
    return len(shape) > 2 and images[-3:-1] in (shape[1:3], shape[2:4])


def check_probability(probability: Number) -> None:
    """Raises a ValueError unless the probability is in [0, 1]."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in [0, 1], not {probability}")


def check_amount(name: str, value: Number, most: Number = math.inf) -> None:
    """Raises a ValueError unless a strength is in [0, most]."""
    if not 0 <= value <= most:
        allowed = "be at least 0" if most == math.inf else f"lie in [0, {most}]"
        raise ValueError(f"{name} must {allowed}, not {value}")


def check_range(name: str, bounds: tuple[Number, Number], most: Number = math.inf) -> None:
    """Raises a ValueError unless bounds are (low, high) with 0 < low <= high <= most."""
    if not 0 < bounds[0] <= bounds[1] <= most:
        limit = "" if most == math.inf else f" <= {most}"
        raise ValueError(f"{name} must be (low, high) with 0 < low <= high{limit}, not {bounds}")


def as_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns (height, width) of a size, which is one number for a square, or a pair."""
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
    """Draws height and width, in pixels and not rounded, of a rectangle that fits into an image.

    The area is uniform over `scale` times the image's area. Given the area, the logarithm of the
    aspect ratio (width over height) is uniform over the part of `ratio` at which the rectangle
    fits; if it fits at none, the nearest ratio that fits is taken. The usual method, drawing again
    until the rectangle fits, favors small areas and needs a loop.
    """
    area_key, ratio_key = jax.random.split(key)
    area = uniform(area_key, *scale) * (height * width)
    narrowest, widest = jnp.log(area / height**2), jnp.log(width**2 / area)
    low, high = (jnp.clip(math.log(bound), narrowest, widest) for bound in ratio)
    aspect = jnp.exp(uniform(ratio_key, low, high))
    return jnp.minimum(jnp.sqrt(area / aspect), height), jnp.minimum(jnp.sqrt(area * aspect), width)
