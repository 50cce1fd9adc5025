"""The step that optimizes an embedding, its state, and the problem that all steps share."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxvision._reprs import brief
from jaxvision.checks import check_count
from jaxvision.manifold.attraction import attraction, cross_entropy
from jaxvision.manifold.kernels import Kernel, Student
from jaxvision.manifold.mesh import mesh_repulsion
from jaxvision.manifold.repulsion import Repulsion, exact_repulsion

Embedding = Float[Array, "points components"]
_GAIN, _LOSS, _LEAST_GAIN = 0.2, 0.8, 0.01


class Schedule(flax.struct.PyTreeNode):
    """Learning rate, exaggeration, momentum and noise, as arguments of a compiled step.

    The fields of this and the following classes are annotated loosely, because trees of the same
    structure hold shapes and shardings too.

    Attributes:
        learning_rate: Learning rate; in the early steps it is divided by the exaggeration.
        exaggeration: Factor of the attraction in the early steps.
        early_steps: Number of early steps.
        early_momentum: Momentum in the early steps.
        momentum: Momentum after the early steps.
        jitter: Standard deviation of the noise added to the points in the first step. It falls
            linearly to 0 over the early steps. None adds no noise.
    """

    learning_rate: Any
    exaggeration: Any
    early_steps: Any
    early_momentum: Any
    momentum: Any
    jitter: Any | None = None


class Problem(flax.struct.PyTreeNode):
    """The batch that all steps of an embedding share: its data and its schedule.

    Attributes:
        edges: Pairs of neighbors, with their probabilities.
        entropy: Entropy of the probabilities, in nats; a cross-entropy minus it is a divergence.
        schedule: Schedule of the steps.
        meshes: Grids for the repulsion; None computes it from all pairs.
    """

    edges: Any
    entropy: Any
    schedule: Any
    meshes: Any = None

    def __repr__(self) -> str:
        return brief(self)


class EmbeddingState(flax.struct.PyTreeNode):
    """State of an embedding.

    Attributes:
        step: Number of steps so far.
        embedding: Points of the embedding.
        velocity: Last update of each point.
        gains: Factor of the learning rate for each coordinate.
        key: Random key of the jitter.
    """

    step: Any
    embedding: Any
    velocity: Any
    gains: Any
    key: Any

    def __repr__(self) -> str:
        return brief(self)


@dataclasses.dataclass(frozen=True)
class EmbeddingStep:
    """A step of an embedding, `(state, problem) -> (state, metrics)`, for `train.fit` or any loop.

    Its metric `kl` is the Kullback-Leibler divergence before the update, without exaggeration, in
    nats; see `Embedded`.

    Attributes:
        kernel: Similarity of points of the embedding.
        by_point: Whether similarities are normalized for each point, as in SNE, instead of over all
            pairs.
        measure_every: Number of steps between measurements of the divergence.
    """

    kernel: Kernel = dataclasses.field(default_factory=Student)
    by_point: bool = False
    measure_every: int = 10

    def __post_init__(self) -> None:
        check_count("measure_every", self.measure_every, of="steps")

    def __call__(
        self, state: EmbeddingState, problem: Problem
    ) -> tuple[EmbeddingState, dict[str, tuple[Array, Array]]]:
        """Takes one step; returns the new state, and the divergence if it was due."""
        measure = state.step % self.measure_every == 0
        state, divergence = self.update(state, problem, measure=measure)
        return state, {"kl": (divergence, measure.astype(divergence.dtype))}

    def update(
        self, state: EmbeddingState, problem: Problem, *, measure: Bool[Array, ""] | None
    ) -> tuple[EmbeddingState, Float[Array, ""]]:
        """Takes one step of gradient descent.

        Args:
            state: State before the step.
            problem: Problem that the steps share.
            measure: Whether to compute the divergence; None is no.

        Returns:
            The new state; and the divergence before the update, or 0.
        """
        schedule = problem.schedule
        early = state.step < schedule.early_steps
        exaggeration = jnp.where(early, schedule.exaggeration, 1)
        repulsion = self._repulsion(state.embedding, problem)
        pull = attraction(state.embedding, problem.edges, self.kernel)
        gradient = 4 * (exaggeration * pull - repulsion.force)
        turned = jnp.sign(gradient) == jnp.sign(state.velocity)
        gains = jnp.where(turned, state.gains * _LOSS, state.gains + _GAIN)
        gains = jnp.maximum(gains, _LEAST_GAIN)
        momentum = jnp.where(early, schedule.early_momentum, schedule.momentum)
        rate = schedule.learning_rate / exaggeration
        velocity = momentum * state.velocity - rate * gains * gradient
        embedding = state.embedding + velocity
        if schedule.jitter is not None:
            left = jnp.maximum(0, 1 - state.step / schedule.early_steps)
            noise = jax.random.normal(jax.random.fold_in(state.key, state.step), embedding.shape)
            embedding += schedule.jitter * left * noise
        divergence = jnp.zeros((), embedding.dtype)
        if measure is not None:
            divergence = jax.lax.cond(
                measure,
                lambda: self._divergence(state.embedding, problem, repulsion),
                lambda: divergence,
            )
        return state.replace(
            step=state.step + 1,
            embedding=embedding - embedding.mean(axis=0),
            velocity=velocity,
            gains=gains,
        ), divergence

    def divergence(self, embedding: Embedding, problem: Problem) -> Float[Array, ""]:
        """Computes the Kullback-Leibler divergence that the steps reduce, in nats."""
        return self._divergence(embedding, problem, self._repulsion(embedding, problem))

    def _divergence(self, embedding: Embedding, problem: Problem, repulsion: Repulsion) -> Array:
        cost = cross_entropy(embedding, problem.edges, self.kernel)
        return cost + repulsion.log_total - problem.entropy

    def _repulsion(self, embedding: Embedding, problem: Problem) -> Repulsion:
        if problem.meshes is None:
            return exact_repulsion(embedding, self.kernel, by_point=self.by_point)
        return mesh_repulsion(embedding, problem.meshes, self.kernel)
