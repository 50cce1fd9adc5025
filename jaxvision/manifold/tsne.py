"""t-SNE and SNE, each in one call."""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxvision._reprs import brief
from jaxvision.checks import check_count
from jaxvision.classical.neighbors import Metric
from jaxvision.manifold.affinities import Affinities, affinities
from jaxvision.manifold.kernels import Gaussian, Kernel, Student
from jaxvision.manifold.problem import (
    Init,
    Method,
    init_embedding,
    make_problem,
    sne_schedule,
    takes_mesh,
)
from jaxvision.manifold.step import EmbeddingState, EmbeddingStep, Problem, Schedule

Points = Float[Array | np.ndarray, "points features"]
Embedding = Float[Array, "points components"]
OnProgress = Callable[[int, Embedding, float], None]
"""`on_progress(steps_done, embedding, divergence)`, to print progress or to draw an animation."""

_CHUNK = 50


class Embedded(flax.struct.PyTreeNode):
    """An embedding, and how it was computed.

    Attributes:
        embedding: Points of the embedding, with mean 0.
        kl: Kullback-Leibler divergence KL(P || Q) of the probabilities P and the similarities Q in
            the embedding, in nats.
        kl_curve: Divergence at the start, after every 50 steps, and at the end; empty from `embed`.
        num_steps: Number of steps.
        method: Method of the repulsion: "exact" or "mesh".
        kernel: Similarity of points of the embedding.
    """

    embedding: Float[Array, "*runs points components"]
    kl: Float[Array, "*runs"]
    kl_curve: Float[Array, "*runs times"]
    num_steps: int = flax.struct.field(pytree_node=False)
    method: str = flax.struct.field(pytree_node=False)
    kernel: Kernel = flax.struct.field(pytree_node=False)

    def __repr__(self) -> str:
        return brief(self)


def tsne(
    points: Points,
    *,
    key: Key[Array, ""],
    perplexity: int | float = 30.0,
    num_steps: int = 1000,
    init: Init | Embedding | np.ndarray = "pca",
    method: Method = "auto",
    num_components: int = 2,
    metric: Metric = "l2",
    dof: int | float = 1.0,
    schedule: Schedule | None = None,
    on_progress: OnProgress | None = None,
) -> Embedded:
    """Embeds points in few dimensions so that neighbors stay neighbors.

    The same key gives the same embedding, on the same kind of device.

    Args:
        points: Points, one per row.
        key: Random key of the noise in the initial embedding.
        perplexity: Effective number of neighbors of a point; see `affinities`.
        num_steps: Number of steps.
        init: Initial embedding; see `init_embedding`.
        method: Method of the repulsion; see `make_problem`.
        num_components: Dimensions of the embedding.
        metric: Distance between points; see `classical.nearest_neighbors`.
        dof: Degrees of freedom of the similarity; fewer pull clusters farther apart.
        schedule: Exaggeration, momentum and learning rate; None takes those of `make_schedule`.
        on_progress: Function that is called at the start, after every 50 steps, and at the end.

    Returns:
        The embedding, its divergence, and how they were computed.

    Raises:
        ValueError: There are too few points for the perplexity, a number is not finite, or an
            option is not allowed.
        FloatingPointError: The embedding did not stay finite.

    Reference: van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 2008.

    >>> points = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    >>> found = tsne(points, key=jax.random.key(0), perplexity=10, num_steps=100)
    >>> found.embedding.shape, found.method, found.kl_curve.shape
    ((60, 2), 'exact', (3,))
    """
    # Options are checked before the search for neighbors, which takes a while.
    check_count("num_steps", num_steps, of="steps", least=0)
    takes_mesh(method, len(points), num_components)
    step = EmbeddingStep(Student(dof))
    state = init_embedding(key, points, init=init, num_components=num_components)
    near = affinities(points, perplexity, metric=metric)
    problem = make_problem(
        near, step, schedule=schedule, num_components=num_components, method=method
    )
    return optimize(step, state, problem, num_steps=num_steps, on_progress=on_progress)


def sne(
    points: Points,
    *,
    key: Key[Array, ""],
    symmetric: bool = False,
    perplexity: int | float = 30.0,
    num_steps: int = 1000,
    init: Init | Embedding | np.ndarray = "pca",
    num_components: int = 2,
    metric: Metric = "l2",
    schedule: Schedule | None = None,
    on_progress: OnProgress | None = None,
) -> Embedded:
    """Embeds points by SNE, the predecessor of t-SNE, for comparison with it.

    Similarities follow a normal distribution, whose thin tails crowd the points of an embedding.

    Args:
        points: Points, one per row.
        key: Random key of the noise in the initial embedding and in the early steps.
        symmetric: Whether similarities are normalized over all pairs, as in symmetric SNE and
            t-SNE, instead of for each point, as in SNE.
        perplexity: Effective number of neighbors of a point; see `affinities`.
        num_steps: Number of steps.
        init: Initial embedding; see `init_embedding`.
        num_components: Dimensions of the embedding.
        metric: Distance between points; see `classical.nearest_neighbors`.
        schedule: Noise, momentum and learning rate; None takes those of `sne_schedule`.
        on_progress: Function that is called at the start, after every 50 steps, and at the end.

    Returns:
        The embedding, its divergence (for SNE the mean over points), and how they were computed.

    Raises:
        ValueError: There are too few points for the perplexity, a number is not finite, or an
            option is not allowed.
        FloatingPointError: The embedding did not stay finite.

    Reference: Hinton and Roweis, Stochastic neighbor embedding, NeurIPS 2002.

    >>> points = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    >>> found = sne(points, key=jax.random.key(0), perplexity=10, num_steps=100)
    >>> found.embedding.shape, found.kl_curve.shape
    ((60, 2), (3,))
    """
    check_count("num_steps", num_steps, of="steps", least=0)
    state = init_embedding(key, points, init=init, num_components=num_components)
    near = affinities(points, perplexity, metric=metric)
    step = EmbeddingStep(Gaussian(), by_point=not symmetric)
    schedule = schedule or sne_schedule(len(points))
    problem = make_problem(near, step, schedule=schedule, num_components=num_components)
    return optimize(step, state, problem, num_steps=num_steps, on_progress=on_progress)


def optimize(
    step: EmbeddingStep,
    state: EmbeddingState,
    problem: Problem,
    *,
    num_steps: int = 1000,
    on_progress: OnProgress | None = None,
) -> Embedded:
    """Runs the steps of an embedding, 50 in each call of a compiled program.

    Args:
        step: Step to run.
        state: Initial state.
        problem: Problem that the steps share.
        num_steps: Number of steps.
        on_progress: Function that is called at the start, after every 50 steps, and at the end.

    Returns:
        The embedding, its divergence, and how they were computed.

    Raises:
        ValueError: The number of steps is negative.
        FloatingPointError: The embedding did not stay finite.
    """
    check_count("num_steps", num_steps, of="steps", least=0)
    curve: list[float] = []
    done = 0
    while True:
        count = min(_CHUNK, num_steps - done)
        # `_advance` measures before its first step: for the last divergence, one more step is run.
        after, measured = _advance(step, state, problem, max(count, 1))
        curve.append(float(measured))
        if not math.isfinite(curve[-1]):
            raise FloatingPointError(
                f"the embedding is no longer finite after {done} steps: lower the learning rate, "
                f"{float(problem.schedule.learning_rate):g}, or the exaggeration"
            )
        if on_progress is not None:
            on_progress(done, state.embedding, curve[-1])
        if not count:
            break
        state, done = after, done + count
    return _embedded(step, state, problem, jnp.asarray(curve), num_steps)


def embed(
    affinities: Affinities,
    state: EmbeddingState,
    *,
    step: EmbeddingStep | None = None,
    schedule: Schedule | None = None,
    num_steps: int = 1000,
) -> Embedded:
    """Embeds points with exact repulsion, as a pure function for `jax.vmap` and `jax.grad`.

    The values of the affinities and of the state may be traced, the indices of the pairs may not. A
    gradient goes back through all steps, each of which is computed twice.

    Args:
        affinities: Affinities of the points.
        state: Initial state.
        step: Step to run; None takes that of t-SNE.
        schedule: Schedule of the steps; None takes that of `make_schedule`.
        num_steps: Number of steps.

    Returns:
        The embedding, its divergence, and how they were computed.

    Raises:
        ValueError: The number of steps is negative.

    >>> from jaxvision.manifold import affinities, init_embedding
    >>> points = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    >>> def of(perplexity):
    ...     near = affinities(points, perplexity, num_neighbors=19)
    ...     return embed(near, init_embedding(jax.random.key(0), points), num_steps=50)
    >>> jax.jit(jax.vmap(of))(np.array([4.0, 8.0], np.float32)).embedding.shape
    (2, 20, 2)
    """
    check_count("num_steps", num_steps, of="steps", least=0)
    step = step or EmbeddingStep()
    problem = make_problem(affinities, step, schedule=schedule, method="exact")

    @jax.checkpoint
    def one(state: EmbeddingState, _: None) -> tuple[EmbeddingState, None]:
        return step.update(state, problem, measure=None)[0], None

    state, _ = jax.lax.scan(one, state, length=num_steps)
    return _embedded(step, state, problem, jnp.zeros(0), num_steps)


def _embedded(
    step: EmbeddingStep, state: EmbeddingState, problem: Problem, curve: Array, num_steps: int
) -> Embedded:
    kl = curve[-1] if curve.size else step.divergence(state.embedding, problem)
    method = "exact" if problem.meshes is None else "mesh"
    return Embedded(state.embedding, kl, curve, num_steps, method, step.kernel)


@functools.partial(jax.jit, static_argnums=0)
def _advance(
    step: EmbeddingStep, state: EmbeddingState, problem: Problem, count: Any
) -> tuple[EmbeddingState, Array]:
    """Runs some steps; also returns the divergence before the first of them."""

    def one(index: Any, carry: tuple[EmbeddingState, Array]) -> tuple[EmbeddingState, Array]:
        state, first = carry
        state, measured = step.update(state, problem, measure=index == 0)
        return state, jnp.where(index == 0, measured, first)

    return jax.lax.fori_loop(0, count, one, (state, jnp.zeros((), state.embedding.dtype)))
