"""Whether relevance lies on the object, against masks of objects.

Masks have True at the pixels of the object, such as `batch["mask"] == label`. A measure is NaN
without an object and where the map is not finite. Equally relevant pixels count by chance: a map
that is the same everywhere gets the share of the image that the object covers.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxvision.checks import check_not_negative
from jaxvision.explain.quality.pixels import Maps, pixel_relevance

Masks = Bool[Array, "batch height width"] | Bool[np.ndarray, "batch height width"]


def pointing_game(
    maps: Maps, masks: Masks, *, tolerance: int | float = 0
) -> Float[Array, " batch"]:
    """Computes whether the most relevant pixel lies on the object.

    Args:
        maps: Relevance of pixels.
        masks: The pixels of the object.
        tolerance: The distance from the object up to which pixels count as on it; the paper allows
            15 in photographs of about 500 pixels.

    Returns:
        1 for a hit and 0 for a miss, or the share of hits where several pixels are most relevant.

    Raises:
        TypeError: The maps are not floating point, or the masks are not boolean.
        ValueError: The shapes do not fit, or the tolerance is negative.

    Reference: Zhang et al., Top-down neural attention by excitation backprop, 2016,
    arXiv:1608.00507.

    >>> maps = jnp.zeros((1, 1, 4, 1)).at[0, 0, 3].set(1.0)
    >>> masks = jnp.array([[[False, True, False, False]]])
    >>> pointing_game(maps, masks).tolist(), pointing_game(maps, masks, tolerance=2).tolist()
    ([0.0], [1.0])
    """
    check_not_negative("tolerance", tolerance)
    relevance, inside = _pixels(maps, masks)
    if tolerance > 0:
        near = jax.lax.map(lambda mask: _near(mask, tolerance), jnp.asarray(masks))
        hits = near.reshape(inside.shape)
    else:
        hits = inside
    best = relevance == relevance.max(axis=1, keepdims=True, initial=-jnp.inf)
    share = jnp.where(best & hits, 1, 0).sum(axis=1) / best.sum(axis=1)
    return _defined(share.astype(relevance.dtype), relevance, inside)


def relevance_mass(maps: Maps, masks: Masks) -> Float[Array, " batch"]:
    """Computes the share of the positive relevance that lies on the object; NaN if there is none.

    Arguments and errors are those of `pointing_game`.

    Reference: Arras, Osman & Samek, CLEVR-XAI, Information Fusion 81, 2022, arXiv:2003.07258.

    >>> maps = jnp.array([3.0, 1.0, -2.0, 0.0]).reshape(1, 2, 2, 1)
    >>> relevance_mass(maps, jnp.array([[[True, False], [True, False]]])).tolist()
    [0.75]
    """
    relevance, inside = _pixels(maps, masks)
    positive = jnp.maximum(relevance, 0)
    share = jnp.where(inside, positive, 0).sum(axis=1) / positive.sum(axis=1)
    return _defined(share, relevance, inside)


def relevance_rank(maps: Maps, masks: Masks) -> Float[Array, " batch"]:
    """Computes the share of the K most relevant pixels that lies on an object of K pixels.

    Arguments and errors are those of `pointing_game`.

    Reference: Arras, Osman & Samek, CLEVR-XAI, Information Fusion 81, 2022, arXiv:2003.07258.

    >>> maps = jnp.array([3.0, 1.0, 2.0, 0.0]).reshape(1, 2, 2, 1)
    >>> relevance_rank(maps, jnp.array([[[True, True], [False, False]]])).tolist()
    [0.5]
    """
    relevance, inside = _pixels(maps, masks)
    size = inside.sum(axis=1, keepdims=True)
    descending = -jnp.sort(-relevance, axis=1)
    last = jnp.take_along_axis(descending, jnp.maximum(size - 1, 0), axis=1)
    above, tied = relevance > last, relevance == last
    left = size[:, 0] - above.sum(axis=1)
    found = (above & inside).sum(axis=1) + left * (tied & inside).sum(axis=1) / tied.sum(axis=1)
    return _defined((found / size[:, 0]).astype(relevance.dtype), relevance, inside)


def _pixels(maps: Any, masks: Any) -> tuple[Array, Array]:
    """Relevance and mask of each pixel."""
    if masks.dtype != bool:
        raise TypeError(
            f"masks must be boolean, got {masks.dtype}; compare a mask of classes with the label "
            "of the object: mask == label"
        )
    if masks.ndim != 3 or masks.shape != maps.shape[:3]:
        raise ValueError(
            f"masks must have the shape {maps.shape[:3]} (batch, height, width) of the maps, got "
            f"{masks.shape}"
        )
    relevance = pixel_relevance(maps, jnp.asarray(maps))
    return relevance, jnp.asarray(masks).reshape(relevance.shape)


def _defined(
    values: Float[Array, " batch"],
    relevance: Float[Array, "batch pixels"],
    inside: Bool[Array, "batch pixels"],
) -> Float[Array, " batch"]:
    undefined = jnp.isnan(relevance).any(axis=1) | ~inside.any(axis=1)
    return jnp.where(undefined, jnp.nan, values)


def _near(mask: Bool[Array, "height width"], tolerance: int | float) -> Array:
    """The pixels within a distance of the mask: squares of distances, one axis after the other."""
    down, across = (jnp.square(jnp.subtract.outer(*[jnp.arange(n)] * 2)) for n in mask.shape)
    far = mask.shape[0] ** 2 + mask.shape[1] ** 2  # more than any square of a distance
    nearest = jnp.where(mask[None], down[:, :, None], far).min(axis=1)
    return (nearest[:, None, :] + across[None]).min(axis=2) <= tolerance**2
