"""Affinities: probabilities of pairs of points by distance, which SNE and t-SNE preserve."""

import math
from typing import Any, get_args

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Int, Num

from jaxvision._reprs import brief
from jaxvision.checks import check_count, check_name, check_positive
from jaxvision.classical.neighbors import Metric, Neighbors, nearest_neighbors, unit

Points = Float[Array | np.ndarray, "points features"]
_NEIGHBORS_PER_PERPLEXITY = 3
_BISECTIONS = 64


class Affinities(flax.struct.PyTreeNode):
    """Probabilities of pairs of points, which sum to 1; pairs with probability 0 are left out.

    Each pair is contained in both orders, with the same probability, sorted by the first point.

    Attributes:
        rows: First point of each pair.
        columns: Second point of each pair.
        values: Probability of each pair.
        row_entropy: Mean entropy of the points' own distributions over their neighbors, in nats.
        num_points: Number of points.
    """

    rows: Int[Array | np.ndarray, " pairs"]
    columns: Int[Array | np.ndarray, " pairs"]
    values: Float[Array, " pairs"]
    row_entropy: Float[Array, ""]
    num_points: int = flax.struct.field(pytree_node=False)

    def __repr__(self) -> str:
        return brief(self)

    def entropy(self) -> Float[Array, ""]:
        """The entropy of the probabilities, in nats."""
        return _entropy(self.values)

    def dense(self) -> Float[Array, "points points"]:
        """The probabilities as a matrix."""
        matrix = jnp.zeros((self.num_points, self.num_points), self.values.dtype)
        return matrix.at[self.rows, self.columns].set(self.values)


def affinities(
    points: Points,
    perplexity: int | float | Num[Array, ""] = 30.0,
    *,
    metric: Metric = "l2",
    num_neighbors: int | None = None,
) -> Affinities:
    """Computes the affinities of points.

    Each point has a normal distribution over its nearest neighbors, whose width is such that its
    perplexity, the effective number of neighbors, is the given one. The probability of a pair is
    the mean of both directions, divided by the number of points.

    Args:
        points: Points, one per row.
        perplexity: Exponential of the entropy of each point's distribution; more than 1.
        metric: Distance between points; see `classical.nearest_neighbors`.
        num_neighbors: Number of nearest neighbors of a point; None takes three times the
            perplexity, or all points where there are fewer. If all points are neighbors, points and
            perplexity may be traced, and have gradients.

    Returns:
        The affinities. If a point has more equally near duplicates than the perplexity, its
        distribution is uniform over them, and its perplexity is larger.

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
    check_name("metric", metric, get_args(Metric))
    most = len(points) - 1
    count = count_neighbors(perplexity, len(points), most=most, chosen=num_neighbors)
    if count == most:
        return _of_all_pairs(points, perplexity, metric)
    each = jnp.arange(len(points))
    found = nearest_neighbors(
        points, points, count, metric=metric, query_groups=each, reference_groups=each
    )
    return symmetric(found, conditional(jnp.square(found.distances), perplexity))


def count_neighbors(
    perplexity: int | float | Num[Array, ""],
    num_points: int,
    *,
    most: int,
    chosen: int | None = None,
) -> int:
    """The number of nearest neighbors: `chosen`, or three times the perplexity; at most `most`.

    Without `chosen`, a traced perplexity gives `most`. Raises ValueError if the neighbors are too
    few for the perplexity.
    """
    is_traced = isinstance(perplexity, jax.core.Tracer)
    count = most
    if chosen is not None:
        check_count("num_neighbors", chosen, of="neighbors")
        count = min(most, chosen)
    elif not is_traced:
        check_positive("perplexity", perplexity)
        count = min(most, math.ceil(_NEIGHBORS_PER_PERPLEXITY * perplexity))
    if not is_traced and not 1 < perplexity < count:
        raise ValueError(
            f"perplexity must be more than 1 and less than the number of neighbors, {count} of "
            f"{num_points} points here; got {perplexity}"
        )
    return count


def symmetric(neighbors: Neighbors, probabilities: Float[Array, "points neighbors"]) -> Affinities:
    """Converts the probabilities that each point gives to its neighbors to affinities.

    Args:
        neighbors: Neighbors of each point.
        probabilities: Probabilities of the neighbors; those of each point sum to 1.

    Returns:
        The mean of both directions, divided by the number of points.
    """
    count, width = neighbors.indices.shape
    indices = np.array(neighbors.indices, np.int32).ravel()
    starts = np.arange(count + 1, dtype=np.int64) * width
    entries = np.array(probabilities).ravel(), indices, starts
    directed = scipy.sparse.csr_array(entries, shape=(count, count))
    directed.sort_indices()
    both = directed + directed.T.tocsr()  # sorted, as both terms are
    rows = np.repeat(np.arange(count, dtype=np.int32), np.diff(both.indptr))
    kept = both.data >= np.finfo(both.data.dtype).tiny  # XLA takes smaller ones for 0
    values = both.data[kept] / both.data.sum(dtype=np.float64)
    return Affinities(
        rows[kept],
        both.indices[kept].astype(np.int32),
        jnp.asarray(values, probabilities.dtype),
        _entropy(probabilities) / count,
        count,
    )


def _of_all_pairs(points: Points, perplexity: Any, metric: Metric) -> Affinities:
    """The affinities if every point is a neighbor of every other, without a search."""
    count = len(points)
    rows = np.repeat(np.arange(count, dtype=np.int32), count - 1)
    columns = np.tile(np.arange(count - 1, dtype=np.int32), count)
    columns += columns >= rows
    squares = _squares(jnp.asarray(points, jnp.promote_types(points.dtype, jnp.float32)), metric)
    given = conditional(squares[rows, columns].reshape(count, count - 1), perplexity)
    matrix = jnp.zeros_like(squares).at[rows, columns].set(given.ravel())
    both = (matrix + matrix.T)[rows, columns]
    return Affinities(rows, columns, both / both.sum(), _entropy(given) / count, count)


def _squares(points: Array, metric: Metric) -> Array:
    """The squared distances of all pairs, from differences of coordinates."""
    if metric == "cosine":
        return jnp.square(1 - unit(points) @ unit(points).T)

    @jax.checkpoint
    def from_point(point: Array) -> Array:
        away = point - points
        if metric == "l1":
            return jnp.square(jnp.abs(away).sum(axis=1))
        return jnp.square(away).sum(axis=1)

    return jax.lax.map(from_point, points)


@jax.jit
def _entropy(probabilities: Array) -> Array:
    """Computes -sum(p log p)."""
    kept = probabilities >= jnp.finfo(probabilities.dtype).tiny
    return -(probabilities * jnp.log(jnp.where(kept, probabilities, 1))).sum()


@jax.jit
def conditional(
    squares: Float[Array, "points neighbors"], perplexity: int | float | Num[Array, ""]
) -> Float[Array, "points neighbors"]:
    """Computes each point's distribution over its neighbors, `exp(-beta d^2)` up to a factor.

    Beta is found by bisection, such that the distribution has the given perplexity.

    Args:
        squares: Squared distances; infinite ones get probability 0.
        perplexity: Exponential of the entropy of each row.

    Returns:
        Probabilities, whose rows sum to 1.

    >>> print(conditional(jnp.array([[1.0, 1.0, 1.0, jnp.inf]]), 3.0).round(3))
    [[0.333 0.333 0.333 0.   ]]
    """
    away = squares - squares.min(axis=1, keepdims=True)
    is_neighbor = jnp.isfinite(away)
    away = jnp.where(is_neighbor, away, 0)
    scale = jax.lax.stop_gradient(away.mean(axis=1, keepdims=True))
    away = jnp.where(is_neighbor, away / jnp.where(scale > 0, scale, 1), jnp.inf)
    weight = _weights(_beta(away, jnp.log(perplexity)), away)
    return weight / weight.sum(axis=1, keepdims=True)


def _weights(beta: Array, away: Array) -> Array:
    return jnp.where(jnp.isinf(away), 0, jnp.exp(-beta * jnp.where(jnp.isinf(away), 0, away)))


def _entropy_of(beta: Array, away: Array) -> Array:
    """The entropy of each row's distribution, as a column."""
    weight = _weights(beta, away)
    total = weight.sum(axis=1, keepdims=True)
    mean = (weight * jnp.where(jnp.isinf(away), 0, away)).sum(axis=1, keepdims=True) / total
    return jnp.log(total) + beta * mean


@jax.custom_jvp
def _beta(away: Array, entropy: Array) -> Array:
    """The beta of each row at which its distribution has a given entropy, as a column."""

    def bisect(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        beta = jnp.where(jnp.isinf(high), jnp.maximum(2 * low, 1e-3), (low + high) / 2)
        wide = _entropy_of(beta, away) > entropy
        return jnp.where(wide, beta, low), jnp.where(wide, high, beta)

    zeros = jnp.zeros_like(away[:, :1])
    low, high = jax.lax.fori_loop(0, _BISECTIONS, bisect, (zeros, zeros + jnp.inf))
    return jnp.where(jnp.isinf(high), low, (low + high) / 2)


@_beta.defjvp
def _beta_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    """Differentiates implicitly: beta changes such that the entropy has its given value."""
    away, entropy = primals
    beta = _beta(away, entropy)
    _, slope = jax.jvp(lambda beta: _entropy_of(beta, away), (beta,), (jnp.ones_like(beta),))
    _, change = jax.jvp(lambda away: _entropy_of(beta, away), (away,), (tangents[0],))
    return beta, (tangents[1] - change) / jnp.where(slope == 0, jnp.inf, slope)


def check_points(points: Points, *, least: int) -> None:
    """Raises ValueError if there are fewer than `least` points, or a number is not finite."""
    if len(points) < least or not points.shape[1]:
        raise ValueError(
            f"there must be {least} points or more, with a feature or more, got the shape "
            f"{points.shape}"
        )
    if isinstance(points, jax.core.Tracer):
        return
    finite = np.isfinite(np.asarray(points)).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"points must be finite; the first of {int((~finite).sum())} that are not is number "
            f"{int(finite.argmin())}"
        )
