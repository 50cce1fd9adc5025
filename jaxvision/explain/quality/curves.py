"""Scores while the most relevant pixels are deleted or inserted."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxvision.checks import check_count
from jaxvision.data.augment import gaussian_blur
from jaxvision.explain.inputs import (
    Function,
    Spatial,
    baseline_like,
    checked,
    copies_of,
    in_chunks,
    subject,
)
from jaxvision.explain.quality.pixels import Maps, pixel_relevance, replaced
from jaxvision.explain.target import Target


class Curve(NamedTuple):
    """Scores of images of which a growing share of pixels is replaced.

    Attributes:
        share: Share of the pixels that are replaced, from 0 to 1.
        scores: Scores at these shares.
        area: Area under each curve, by the trapezoidal rule.
    """

    share: Float[Array, " points"]
    scores: Float[Array, "batch points"]
    area: Float[Array, " batch"]


def deletion(
    f: Function,
    images: Spatial,
    maps: Maps,
    target: Target = None,
    *,
    baseline: ArrayLike | None = None,
    steps: int = 50,
    batch_size: int = 64,
) -> Curve:
    """Computes the scores while pixels are deleted, the most relevant first.

    If the map is good, the score falls fast and the area is small. The paper takes probabilities as
    scores: give `lambda x: jax.nn.softmax(f(x))` as `f`.

    Args:
        f: A function from images to logits or probabilities, whose rows do not depend on each
            other.
        images: Images.
        maps: Relevance of their pixels; equally relevant ones go from top left to bottom right.
        target: The score of the outputs; see `Target`.
        baseline: What replaces pixels: a number, an array, or None for zeros.
        steps: Number of steps; images of fewer pixels take one step per pixel.
        batch_size: The most images that are evaluated at once.

    Returns:
        The curves, NaN for rows whose map is not finite.

    Raises:
        TypeError: The images or the maps are not floating point.
        ValueError: The target does not exist, a shape does not fit, or a number is below 1.

    Reference: Petsiuk, Das & Saenko, BMVC 2018, arXiv:1806.07421.

    >>> f = lambda x: x.sum(axis=(1, 2))
    >>> images = jnp.array([1.0, 4.0, 3.0, 0.0]).reshape(1, 2, 2, 1)
    >>> curve = deletion(f, images, images)
    >>> curve.scores.tolist(), curve.area.tolist()
    ([[8.0, 4.0, 1.0, 0.0, 0.0]], [2.25])
    """
    show = functools.partial(_curve, f, images, maps, target, steps, batch_size)
    return show(lambda x: (x, baseline_like(x, baseline)))


def insertion(
    f: Function,
    images: Spatial,
    maps: Maps,
    target: Target = None,
    *,
    baseline: ArrayLike | None = None,
    steps: int = 50,
    batch_size: int = 64,
) -> Curve:
    """Computes the scores while pixels are inserted into the baseline, the most relevant first.

    If the map is good, the score rises fast and the area is large. The paper takes blurred images
    as baseline, `blurred(images)`. All else is as in `deletion`.

    Reference: Petsiuk, Das & Saenko, BMVC 2018, arXiv:1806.07421.

    >>> f = lambda x: x.sum(axis=(1, 2))
    >>> images = jnp.array([1.0, 4.0, 3.0, 0.0]).reshape(1, 2, 2, 1)
    >>> curve = insertion(f, images, images)
    >>> curve.scores.tolist(), curve.area.tolist()
    ([[0.0, 4.0, 7.0, 8.0, 8.0]], [5.75])
    """
    show = functools.partial(_curve, f, images, maps, target, steps, batch_size)
    return show(lambda x: (baseline_like(x, baseline), x))


def blurred(images: Spatial, sigma: int | float = 5.0, *, kernel_size: int = 11) -> Spatial:
    """Blurs images as the authors of `insertion` do; see `data.augment.gaussian_blur`.

    Raises:
        TypeError: The images are not floating point.
        ValueError: `kernel_size` is even, or half of it is not smaller than the images.

    >>> blurred(jnp.zeros((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """
    blur = functools.partial(gaussian_blur, sigma=sigma, kernel_size=kernel_size)
    return jax.vmap(blur)(checked(images, spatial=True))


def _curve(
    f: Function,
    images: Any,
    maps: Any,
    target: Target,
    steps: int,
    batch_size: int,
    ends: Any,
) -> Curve:
    check_count("steps", steps)
    given = subject(f, checked(images, spatial=True), target)
    relevance = pixel_relevance(maps, given.images)
    first, last = ends(given.images)
    ranks = jnp.argsort(jnp.argsort(-relevance, axis=1, stable=True), axis=1)
    pixels = relevance.shape[1]
    counts = np.unique(np.arange(steps + 1) * pixels // steps)

    def score(count: Array) -> Array:
        return given.score(replaced(first, ranks < count, last))

    scores = in_chunks(score, jnp.asarray(counts), copies_of(given.images, batch_size)).T
    scores = jnp.where(jnp.isnan(relevance).any(axis=1, keepdims=True), jnp.nan, scores)
    share = jnp.asarray(counts / pixels, scores.dtype)
    return Curve(share, scores, jnp.trapezoid(scores, share, axis=1))
