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
"""`(steps done, embedding, divergence)`, where to draw frames of a film or print progress."""

_CHUNK = 50


class Embedded(flax.struct.PyTreeNode):
    """An embedding, and what was run to make it.

    Attributes:
        embedding: The points, around 0.
        kl: The Kullback-Leibler divergence of the similarities in the embedding from the
            probabilities, in nats.
        kl_curve: It at the start and after every 50 steps; empty from `embed`.
        num_steps: How many steps were run.
        method: How the repulsion was computed: "exact" or "mesh".
        kernel: The similarity of points of the embedding.
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
        points: The points.
        key: Draws the noise that the embedding begins with.
        perplexity: How many neighbors a point has, in effect; see `affinities`.
        num_steps: How many steps to run.
        init: Where the embedding begins; see `init_embedding`.
        method: How the repulsion is computed; see `make_problem`.
        num_components: The dimensions of the embedding.
        metric: The distance of points; see `classical.nearest_neighbors`.
        dof: The degrees of freedom of the similarity; fewer pull clusters farther apart.
        schedule: Exaggeration, momentum and learning rate; None takes those of `make_schedule`.
        on_progress: Called at the start and after every 50 steps.

    Returns:
        The embedding, its divergence, and what was run.

    Raises:
        ValueError: There are too few points for the perplexity, a number is not finite, or an
            option has a value that is not allowed.
        FloatingPointError: The embedding did not stay finite.

    Reference: van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 2008.

    >>> points = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    >>> found = tsne(points, key=jax.random.key(0), perplexity=10, num_steps=100)
    >>> found.embedding.shape, found.method, found.kl_curve.shape
    ((60, 2), 'exact', (3,))
    """
    # What can be wrong is found before the search for neighbors, which takes a while.
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
    """Embeds points by what t-SNE came from, to be seen beside it.

    Similarities are those of a normal distribution, whose thin tails crowd the points of an
    embedding together.

    Args:
        points: The points.
        key: Draws the noise that the embedding begins with, and that of the early steps.
        symmetric: Whether the similarities of all pairs are normalized together, as in symmetric
            SNE and t-SNE, and not those of each point, as in SNE.
        perplexity: How many neighbors a point has, in effect; see `affinities`.
        num_steps: How many steps to run.
        init: Where the embedding begins; see `init_embedding`.
        num_components: The dimensions of the embedding.
        metric: The distance of points; see `classical.nearest_neighbors`.
        schedule: Noise, momentum and learning rate; None takes those of `sne_schedule`.
        on_progress: Called at the start and after every 50 steps.

    Returns:
        The embedding, its divergence, and what was run. The divergence of SNE is the mean over
        points.

    Raises:
        ValueError: There are too few points for the perplexity, a number is not finite, or an
            option has a value that is not allowed.
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
    """Runs the steps of an embedding, as one program for 50 of them.

    Args:
        step: The step.
        state: Where the embedding begins.
        problem: What it is learned from.
        num_steps: How many steps to run.
        on_progress: Called at the start and after every 50 steps.

    Returns:
        The embedding, its divergence, and what was run.

    Raises:
        ValueError: The number of steps is negative.
        FloatingPointError: The embedding did not stay finite.
    """
    check_count("num_steps", num_steps, of="steps", least=0)
    curve: list[float] = []
    done = 0
    while True:
        count = min(_CHUNK, num_steps - done)
        # The divergence is that of the first step: after the last, one more is run for it alone.
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
    """Embeds points from all pairs as a pure function, for `jax.vmap` and `jax.grad`.

    Values of the affinities and the state may be traced; the pairs may not. A gradient goes back
    through all steps, each of which is computed twice.

    Args:
        affinities: How near the points are to each other.
        state: Where the embedding begins.
        step: The step; None is that of t-SNE.
        schedule: How the embedding is learned; None takes that of `make_schedule`.
        num_steps: How many steps to run.

    Returns:
        The embedding, its divergence, and what was run.

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
    """Runs some steps; gives the divergence that the first of them began with."""

    def one(index: Any, carry: tuple[EmbeddingState, Array]) -> tuple[EmbeddingState, Array]:
        state, first = carry
        state, measured = step.update(state, problem, measure=index == 0)
        return state, jnp.where(index == 0, measured, first)

    return jax.lax.fori_loop(0, count, one, (state, jnp.zeros((), state.embedding.dtype)))
