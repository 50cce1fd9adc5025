"""New points in an embedding that is there already."""

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
    """Places new points in an embedding, which stays as it is.

    Each new point begins at the neighbor that is most central among its neighbors, and moves down
    the divergence of its own similarities to the embedding from its own distribution over its
    neighbors. So it does not depend on the other new points.

    Args:
        new_points: The new points.
        points: The points of the embedding.
        embedding: Where these are.
        perplexity: How many neighbors a new point has, in effect. With few, it goes where its
            nearest neighbors are.
        num_steps: How many steps of gradient descent.
        metric: The distance of points; that of the embedding.
        dof: The degrees of freedom of the similarity; those of the embedding.
        method: How the repulsion is computed; see `make_problem`.

    Returns:
        Where the new points are, within a square that is a tenth larger than the embedding.

    Raises:
        ValueError: Shapes do not go together, a number is not finite, or there are too few points
            for the perplexity.

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
