"""Placement of new points in an existing embedding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision.checks import check_count
from jaxvision.classical.neighbors import Metric, nearest_neighbors
from jaxvision.manifold.affinities import check_points, conditional, count_neighbors
from jaxvision.manifold.kernels import Kernel, Student
from jaxvision.manifold.mesh import Field, make_field
from jaxvision.manifold.problem import Method, takes_mesh
from jaxvision.manifold.repulsion import sum_over_pairs

_RATE, _MOMENTUM = 0.5, 0.8


def transform(
    new_points: Float[Array | np.ndarray, "new features"],
    points: Float[Array | np.ndarray, "points features"],
    embedding: Float[Array | np.ndarray, "points components"],
    *,
    perplexity: int | float = 5.0,
    num_steps: int = 250,
    metric: Metric = "l2",
    dof: int | float = 1.0,
    method: Method = "auto",
) -> Float[Array, "new components"]:
    """Places new points in an embedding, which does not change.

    Each new point starts at the most central of its neighbors. It then descends the divergence
    between its distribution over its neighbors and its similarities to the embedding. So its place
    does not depend on the other new points.

    Args:
        new_points: New points, one per row.
        points: Points of the embedding, before they were embedded.
        embedding: Places of `points` in the embedding.
        perplexity: Effective number of neighbors of a new point. The smaller it is, the more a new
            point follows its very nearest neighbors.
        num_steps: Number of steps of gradient descent.
        metric: Distance between points, as for the embedding.
        dof: Degrees of freedom of the similarity, as for the embedding.
        method: Method of the repulsion; see `make_problem`.

    Returns:
        Places of the new points, within a square that is a tenth larger than the embedding.

    Raises:
        ValueError: Shapes do not match, a number is not finite, or there are too few points for the
            perplexity.

    Reference: Policar, Strazar and Zupan, Embedding to reference t-SNE space addresses batch
    effects in single-cell classification, Machine Learning 2021.

    >>> points = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    >>> transform(points[:4], points, points[:, :2], perplexity=3).shape
    (4, 2)
    """
    check_points(points, least=3)
    check_points(embedding, least=3)
    check_count("num_steps", num_steps, of="steps", least=0)
    if len(embedding) != len(points) or new_points.shape[1] != points.shape[1]:
        raise ValueError(
            f"points of shape {points.shape} need new points of as many features, got "
            f"{new_points.shape}, and as many rows of the embedding, got {embedding.shape}"
        )
    count = count_neighbors(perplexity, len(points), most=len(points))
    components = embedding.shape[1]
    if not len(new_points):
        return jnp.zeros((0, components), jnp.float32)
    check_points(new_points, least=1)
    kernel = Student(dof)
    near = nearest_neighbors(new_points, points, count, metric=metric)
    given = conditional(jnp.square(near.distances), perplexity)
    embedding = jnp.asarray(embedding, given.dtype)
    on_mesh = takes_mesh(method, len(points), components)
    field = make_field(embedding, kernel) if on_mesh else None
    return _descend(near.indices, given, embedding, field, num_steps, kernel)


@functools.partial(jax.jit, static_argnames="kernel")
def _descend(
    neighbors: Int[Array, "new neighbors"],
    given: Float[Array, "new neighbors"],
    embedding: Float[Array, "points components"],
    field: Field | None,
    num_steps: int | Array,
    kernel: Kernel,
) -> Float[Array, "new components"]:
    around = embedding[neighbors]
    low, high = embedding.min(axis=0), embedding.max(axis=0)
    reach = 0.55 * (high - low).max()
    center = (low + high) / 2
    ones = jnp.ones(len(embedding), embedding.dtype)

    def squares(places: Array) -> Array:
        return jnp.square(places[:, None] - around).sum(axis=-1)

    def gradient(places: Array) -> Array:
        pull = given * kernel.pull(squares(places))
        attraction = (pull[:, :, None] * (places[:, None] - around)).sum(axis=1)
        if field is None:
            push, totals = sum_over_pairs(places, 0 * places[:, 0], embedding, ones, kernel)
        else:
            totals, slopes = field.at(places)
            push = slopes / -2
        return 2 * (attraction - push / totals[:, None])

    def one(_: int | Array, moving: tuple[Array, Array]) -> tuple[Array, Array]:
        places, velocity = moving
        velocity = _MOMENTUM * velocity - _RATE * gradient(places)
        return jnp.clip(places + velocity - center, -reach, reach) + center, velocity

    costs = jax.vmap(lambda each: (given * kernel.cost(squares(each))).sum(axis=1), 1, 1)(around)
    start = jnp.take_along_axis(around, costs.argmin(axis=1)[:, None, None], axis=1)[:, 0]
    return jax.lax.fori_loop(0, num_steps, one, (start, jnp.zeros_like(start)))[0]
