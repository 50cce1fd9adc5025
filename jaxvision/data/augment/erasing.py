"""Random erasing of rectangles."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, ScalarLike

from jaxvision.data.augment._common import (
    Image,
    Number,
    RandomKey,
    check_probability,
    check_range,
    random_extent,
)
from jaxvision.data.augment.transform import Transform, photometric
from jaxvision.suggest import unknown


def rectangle(
    height: int,
    width: int,
    *,
    rows: tuple[ScalarLike, ScalarLike],
    columns: tuple[ScalarLike, ScalarLike],
) -> Bool[Array, "height width 1"]:
    """Marks the pixels of a rectangle.

    `rows` and `columns` are (first, end), where the end is outside; they may be traced.

    >>> mark = jax.jit(rectangle, static_argnums=(0, 1))
    >>> int(mark(4, 4, rows=(1, 3), columns=(0, 4)).sum())
    8
    """
    row, column = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
    within_rows = (row >= rows[0]) & (row < rows[1])
    within_columns = (column >= columns[0]) & (column < columns[1])
    return within_rows & within_columns


def random_erasing(
    probability: Number = 0.5,
    *,
    scale: tuple[Number, Number] = (0.02, 0.33),
    ratio: tuple[Number, Number] = (0.3, 3.3),
    value: Number | tuple[Number, ...] | str = 0.0,
) -> Transform:
    """Overwrites a random rectangle in some images; masks stay unchanged.

    Area and aspect ratio are drawn as by `random_resized_crop` and rounded to whole pixels. All
    positions inside the image are equally likely.

    Args:
        probability: Probability of each image to be changed.
        scale: Least and greatest area of the rectangle, as a fraction of the image's.
        ratio: Least and greatest aspect ratio (width over height) of the rectangle.
        value: Value that is written: a number, one number per channel, or "normal" for standard
            normal noise, which is not limited to [0, 1] and suits standardized images.

    Raises:
        ValueError: The probability or a range is invalid, the value's name is unknown, or (in the
            call) the value does not fit the image's channels.

    Reference: Zhong et al., Random erasing data augmentation, AAAI 2020, arXiv:1708.04896

    >>> erase = jax.jit(random_erasing(1.0))
    >>> erased = erase(jax.random.key(0), jnp.ones((16, 32, 32, 3)))
    >>> bool(jnp.all(erased.min(axis=(1, 2, 3)) == 0))
    True
    """
    check_probability(probability)
    check_range("scale", scale, most=1.0)
    check_range("ratio", ratio)
    if isinstance(value, str) and value != "normal":
        raise ValueError(unknown("value", value, ["normal"]))

    def photometry(key: RandomKey, image: Image) -> Image:
        height, width, channels = image.shape
        if isinstance(value, tuple) and len(value) != channels:
            raise ValueError(f"value has {len(value)} numbers for an image of {channels} channels")
        chance_key, extent_key, top_key, left_key, noise_key = jax.random.split(key, 5)
        extent = random_extent(extent_key, height, width, scale, ratio)
        rows, columns = (jnp.round(side).astype(jnp.int32) for side in extent)
        top = jax.random.randint(top_key, (), 0, height - rows + 1)
        left = jax.random.randint(left_key, (), 0, width - columns + 1)
        inside = rectangle(height, width, rows=(top, top + rows), columns=(left, left + columns))
        if value == "normal":
            content = jax.random.normal(noise_key, image.shape, image.dtype)
        else:
            content = jnp.asarray(value, image.dtype)
        return jnp.where(inside & jax.random.bernoulli(chance_key, probability), content, image)

    return photometric(photometry)
