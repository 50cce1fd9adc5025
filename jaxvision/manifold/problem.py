"""Setup of an embedding: its schedule, its problem, and its initial state."""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxvision.checks import (
    check_count,
    check_name,
    check_not_negative,
    check_positive,
    check_share,
)
from jaxvision.classical.components import pca
from jaxvision.manifold.affinities import Affinities, check_points
from jaxvision.manifold.attraction import lay_out
from jaxvision.manifold.mesh import make_meshes
from jaxvision.manifold.step import EmbeddingState, EmbeddingStep, Problem, Schedule
from jaxvision.ops.platform import target_platform

Points = Float[Array | np.ndarray, "points features"]
Embedding = Float[Array, "points components"]
Init = Literal["pca", "random"]
Method = Literal["auto", "exact", "mesh"]

_SCALE, _NOISE = 1e-4, 0.01
_EXACT_POINTS = {"cpu": 2500}
_EXACT_POINTS_ELSEWHERE = 20_000


def make_schedule(
    num_points: int,
    *,
    learning_rate: int | float | None = None,
    exaggeration: int | float = 12.0,
    early_steps: int = 250,
    early_momentum: int | float = 0.5,
    momentum: int | float = 0.8,
    jitter: int | float = 0.0,
) -> Schedule:
    """Makes the schedule of an embedding.

    Args:
        num_points: Number of points.
        learning_rate: Learning rate; in the early steps it is divided by the exaggeration. None
            takes the number of points.
        exaggeration: Factor of the attraction in the early steps, in which clusters form.
        early_steps: Number of early steps.
        early_momentum: Momentum in the early steps.
        momentum: Momentum after the early steps.
        jitter: Standard deviation of the noise added to the points in the first step. It falls
            linearly to 0 over the early steps.

    Raises:
        ValueError: A number is out of its range.

    Reference: Belkina et al., Automated optimized parameters for t-distributed stochastic neighbor
    embedding improve visualization and analysis of large datasets, Nature Communications 2019.

    >>> float(make_schedule(600).learning_rate)
    600.0
    """
    rate = float(num_points) if learning_rate is None else learning_rate
    check_positive("learning_rate", rate)
    check_positive("exaggeration", exaggeration)
    check_count("early_steps", early_steps, of="steps", least=0)
    check_share("early_momentum", early_momentum)
    check_share("momentum", momentum)
    check_not_negative("jitter", jitter)
    return Schedule(
        jnp.float32(rate),
        jnp.float32(exaggeration),
        jnp.int32(early_steps),
        jnp.float32(early_momentum),
        jnp.float32(momentum),
        jnp.float32(jitter) if jitter else None,
    )


def sne_schedule(num_points: int) -> Schedule:
    """Makes the schedule of an embedding by SNE or symmetric SNE.

    Args:
        num_points: Number of points.

    Returns:
        A schedule without exaggeration, with noise that falls from 0.1 to 0 in 250 steps. The
        learning rate is a quarter of the number of points, because distant neighbors attract each
        other more strongly than in t-SNE.

    >>> float(sne_schedule(600).learning_rate)
    150.0
    """
    return make_schedule(num_points, learning_rate=num_points / 4, exaggeration=1.0, jitter=0.1)


def make_problem(
    affinities: Affinities,
    step: EmbeddingStep | None = None,
    *,
    schedule: Schedule | None = None,
    num_components: int = 2,
    method: Method = "auto",
) -> Problem:
    """Makes the problem that all steps of an embedding share.

    Args:
        affinities: Affinities of the points.
        step: Step that will be run; None takes that of t-SNE.
        schedule: Schedule of the steps; None takes that of `make_schedule`.
        num_components: Dimensions of the embedding.
        method: "exact" computes the repulsion from all pairs of points. "mesh" computes it on a
            grid, to a few percent, in time that is linear in the points; it needs two components,
            and similarities normalized over all pairs. "auto" takes the grid where it is faster.

    Raises:
        ValueError: The method is unknown, or it is "mesh" where that cannot be used.

    >>> from jaxvision.manifold import affinities
    >>> points = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    >>> problem = make_problem(affinities(points, 4))
    >>> problem.meshes is None
    True
    """
    check_count("num_components", num_components)
    count = affinities.num_points
    step = step or EmbeddingStep()
    on_mesh = takes_mesh(method, count, num_components, by_point=step.by_point)
    return Problem(
        lay_out(affinities),
        affinities.row_entropy if step.by_point else affinities.entropy(),
        schedule or make_schedule(count),
        make_meshes(count, step.kernel) if on_mesh else None,
    )


def takes_mesh(
    method: Method, num_points: int, num_components: int, *, by_point: bool = False
) -> bool:
    """Whether the repulsion is computed on a grid; raises ValueError if the method is unusable."""
    check_name("method", method, get_args(Method))
    for_mesh = num_components == 2 and not by_point
    if method == "mesh" and not for_mesh:
        raise ValueError(
            "the mesh is for embeddings of two components whose similarities are normalized "
            f"together, got {num_components} components and by_point={by_point}: use 'exact'"
        )
    most = _EXACT_POINTS.get(target_platform(), _EXACT_POINTS_ELSEWHERE)
    return method == "mesh" or (method == "auto" and for_mesh and num_points > most)


def init_embedding(
    key: Key[Array, ""],
    points: Points,
    *,
    init: Init | Embedding | np.ndarray = "pca",
    num_components: int = 2,
) -> EmbeddingState:
    """Makes the initial state of an embedding.

    Args:
        key: Random key of the noise, and of the jitter in the steps.
        points: Points, one per row.
        init: "pca" takes the first principal components, scaled to a standard deviation of 1e-4
            along the first, plus 1 % of noise, which separates equal points; components that the
            points lack are noise alone. "random" draws from a normal distribution with a standard
            deviation of 1e-4. An array is used unchanged.
        num_components: Dimensions of the embedding.

    Raises:
        ValueError: Points are not finite, the name is unknown, or the array has another shape.

    >>> state = init_embedding(jax.random.key(0), np.eye(4, dtype=np.float32))
    >>> state.embedding.shape, int(state.step)
    ((4, 2), 0)
    """
    check_count("num_components", num_components)
    if isinstance(init, str):
        check_name("init", init, get_args(Init))
        if init == "pca":
            check_points(points, least=2)
        embedding = _begin(key, points, num_components, init == "pca")
    else:
        embedding = jnp.array(init, jnp.promote_types(points.dtype, jnp.float32))
        if embedding.shape != (len(points), num_components):
            raise ValueError(
                f"init must have the shape {(len(points), num_components)}, got {embedding.shape}"
            )
        check_points(embedding, least=1)
    return EmbeddingState(
        step=jnp.int32(0),
        embedding=embedding,
        velocity=jnp.zeros_like(embedding),
        gains=jnp.ones_like(embedding),
        key=jax.random.clone(key),  # training loops donate their state
    )


@functools.partial(jax.jit, static_argnums=(2, 3))
def _begin(key: Array, points: Points, num_components: int, principal: bool) -> Array:
    """Noise; or the first principal components, scaled, with a little noise."""
    dtype = jnp.promote_types(points.dtype, jnp.float32)
    noise = _SCALE * jax.random.normal(key, (len(points), num_components), dtype)
    if not principal:
        return noise
    count = min(num_components, *points.shape)
    method: Literal["exact", "randomized"] = "randomized" if min(points.shape) > 500 else "exact"
    found = pca(points, count, method=method, key=key)
    spread = jnp.sqrt(found.explained_variance[0])
    codes = found.transform(points) * (_SCALE / jnp.where(spread == 0, 1, spread))
    return jnp.pad(codes, [(0, 0), (0, num_components - count)]) + _NOISE * noise
