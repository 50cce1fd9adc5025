"""Correlation of the relevance of random pixels with the effect of hiding them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.checks import check_count
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
from jaxvision.explain.quality.similarity import pearson
from jaxvision.explain.target import Target


def faithfulness_correlation(
    f: Function,
    images: Spatial,
    maps: Maps,
    target: Target = None,
    *,
    key: PRNGKeyArray,
    subset_size: int,
    num_subsets: int = 100,
    baseline: ArrayLike | None = None,
    batch_size: int = 64,
) -> Float[Array, " batch"]:
    """Computes the correlation of relevance and effect over random subsets of one size.

    It is `sensitivity_n` for one n, which has the same arguments; both papers define this number.

    Reference: Bhatt, Weller & Moura, IJCAI 2020, arXiv:2005.00631.

    >>> f = lambda x: x.sum(axis=(1, 2))
    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> measure = jax.jit(lambda key: faithfulness_correlation(f, x, x, key=key, subset_size=5))
    >>> print(measure(jax.random.key(0)).round(4))
    [1.]
    """
    return sensitivity_n(
        f,
        images,
        maps,
        target,
        key=key,
        sizes=[subset_size],
        num_subsets=num_subsets,
        baseline=baseline,
        batch_size=batch_size,
    )[:, 0]


def sensitivity_n(
    f: Function,
    images: Spatial,
    maps: Maps,
    target: Target = None,
    *,
    key: PRNGKeyArray,
    sizes: Sequence[int],
    num_subsets: int = 100,
    baseline: ArrayLike | None = None,
    batch_size: int = 64,
) -> Float[Array, "batch sizes"]:
    """Computes the correlation of relevance and effect over random subsets of n pixels.

    The relevance of a subset is the sum over its pixels, the effect the fall of the score when they
    are hidden. A map has the property sensitivity-n if both are equal for all subsets of n pixels;
    then their correlation is 1, for example for gradient x input of a linear function and a
    baseline of 0.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images.
        maps: Relevance of their pixels.
        target: The score of the outputs; see `Target`.
        key: A PRNG key.
        sizes: Numbers of pixels in a subset, each less than those of an image.
        num_subsets: Number of subsets of each size, at least 2; each row has its own.
        baseline: What replaces pixels: a number, an array, or None for zeros.
        batch_size: The most images that are evaluated at once.

    Returns:
        Pearson's correlations, from -1 to 1; NaN where the map is not finite or has the same
        relevance everywhere, or where no subset changes the score differently from another.

    Raises:
        TypeError: The images or the maps are not floating point.
        ValueError: The target does not exist, a shape does not fit, or a number is out of range.

    Reference: Ancona, Ceolini, Oztireli & Gross, ICLR 2018, arXiv:1711.06104.

    >>> f = lambda x: x.sum(axis=(1, 2))
    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> measure = jax.jit(lambda key: sensitivity_n(f, x, x, key=key, sizes=[1, 4, 12]))
    >>> print(measure(jax.random.key(0)).round(4))
    [[1. 1. 1.]]
    """
    given = subject(f, checked(images, spatial=True), target)
    x, hidden = given.images, baseline_like(given.images, baseline)
    relevance = pixel_relevance(maps, x)
    rows, pixels = relevance.shape
    _check_sizes(sizes, num_subsets, pixels)
    numbers = jnp.broadcast_to(jnp.arange(pixels), (rows, pixels))

    def draw(subset: tuple[Array, Array]) -> tuple[Array, Array]:
        drawn_key, size = jax.random.fold_in(key, subset[0]), subset[1]
        chosen = jax.random.permutation(drawn_key, numbers, axis=1, independent=True) < size
        total = jnp.where(chosen, relevance, 0).sum(axis=1)
        return total, -given.score(replaced(x, chosen, hidden))

    subsets = jnp.arange(len(sizes) * num_subsets), jnp.repeat(jnp.asarray(sizes), num_subsets)
    totals, falls = (
        each.reshape(len(sizes), num_subsets, rows).transpose(2, 0, 1)
        for each in in_chunks(draw, subsets, copies_of(x, batch_size))
    )
    # Their totals would differ by rounding errors.
    varies = relevance.max(axis=1, initial=-jnp.inf) > relevance.min(axis=1, initial=jnp.inf)
    return jnp.where(varies[:, None], pearson(totals, falls), jnp.nan)


def _check_sizes(sizes: Sequence[int], num_subsets: int, pixels: int) -> None:
    check_count("num_subsets", num_subsets, least=2)
    for size in sizes:
        check_count("the size of a subset", size, of="pixels")
        if size >= pixels:
            raise ValueError(
                f"the size of a subset must be less than the {pixels} pixels of an image, got "
                f"{size}: all subsets would be the same"
            )
