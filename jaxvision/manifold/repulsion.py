"""Repulsion between the points of an embedding: a sum over all pairs, in linear memory."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.manifold.kernels import Kernel

Embedding = Float[Array, "points components"]
Sums = tuple[Float[Array, "points components"], Float[Array, " points"]]
_UNROLLED = 8
_BLOCK_PAIRS = 2**24


class Repulsion(NamedTuple):
    """Repulsive forces between the points of an embedding.

    Attributes:
        force: For each point, -1/4 of the gradient of `log_total`.
        log_total: Logarithm of the sum of the similarities of all pairs; with `by_point`, the mean
            over points of the logarithm of the sum of each point's similarities.
    """

    force: Embedding
    log_total: Float[Array, ""]


def exact_repulsion(embedding: Embedding, kernel: Kernel, *, by_point: bool = False) -> Repulsion:
    """Computes the repulsion of two or more points from all pairs.

    With `by_point`, similarities are normalized for each point, as in SNE, not over all pairs.

    >>> from jaxvision.manifold.kernels import Student
    >>> force, log_total = exact_repulsion(jnp.array([[0.0], [1.0]]), Student())
    >>> print(force[:, 0], float(jnp.exp(log_total)))
    [-0.25  0.25] 1.0
    """
    count = len(embedding)
    half = jnp.full(count, 0.5, embedding.dtype)
    force, totals = sum_over_pairs(embedding, half, embedding, half, kernel)
    totals = totals - kernel.similarity(jnp.zeros((), embedding.dtype))  # not with itself
    if not by_point:
        return Repulsion(force / totals.sum(), jnp.log(totals.sum()))
    force, _ = sum_over_pairs(embedding, 1 / totals, embedding, 1 / totals, kernel)
    return Repulsion(force / (2 * count), jnp.log(totals).mean())


def sum_over_pairs(
    points: Float[Array, "points components"],
    weights: Float[Array, " points"],
    others: Float[Array, "others components"],
    other_weights: Float[Array, " others"],
    kernel: Kernel,
) -> Sums:
    """Sums `(w + w') descent(s) (y - y')`, and the similarities, over others y' for each point y.

    `weights` are the w of the points, `other_weights` the w' of the others.
    """
    return jax.lax.platform_dependent(
        points,
        weights,
        others,
        other_weights,
        cpu=functools.partial(_point_after_point, kernel=kernel),
        default=functools.partial(_block_after_block, kernel=kernel),
    )


def _point_after_point(
    points: Float[Array, "points components"],
    weights: Float[Array, " points"],
    others: Float[Array, "others components"],
    other_weights: Float[Array, " others"],
    kernel: Kernel,
) -> Sums:
    """The sums as they are fast on CPUs: a loop over the others, for all points at once."""
    axes, count = points.T, len(others)

    def add(sums: tuple[Array, Array], other: Array, weight: Array) -> tuple[Array, Array]:
        force, totals = sums
        away = axes - other[:, None]
        squares = (away * away).sum(axis=0)
        push = (weights + weight) * kernel.descent(squares)
        return force + push * away, totals + kernel.similarity(squares)

    @jax.checkpoint
    def add_some(index: Any, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        some = jax.lax.dynamic_slice_in_dim(others, index * _UNROLLED, _UNROLLED)
        some_weights = jax.lax.dynamic_slice_in_dim(other_weights, index * _UNROLLED, _UNROLLED)
        for other, weight in zip(some, some_weights, strict=True):
            sums = add(sums, other, weight)
        return sums

    sums = jnp.zeros_like(axes), jnp.zeros_like(weights)
    if count >= _UNROLLED:
        sums = jax.lax.fori_loop(0, count // _UNROLLED, add_some, sums)
    for rest in range(count - count % _UNROLLED, count):
        sums = add(sums, others[rest], other_weights[rest])
    return sums[0].T, sums[1]


def _block_after_block(
    points: Float[Array, "points components"],
    weights: Float[Array, " points"],
    others: Float[Array, "others components"],
    other_weights: Float[Array, " others"],
    kernel: Kernel,
) -> Sums:
    """The sums as they are fast on accelerators: a loop over points in blocks."""

    @jax.checkpoint
    def of_point(row: tuple[Array, Array]) -> tuple[Array, Array]:
        point, weight = row
        away = (point - others).T
        squares = (away * away).sum(axis=0)
        push = (weight + other_weights) * kernel.descent(squares)
        return (push * away).sum(axis=1), kernel.similarity(squares).sum()

    size = max(1, _BLOCK_PAIRS // max(1, len(others)))
    return jax.lax.map(of_point, (points, weights), batch_size=size)
