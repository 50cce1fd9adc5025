"""k-means clustering: k-means++ and Lloyd's iterations."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxvision._reprs import brief
from jaxvision.checks import check_count

Points = Float[Array | np.ndarray, "points features"]
Centers = Float[Array, "clusters features"]


class Clusters(NamedTuple):
    """Result of k-means.

    Attributes:
        centers: Center of each cluster.
        labels: Index of each point's nearest center.
        inertia: Sum of the squared distances between points and their centers.
        steps: Number of iterations.
        converged: Whether the last iteration moved no point to another center.
    """

    centers: Centers
    labels: Int[Array, " points"]
    inertia: Float[Array, ""]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]

    def __repr__(self) -> str:
        return brief(self)


@functools.partial(jax.jit, static_argnames=("num_clusters", "num_starts", "max_steps"))
def kmeans(
    points: Points,
    num_clusters: int,
    *,
    key: Key[Array, ""],
    num_starts: int = 10,
    max_steps: int = 300,
) -> Clusters:
    """Finds clusters by k-means.

    Each start draws centers by k-means++ and improves them by Lloyd's iterations, until no point
    changes its center. All starts run at once, and the result is the one with the least inertia. A
    center that loses all its points moves to the point that is farthest from its own center.

    Args:
        points: Points, one per row.
        num_clusters: Number of clusters.
        key: Random key of the initial centers.
        num_starts: Number of starts.
        max_steps: Largest number of iterations.

    Raises:
        ValueError: There are fewer points than clusters, or a number is not positive.

    Reference: Lloyd, Least squares quantization in PCM, 1982; Arthur and Vassilvitskii, k-means++:
    the advantages of careful seeding, SODA 2007.

    >>> points = jnp.array([[0.0], [1.0], [10.0], [11.0]])
    >>> found = kmeans(points, 2, key=jax.random.key(0))
    >>> print(jnp.sort(found.centers[:, 0]), found.inertia)
    [ 0.5 10.5] 1.0
    """
    for name, count in (
        ("num_clusters", num_clusters),
        ("num_starts", num_starts),
        ("max_steps", max_steps),
    ):
        check_count(name, count)
    if num_clusters > len(points):
        raise ValueError(
            f"num_clusters must be at most the number of points, {len(points)}, got {num_clusters}"
        )
    points = jnp.asarray(points, jnp.promote_types(points.dtype, jnp.float32))
    middle = points.mean(axis=0)
    centered = points - middle

    def start(key: Array) -> Clusters:
        return _lloyd(centered, plus_plus(centered, num_clusters, key=key), max_steps)

    found = jax.vmap(start)(jax.random.split(key, num_starts))
    best = jax.tree.map(lambda leaf: leaf[found.inertia.argmin()], found)
    return best._replace(centers=best.centers + middle)


@functools.partial(jax.jit, static_argnames="num_clusters")
def plus_plus(points: Points, num_clusters: int, *, key: Key[Array, ""]) -> Centers:
    """Draws points that are far from each other as initial centers, by k-means++.

    Args:
        points: Points, one per row.
        num_clusters: Number of centers.
        key: Random key of the draws.

    Returns:
        The centers. The first is a uniformly random point. Each further one is drawn with a
        probability proportional to the squared distance to the nearest center before it.
    """
    first_key, key = jax.random.split(key)
    points = jnp.asarray(points)
    first = points[jax.random.randint(first_key, (), 0, len(points))]
    centers = jnp.zeros((num_clusters, points.shape[1]), points.dtype).at[0].set(first)

    def draw(index: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        centers, squares = carry
        # If all points lie on centers, the draw is uniform.
        weights = jnp.where(squares.sum() > 0, squares, 1.0)
        chosen = jax.random.categorical(jax.random.fold_in(key, index), jnp.log(weights))
        center = points[chosen]
        squares = jnp.minimum(squares, jnp.square(points - center).sum(axis=1))
        return centers.at[index].set(center), squares

    squares = jnp.square(points - first).sum(axis=1)
    return jax.lax.fori_loop(1, num_clusters, draw, (centers, squares))[0]


def _lloyd(points: Points, centers: Centers, max_steps: int) -> Clusters:
    def step(found: Clusters) -> Clusters:
        labels, squares = _assign(points, found.centers)
        members = jax.nn.one_hot(labels, len(centers), dtype=points.dtype)
        counts = members.sum(axis=0)
        means = (members.T @ points) / jnp.maximum(counts, 1)[:, None]
        # Each center without points moves to another one of the farthest points.
        order = jnp.argsort(-squares)
        place = jnp.cumsum(counts == 0) - 1
        moved = jnp.where((counts == 0)[:, None], points[order[place]], means)
        same = (labels == found.labels).all() & (moved == found.centers).all()
        return Clusters(moved, labels, squares.sum(), found.steps + 1, same)

    none = jnp.full(len(points), -1, jnp.int32)
    begin = Clusters(
        centers, none, jnp.array(jnp.inf, points.dtype), jnp.array(0), jnp.array(False)
    )
    found = jax.lax.while_loop(lambda each: ~each.converged & (each.steps < max_steps), step, begin)
    labels, squares = _assign(points, found.centers)
    return found._replace(labels=labels, inertia=squares.sum())


def _assign(
    points: Points, centers: Centers
) -> tuple[Int[Array, " points"], Float[Array, " points"]]:
    """The nearest center of each point (the first, if equally near), and the squared distance."""
    product = jnp.matmul(points, centers.T, precision=jax.lax.Precision.HIGHEST)
    labels = (jnp.square(centers).sum(axis=1) - 2 * product).argmin(axis=1).astype(jnp.int32)
    return labels, jnp.square(points - centers[labels]).sum(axis=1)
