"""The step that embeddings are learned by, its state, and what stays the same from step to step."""

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
    """How an embedding is learned, in numbers that a compiled step takes as arguments.

    The fields of this and the following classes are annotated loosely, because trees of their form
    hold shapes and shardings too.

    Attributes:
        learning_rate: Of the gradient without exaggeration; with it, the rate is divided by it.
        exaggeration: What the attraction is multiplied by in the early steps.
        early_steps: How many steps are early.
        early_momentum: The share of the last update that is added to an early one.
        momentum: It afterwards.
        jitter: The standard deviation of the noise added to the points in the first step; it falls
            to 0 over the early steps. None adds none.
    """

    learning_rate: Any
    exaggeration: Any
    early_steps: Any
    early_momentum: Any
    momentum: Any
    jitter: Any | None = None


class Problem(flax.struct.PyTreeNode):
    """What an embedding is learned from: the batch that all steps share.

    Attributes:
        edges: The pairs of neighbors.
        entropy: The entropy of their probabilities, in nats, which makes the divergence of a
            cross-entropy.
        schedule: How it is learned.
        meshes: The grids that the repulsion is computed on; None computes it from all pairs.
    """

    edges: Any
    entropy: Any
    schedule: Any
    meshes: Any = None

    def __repr__(self) -> str:
        return brief(self)


class EmbeddingState(flax.struct.PyTreeNode):
    """An embedding that is being learned.

    Attributes:
        step: How many steps it has seen.
        embedding: The points.
        velocity: The last update of each.
        gains: What the learning rate of each number is multiplied by.
        key: Draws the jitter.
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

    Its metric is `kl`, the Kullback-Leibler divergence of the similarities in the embedding from
    the probabilities, in nats, without exaggeration, before the update.

    Attributes:
        kernel: The similarity of points of the embedding.
        by_point: Whether each point's similarities are normalized by themselves, as in SNE.
        measure_every: The divergence is computed in every so many steps.
    """

    kernel: Kernel = dataclasses.field(default_factory=Student)
    by_point: bool = False
    measure_every: int = 10

    def __post_init__(self) -> None:
        check_count("measure_every", self.measure_every, of="steps")

    def __call__(
        self, state: EmbeddingState, problem: Problem
    ) -> tuple[EmbeddingState, dict[str, tuple[Array, Array]]]:
        """Moves the points down the gradient.

        Args:
            state: The embedding.
            problem: What it is learned from.

        Returns:
            The new state, and the divergence.
        """
        measure = state.step % self.measure_every == 0
        state, divergence = self.update(state, problem, measure=measure)
        return state, {"kl": (divergence, measure.astype(divergence.dtype))}

    def update(
        self, state: EmbeddingState, problem: Problem, *, measure: Bool[Array, ""] | None
    ) -> tuple[EmbeddingState, Float[Array, ""]]:
        """Moves the points down the gradient.

        Args:
            state: The embedding.
            problem: What it is learned from.
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
        """Computes the divergence that the step lowers.

        Args:
            embedding: The points.
            problem: What they are learned from.

        Returns:
            The Kullback-Leibler divergence, in nats.
        """
        return self._divergence(embedding, problem, self._repulsion(embedding, problem))

    def _divergence(self, embedding: Embedding, problem: Problem, repulsion: Repulsion) -> Array:
        cost = cross_entropy(embedding, problem.edges, self.kernel)
        return cost + repulsion.log_total - problem.entropy

    def _repulsion(self, embedding: Embedding, problem: Problem) -> Repulsion:
        if problem.meshes is None:
            return exact_repulsion(embedding, self.kernel, by_point=self.by_point)
        return mesh_repulsion(embedding, problem.meshes, self.kernel)
