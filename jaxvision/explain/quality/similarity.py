"""Similarity of two maps of the same images."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.explain.quality.pixels import Maps, checked_maps, flat
from jaxvision.metrics import ssim


def rank_correlation(maps: Maps, others: Maps, *, signed: bool = False) -> Float[Array, " batch"]:
    """Computes Spearman's rank correlation of the pixels of maps.

    Args:
        maps: Maps.
        others: Maps of the same shape.
        signed: Whether the sign of relevance counts; otherwise absolute values are compared.

    Returns:
        Correlations from -1 to 1, where pixels of equal relevance share their mean rank; NaN where
        a map is not finite or the same everywhere.

    Raises:
        TypeError: The maps are not floating point.
        ValueError: The shapes differ.

    Reference: Adebayo et al., Sanity checks for saliency maps, 2018, arXiv:1810.03292.

    >>> maps = jnp.array([1.0, -3.0, 2.0, 0.0]).reshape(1, 2, 2, 1)
    >>> print(rank_correlation(maps, jnp.exp(maps), signed=True), rank_correlation(maps, -maps))
    [1.] [1.]
    """
    ranks = (jax.vmap(_mean_ranks)(flat(each)) for each in _relevance(maps, others, signed))
    return pearson(*ranks)


def structural_similarity(
    maps: Maps, others: Maps, *, signed: bool = False
) -> Float[Array, " batch"]:
    """Computes the structural similarity (SSIM) of maps, each divided by its largest value.

    Arguments and errors are those of `rank_correlation`.

    Returns:
        `metrics.ssim` of relevance in [0, 1], with 0.5 for none if signed, of maps that are
        mirrored at their border; NaN where a map is not finite or zero everywhere.

    Reference: Adebayo et al., Sanity checks for saliency maps, 2018, arXiv:1810.03292.

    >>> maps = jnp.arange(144.0).reshape(1, 12, 12, 1)
    >>> print(structural_similarity(maps, 3 * maps).round(4))
    [1.]
    """
    first, second = (
        (each / jnp.abs(each).max(axis=(1, 2), keepdims=True, initial=0))[..., None]
        for each in _relevance(maps, others, signed)
    )
    if signed:
        # SSIM takes images, whose means are not negative.
        first, second = (first + 1) / 2, (second + 1) / 2
    return ssim(first, second, padding="symmetric")


def pearson(
    first: Float[Array, "*rows values"], second: Float[Array, "*rows values"]
) -> Float[Array, "*rows"]:
    """The correlation along the last axis; NaN where values are not finite or all equal."""
    scaled, norms = [], []
    for each in (first, second):
        varies = each.max(axis=-1, keepdims=True) > each.min(axis=-1, keepdims=True)
        centered = each - each.mean(axis=-1, keepdims=True)
        # The squares of very small or large values would leave the range of floating point.
        largest = jnp.where(varies, jnp.abs(centered).max(axis=-1, keepdims=True), jnp.nan)
        scaled.append(centered / largest)
        norms.append(jnp.square(scaled[-1]).sum(axis=-1))
    products = (scaled[0] * scaled[1]).sum(axis=-1)
    return jnp.clip(products / jnp.sqrt(norms[0] * norms[1]), -1, 1)


def _relevance(maps: Maps, others: Maps, signed: bool) -> tuple[Array, Array]:
    """Sums of signed or absolute values over channels."""
    first, second = checked_maps(maps), checked_maps(others, name="others")
    if first.shape != second.shape:
        raise ValueError(
            f"maps and others must have one shape, got {first.shape} and {second.shape}"
        )
    first, second = ((each if signed else jnp.abs(each)).sum(axis=3) for each in (first, second))
    return first, second


def _mean_ranks(values: Float[Array, " values"]) -> Float[Array, " values"]:
    ordered = jnp.sort(values)
    before = jnp.searchsorted(ordered, values, side="left")
    after = jnp.searchsorted(ordered, values, side="right")
    ranks = (before + after).astype(values.dtype) / 2
    return jnp.where(jnp.isnan(values), jnp.nan, ranks)
