"""Shapley values of the segments of images, estimated from random permutations."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Integer, PRNGKeyArray

from jaxvision.explain.attribution import certified, relative_error
from jaxvision.explain.estimate import Estimate
from jaxvision.explain.inputs import (
    Function,
    Size,
    Spatial,
    as_pair,
    baseline_like,
    checked,
    copies_of,
    in_chunks,
    size_of,
    subject,
    total,
)
from jaxvision.explain.target import Target


def shapley_sampling(
    f: Function,
    images: Spatial,
    target: Target = None,
    *,
    key: PRNGKeyArray,
    segments: Integer[np.ndarray, "height width"] | None = None,
    grid: Size = 4,
    permutations: int = 32,
    baseline: ArrayLike | None = None,
    tolerance: float = 0.01,
    batch_size: int = 64,
) -> Estimate:
    """Estimates the Shapley values of segments: the mean rise of the score when one is shown.

    Segments are shown one after another in a random order, and then in the reverse order, which
    cancels much of the noise (antithetic sampling).

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images.
        target: What is explained; see `Target`.
        key: A PRNG key.
        segments: Number of the segment of each pixel, from 0, in NumPy; None for a grid of cells.
        grid: Rows and columns of that grid; one number is used for both.
        permutations: Number of orders including the reverse ones, even and at least 4.
        baseline: What is shown where a segment is hidden: a number, an array, or None for zeros.
        tolerance: The largest relative error of completeness.
        batch_size: The most images that are evaluated at once.

    Returns:
        A map of the shape (batch, height, width, 1), which adds up to the score of the images minus
        that of the baseline. The value of a segment is spread evenly over its pixels: it is their
        sum. The standard error is that of the pixels too.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target does not exist, the baseline or the segments have a wrong shape, a
            number below the highest has no segment, or another number is not allowed.

    References: Castro, Gómez & Tejada, Computers & Operations Research 36, 2009 (sampling of
    permutations); Mitchell, Cooper, Frank & Holmes, JMLR 2022, arXiv:2104.12199 (antithetic).

    >>> f = lambda x: jax.nn.relu(x.sum(axis=(1, 2)) - 1)
    >>> images = jnp.array([1.0, 0.0, 1.0, 0.0]).reshape(1, 2, 2, 1)
    >>> explain = jax.jit(lambda x: shapley_sampling(f, x, key=jax.random.key(0), grid=2).map)
    >>> explain(images).ravel().tolist()
    [0.5, 0.0, 0.5, 0.0]
    """
    if permutations < 4 or permutations % 2:
        raise ValueError(f"permutations must be even and at least 4, got {permutations}")
    given = subject(f, checked(images, spatial=True), target)
    x, hidden = given.images, baseline_like(given.images, baseline)
    numbers = _cells(size_of(x), as_pair("grid", grid)) if segments is None else segments
    sizes = _sizes(numbers, size_of(x))
    pairs, count = permutations // 2, len(sizes)
    orders = jax.vmap(lambda each: jax.random.permutation(each, count))(
        jax.random.split(key, pairs)
    )
    ranks = jnp.argsort(orders, axis=1)  # the place of each segment in the order
    ranks = jnp.stack([ranks, count - 1 - ranks], axis=1).reshape(permutations, count)

    def score(number: Array) -> Array:
        rank, shown = ranks[number // (count + 1)], number % (count + 1)
        mask = (rank < shown)[numbers][..., None]
        return given.score(jnp.where(mask, x, hidden))

    steps = jnp.arange(permutations * (count + 1))
    scores = in_chunks(score, steps, copies_of(x, batch_size))
    scores = scores.reshape(permutations, count + 1, len(x))
    rises = jnp.take_along_axis(jnp.diff(scores, axis=1), ranks[..., None], axis=1)
    rises = rises.reshape(pairs, 2, count, len(x)).mean(axis=1)
    value = rises.mean(axis=0).T
    standard_error = rises.std(axis=0, ddof=1).T / np.sqrt(pairs)
    maps, errors = (
        jnp.take(each / sizes, numbers, axis=1)[..., None] for each in (value, standard_error)
    )
    promised = given.value - given.score(hidden)
    axiom = "efficiency: the map adds up to f(x) - f(baseline)"
    error = relative_error(total(maps), promised)
    return certified(Estimate(maps, error, axiom, tolerance, errors))


def _cells(size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """The number of the cell of each pixel; no more cells than there are pixels."""
    rows, columns = (
        np.arange(length) * min(count, length) // length
        for length, count in zip(size, grid, strict=True)
    )
    return rows[:, None] * min(grid[1], size[1]) + columns


def _sizes(segments: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The number of pixels of each segment."""
    segments = np.asarray(segments)
    if segments.shape != size:
        raise ValueError(
            f"segments must have the height and width of the images, {size}, got {segments.shape}"
        )
    if segments.min() < 0 or not (sizes := np.bincount(segments.ravel())).all():
        raise ValueError(
            "segments must be numbered from 0 without gaps, got the numbers "
            f"{np.unique(segments).tolist()}"
        )
    return sizes
