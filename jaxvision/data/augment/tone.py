"""Functions of one image that change values channel by channel: invert, posterize and so on.

The definitions are those of PIL and torchvision for 8-bit images; level n of 255 is n / 255 here.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, ScalarLike

from jaxvision.data.augment._common import Image, widen


def invert(image: Image) -> Image:
    """Returns the negative, 1 - image.

    Args:
        image: Image with values in [0, 1].

    Raises:
        TypeError: The image is not floating.

    >>> float(invert(jnp.full((1, 1, 3), 0.25))[0, 0, 0])
    0.75
    """
    return (1 - widen(image)).astype(image.dtype)


def posterize(image: Image, bits: ScalarLike) -> Image:
    """Keeps the highest bits of each value's 8-bit level and clears the others.

    Args:
        image: Image with values in [0, 1].
        bits: Number of bits to keep, 0 to 8; 8 leaves all values unchanged, also between levels.

    Returns:
        The image; its gradient is zero.

    Raises:
        TypeError: The image is not floating.

    >>> posterize(jnp.array([[[100 / 255]]]), 2) * 255
    Array([[[64.]]], dtype=float32)
    """
    wide = widen(image)
    step = jnp.left_shift(1, 8 - jnp.asarray(bits))
    kept = (_levels(wide) // step * step).astype(wide.dtype) / 255
    return jnp.where(step == 1, wide, kept).astype(image.dtype)


def solarize(image: Image, threshold: ScalarLike) -> Image:
    """Inverts the values at or above a threshold.

    Args:
        image: Image with values in [0, 1].
        threshold: Least value to invert; 0 inverts all values, 1 only those of exactly 1.

    Raises:
        TypeError: The image is not floating.

    >>> solarize(jnp.array([[[0.25], [0.75], [1.0]]]), 0.5)[0, :, 0]
    Array([0.25, 0.25, 0.  ], dtype=float32)
    """
    wide = widen(image)
    return jnp.where(wide >= threshold, 1 - wide, wide).astype(image.dtype)


def autocontrast(image: Image) -> Image:
    """Stretches each channel to the range [0, 1]; a channel of a single value stays unchanged.

    Args:
        image: Image with values in [0, 1].

    Raises:
        TypeError: The image is not floating.

    >>> autocontrast(jnp.array([[[0.25], [0.375], [0.5]]]))[0, :, 0]
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    wide = widen(image)
    least, greatest = wide.min(axis=(0, 1)), wide.max(axis=(0, 1))
    flat = greatest == least
    stretched = (wide - least) / jnp.where(flat, 1, greatest - least)
    return jnp.where(flat, wide, jnp.clip(stretched, 0, 1)).astype(image.dtype)


def equalize(image: Image) -> Image:
    """Spreads each channel's 8-bit levels so that all become about equally frequent.

    Args:
        image: Image with values in [0, 1], which are rounded to 256 levels.

    Returns:
        The image in these levels; its gradient is zero. A channel with a single level, or with
        fewer than 255 pixels below its greatest level, stays unchanged.

    Raises:
        TypeError: The image is not floating.

    >>> dark = jnp.linspace(0.0, 0.25, 1024).reshape(32, 32, 1)
    >>> float(jax.jit(equalize)(dark).max())
    1.0
    """
    wide = widen(image)
    levels = _levels(wide)
    tables, changed = jax.vmap(_equalizing_table, in_axes=-1)(levels)
    mapped = jax.vmap(lambda table, channel: table[channel], in_axes=(0, -1), out_axes=-1)(
        tables, levels
    )
    return jnp.where(changed, mapped.astype(wide.dtype) / 255, wide).astype(image.dtype)


def _levels(image: Image) -> Int[Array, "height width channels"]:
    return jnp.clip(jnp.round(image * 255), 0, 255).astype(jnp.int32)


def _equalizing_table(levels: Int[Array, "height width"]) -> tuple[Array, Array]:
    """Returns the new level of each of the 256 levels, and whether they are to be applied."""
    histogram = jnp.zeros(256, jnp.int32).at[levels.ravel()].add(1, mode="promise_in_bounds")
    step = (levels.size - histogram[levels.max()]) // 255
    below = jnp.cumsum(histogram) - histogram
    table = (below + step // 2) // jnp.maximum(step, 1)
    return jnp.clip(table, 0, 255), step > 0
