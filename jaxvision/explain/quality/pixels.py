"""The relevance of pixels, and images of which some pixels are replaced."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxvision.explain.inputs import wide

Maps = Float[Array, "batch height width _"] | Float[np.ndarray, "batch height width _"]


def checked_maps(maps: Any, *, name: str = "maps") -> Array:
    """Converts maps to a JAX array in float32 or wider; other dtypes and shapes are errors."""
    if not jnp.issubdtype(maps.dtype, jnp.floating):
        raise TypeError(f"{name} must be floating point, got {maps.dtype}")
    if maps.ndim != 4:
        raise ValueError(
            f"{name} must have the shape (batch, height, width, channels), got {maps.shape}"
        )
    return jnp.asarray(maps, wide(maps.dtype))


def pixel_relevance(maps: Any, images: Array) -> Float[Array, "batch pixels"]:
    """The sum over channels of each pixel; NaN in all pixels of a map that is not finite.

    Raises:
        TypeError: The maps are not floating point.
        ValueError: The maps do not have the images' rows, height and width, or their channels or 1.
    """
    maps = checked_maps(maps)
    if maps.shape[:3] != images.shape[:3] or maps.shape[3] not in (1, images.shape[3]):
        raise ValueError(
            f"maps must have the images' shape {images.shape}, or one channel, got {maps.shape}"
        )
    return flat(maps.sum(axis=3))


def flat(relevance: Float[Array, "batch height width"]) -> Float[Array, "batch pixels"]:
    """Puts the pixels of each map in a row; NaN in all of them if the map is not finite."""
    rows = relevance.reshape(len(relevance), relevance.shape[1] * relevance.shape[2])
    return jnp.where(jnp.isfinite(rows).all(axis=1, keepdims=True), rows, jnp.nan)


def replaced(images: Array, chosen: Bool[Array, "batch pixels"], others: Array) -> Array:
    """The images with the chosen pixels taken from others."""
    return jnp.where(chosen.reshape(*images.shape[:3], 1), others, images)
