"""What explainers share: checked images, baselines, and the score as a function of the images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxvision.explain.target import Score, Target, score_of

Images = Float[Array, "batch *shape"] | Float[np.ndarray, "batch *shape"]
Spatial = (
    Float[Array, "batch height width channels"] | Float[np.ndarray, "batch height width channels"]
)
Function = Callable[[Any], Any]
Size = int | tuple[int, int]


class Subject(NamedTuple):
    """The images, and the score that is explained.

    Attributes:
        images: The images as a JAX array.
        score: Computes the scores of changed images, in float32 or wider.
        of_outputs: Computes the scores from outputs of `f`.
        value: Scores of the images.
    """

    images: Array
    score: Score
    of_outputs: Score
    value: Float[Array, " batch"]


def subject(f: Function, images: Any, target: Target) -> Subject:
    """Fixes what is explained: the images and the score.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The score is not one number per row; see also `score_of`.
    """
    images = checked(images)
    outputs = f(images)
    chosen = score_of(outputs, target)

    def of_outputs(outputs: Any) -> Float[Array, " batch"]:
        scores = chosen(outputs)
        if jnp.shape(scores) != (len(images),):
            raise ValueError(
                f"target must give one number per row, the shape ({len(images)},), got "
                f"{jnp.shape(scores)}"
            )
        return scores.astype(wide(scores.dtype))

    return Subject(images, lambda x: of_outputs(f(x)), of_outputs, of_outputs(outputs))


def checked(images: Any, *, spatial: bool = False) -> Array:
    """Converts floating-point images to a JAX array; other dtypes and shapes are errors."""
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f"images must be floating point, got {images.dtype}; scale them first, for example "
            "images.astype(np.float32) / 255"
        )
    if images.ndim == 0 or (spatial and images.ndim != 4):
        shape = "(batch, height, width, channels)" if spatial else "(batch, ...)"
        raise ValueError(f"images must have the shape {shape}, got {images.shape}")
    return jnp.asarray(images)


def wide(dtype: Any) -> np.dtype:
    """The dtype of sums: float32 or wider."""
    return jnp.promote_types(dtype, jnp.float32)


def baseline_like(images: Array, baseline: ArrayLike | None) -> Array:
    """The images that stand for an absent signal: zeros, a number or an array.

    Raises:
        ValueError: The baseline does not broadcast to the images' shape.
    """
    given = jnp.asarray(0 if baseline is None else baseline, images.dtype)
    try:
        # The compiler would spend minutes on evaluating f at a constant.
        return jax.lax.optimization_barrier(jnp.broadcast_to(given, images.shape))
    except ValueError:
        raise ValueError(
            f"baseline must be a number or broadcast to the images' shape {images.shape}, got the "
            f"shape {given.shape}"
        ) from None


def size_of(images: Spatial) -> tuple[int, int]:
    """Height and width."""
    return images.shape[1], images.shape[2]


def as_pair(name: str, size: Size) -> tuple[int, int]:
    """A height and a width, which one number may give both; other values are errors."""
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name} must be a positive height and width, got {size}")
    return pair


def copies_of(images: Array, batch_size: int) -> int:
    """How many changed copies of a batch are evaluated at once: at most `batch_size` images."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    return max(1, batch_size // max(1, len(images)))


def in_chunks(function: Callable, inputs: Any, copies: int) -> Any:
    """Applies a function along the first axis of arrays, to `copies` entries at once."""
    count = len(jax.tree.leaves(inputs)[0])
    chunks = -(-count // copies)
    size = -(-count // chunks)
    numbers = jnp.minimum(jnp.arange(chunks * size), count - 1).reshape(chunks, size)
    found = jax.lax.map(
        lambda chunk: jax.vmap(function)(jax.tree.map(lambda each: each[chunk], inputs)), numbers
    )
    return jax.tree.map(lambda each: each.reshape(chunks * size, *each.shape[2:])[:count], found)


def total(maps: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """The sum of each row."""
    return maps.reshape(len(maps), -1).sum(axis=1) if maps.size else jnp.zeros(len(maps))


def no_promise(maps: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """The error of a method without an axiom: 0, or NaN where the map is not finite."""
    finite = jnp.isfinite(maps).reshape(len(maps), -1 if maps.size else 0).all(axis=1)
    return jnp.where(finite, 0.0, jnp.nan)


def per_row(values: Shaped[Array, " batch"], like: Array) -> Array:
    """Adds axes to one value per row, so that it broadcasts against arrays of rows."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
