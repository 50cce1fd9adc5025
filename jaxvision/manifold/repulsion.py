"""What pushes the points of an embedding apart: a sum over all pairs, in linear memory."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.manifold.kernels import Kernel

Embedding = Float[Array, "points components"]
_UNROLLED = 8
_BLOCK_PAIRS = 2**24


class Repulsion(NamedTuple):
    """How the points of an embedding push each other.

    Attributes:
        force: For each point, minus a quarter of the gradient of `log_total` by it.
        log_total: The logarithm of the sum of the similarities of all pairs; or, where each point
            is normalized by itself, the mean over the points of that of its own pairs.
    """

    force: Embedding
    log_total: Float[Array, ""]


def exact_repulsion(embedding: Embedding, kernel: Kernel, *, by_point: bool = False) -> Repulsion:
    """Computes the repulsion of all pairs.

    Args:
        embedding: The points, two or more.
        kernel: The similarity.
        by_point: Whether similarities are divided by the sum of each point's own, as in SNE, and
            not by that of all pairs.

    Returns:
        The forces and the sum.

    >>> from jaxvision.manifold.kernels import Student
    >>> force, log_total = exact_repulsion(jnp.array([[0.0], [1.0]]), Student())
    >>> print(force[:, 0], float(jnp.exp(log_total)))
    [-0.25  0.25] 1.0
    """
    count = len(embedding)
    force, totals = _sum_over_pairs(embedding, jnp.full(count, 0.5, embedding.dtype), kernel)
    totals = totals - kernel.similarity(jnp.zeros((), embedding.dtype))  # a point is no neighbor
    if not by_point:
        return Repulsion(force / totals.sum(), jnp.log(totals.sum()))
    force, _ = _sum_over_pairs(embedding, 1 / totals, kernel)
    return Repulsion(force / (2 * count), jnp.log(totals).mean())


def _sum_over_pairs(
    embedding: Embedding, weights: Float[Array, " points"], kernel: Kernel
) -> tuple[Embedding, Float[Array, " points"]]:
    """For each point, the sums of `(w + w') descent(s) (y - y')` and of the similarities."""
    force, totals = jax.lax.platform_dependent(
        embedding.T,
        weights,
        cpu=lambda axes, weights: point_after_point(axes, weights, kernel),
        default=lambda axes, weights: block_after_block(axes, weights, kernel),
    )
    return force.T, totals


def point_after_point(
    axes: Float[Array, "components points"], weights: Float[Array, " points"], kernel: Kernel
) -> tuple[Float[Array, "components points"], Float[Array, " points"]]:
    """Adds up pairs in the form that is fast on CPUs: all points at once, against one at a time.

    Args:
        axes: The points, each axis by itself.
        weights: The weights of the points.
        kernel: The similarity.

    Returns:
        For each point, the sums of `(w + w') descent(s) (y - y')` and of the similarities.
    """
    count = axes.shape[1]

    def add(sums: tuple[Array, ...], other: Array, weight: Array) -> tuple[Array, ...]:
        force, totals = sums
        away = axes - other[:, None]
        squares = (away * away).sum(axis=0)
        push = (weights + weight) * kernel.descent(squares)
        return force + push * away, totals + kernel.similarity(squares)

    @jax.checkpoint
    def add_some(index: Any, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        others = jax.lax.dynamic_slice_in_dim(axes, index * _UNROLLED, _UNROLLED, 1)
        some = jax.lax.dynamic_slice_in_dim(weights, index * _UNROLLED, _UNROLLED)
        for offset in range(_UNROLLED):
            sums = add(sums, others[:, offset], some[offset])
        return sums

    sums = jnp.zeros_like(axes), jnp.zeros_like(weights)
    if count >= _UNROLLED:
        sums = jax.lax.fori_loop(0, count // _UNROLLED, add_some, sums)
    for rest in range(count - count % _UNROLLED, count):
        sums = add(sums, axes[:, rest], weights[rest])
    return sums


def block_after_block(
    axes: Float[Array, "components points"], weights: Float[Array, " points"], kernel: Kernel
) -> tuple[Float[Array, "components points"], Float[Array, " points"]]:
    """Adds up pairs in the form that is fast on accelerators: many points against all others.

    Args:
        axes: The points, each axis by itself.
        weights: The weights of the points.
        kernel: The similarity.

    Returns:
        For each point, the sums of `(w + w') descent(s) (y - y')` and of the similarities.
    """

    @jax.checkpoint
    def of_point(point: tuple[Array, Array]) -> tuple[Array, Array]:
        own, weight = point
        away = own[:, None] - axes
        squares = (away * away).sum(axis=0)
        push = (weight + weights) * kernel.descent(squares)
        return (push * away).sum(axis=1), kernel.similarity(squares).sum()

    size = max(1, _BLOCK_PAIRS // axes.shape[1])
    force, totals = jax.lax.map(of_point, (axes.T, weights), batch_size=size)
    return force.T, totals
