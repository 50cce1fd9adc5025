"""How near points are to each other, as probabilities of pairs: what SNE and t-SNE preserve."""

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Int, Num

from jaxvision.checks import check_count, check_positive
from jaxvision.classical.neighbors import Metric, Neighbors, nearest_neighbors

Points = Float[Array | np.ndarray, "points features"]
_NEIGHBORS_PER_PERPLEXITY = 3
_BISECTIONS = 64


class Affinities(flax.struct.PyTreeNode):
    """Probabilities of pairs of points, which sum to 1, without those that are 0.

    Each pair is there in both orders, with the same probability, sorted by the first point.

    Attributes:
        rows: The first point of each pair.
        columns: The second one.
        values: The probability.
        num_points: How many points there are.
    """

    rows: Int[Array, " pairs"]
    columns: Int[Array, " pairs"]
    values: Float[Array, " pairs"]
    num_points: int = flax.struct.field(pytree_node=False)

    def dense(self) -> Float[Array, "points points"]:
        """All pairs as a matrix."""
        matrix = jnp.zeros((self.num_points, self.num_points), self.values.dtype)
        return matrix.at[self.rows, self.columns].set(self.values)


def affinities(
    points: Points,
    perplexity: int | float = 30.0,
    *,
    metric: Metric = "l2",
    num_neighbors: int | None = None,
) -> Affinities:
    """Computes how near points are to each other.

    Around each point lies a normal distribution over its nearest neighbors, as wide as makes its
    perplexity the given one: the number of neighbors that it has, in effect. The probability of a
    pair is the mean of both directions, divided by the number of points.

    Args:
        points: The points.
        perplexity: The exponential of the entropy of each point's distribution; more than 1.
        metric: The distance; see `classical.nearest_neighbors`.
        num_neighbors: How many nearest neighbors a point has; None takes three times the
            perplexity, or all points where there are fewer.

    Returns:
        The probabilities. Where a point has more equally near duplicates than the perplexity, its
        distribution is uniform over them, and its perplexity larger.

    Raises:
        ValueError: There are fewer than three points, a number is not finite, or there are too few
            neighbors for the perplexity.

    Reference: van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 2008.

    >>> points = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    >>> found = affinities(points, perplexity=4)
    >>> print(f"{found.values.sum():.4f}")
    1.0000
    """
    check_points(points, least=3)
    check_positive("perplexity", perplexity)
    most = len(points) - 1
    count = min(most, math.ceil(_NEIGHBORS_PER_PERPLEXITY * perplexity))
    if num_neighbors is not None:
        check_count("num_neighbors", num_neighbors, of="neighbors")
        count = min(most, num_neighbors)
    if not 1 < perplexity < count:
        raise ValueError(
            f"perplexity must be more than 1 and less than the number of neighbors, {count} of "
            f"{len(points)} points here; got {perplexity}"
        )
    each = jnp.arange(len(points))
    found = nearest_neighbors(
        points, points, count, metric=metric, query_groups=each, reference_groups=each
    )
    return symmetric(found, conditional(jnp.square(found.distances), perplexity))


def symmetric(neighbors: Neighbors, probabilities: Float[Array, "points neighbors"]) -> Affinities:
    """Makes probabilities of pairs of those that each point gives to its neighbors.

    Args:
        neighbors: The neighbors of each point.
        probabilities: What a point gives to each of them; they sum to 1.

    Returns:
        The mean of both directions, divided by the number of points.
    """
    count, width = neighbors.indices.shape
    rows = np.repeat(np.arange(count), width)
    entries = (np.asarray(probabilities).ravel(), (rows, np.asarray(neighbors.indices).ravel()))
    directed = scipy.sparse.csr_array(entries, shape=(count, count))
    both = (directed + directed.T).tocoo()
    order = np.lexsort((both.col, both.row))
    kept = order[both.data[order] > 0]
    values = both.data[kept] / both.data[kept].sum(dtype=np.float64)
    return Affinities(
        jnp.asarray(both.row[kept], jnp.int32),
        jnp.asarray(both.col[kept], jnp.int32),
        jnp.asarray(values, probabilities.dtype),
        count,
    )


@jax.jit
def conditional(
    squares: Float[Array, "points neighbors"], perplexity: int | float | Num[Array, ""]
) -> Float[Array, "points neighbors"]:
    """The distribution of each point over its neighbors, `exp(-beta d^2)`, of a given perplexity.

    Beta is found by bisection: the entropy falls as it grows.

    Args:
        squares: The squared distances; infinite ones have a probability of 0.
        perplexity: The exponential of the entropy of each row.

    Returns:
        Probabilities, whose rows sum to 1.

    >>> print(conditional(jnp.array([[1.0, 1.0, 1.0, jnp.inf]]), 3.0).round(3))
    [[0.333 0.333 0.333 0.   ]]
    """
    away = squares - squares.min(axis=1, keepdims=True)
    scale = jnp.where(jnp.isinf(away), 0, away).mean(axis=1, keepdims=True)
    away = away / jnp.where(scale > 0, scale, 1)
    wanted = jnp.log(perplexity)

    def weights(beta: Array) -> Array:
        return jnp.where(jnp.isinf(away), 0, jnp.exp(-beta * away))

    def entropy(beta: Array) -> Array:
        weight = weights(beta)
        total = weight.sum(axis=1, keepdims=True)
        mean = (weight * jnp.where(jnp.isinf(away), 0, away)).sum(axis=1, keepdims=True) / total
        return jnp.log(total) + beta * mean

    def bisect(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        beta = jnp.where(jnp.isinf(high), jnp.maximum(2 * low, 1e-3), (low + high) / 2)
        wide = entropy(beta) > wanted
        return jnp.where(wide, beta, low), jnp.where(wide, high, beta)

    start = jnp.zeros_like(scale), jnp.full_like(scale, jnp.inf)
    low, high = jax.lax.fori_loop(0, _BISECTIONS, bisect, start)
    weight = weights(jnp.where(jnp.isinf(high), low, (low + high) / 2))
    return weight / weight.sum(axis=1, keepdims=True)


def check_points(points: Points, *, least: int) -> None:
    """Raises where there are too few points, or one is not finite.

    Args:
        points: The points.
        least: How many there must be.

    Raises:
        ValueError: There are too few, or a number is not finite.
    """
    if len(points) < least or not points.shape[1]:
        raise ValueError(
            f"there must be {least} points or more, with a feature or more, got the shape "
            f"{points.shape}"
        )
    finite = np.isfinite(np.asarray(points)).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"points must be finite; the first of {int((~finite).sum())} that are not is number "
            f"{int(finite.argmin())}"
        )
