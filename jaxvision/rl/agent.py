"""What agents with a network share."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from jaxvision.rl.learner import Learner
from jaxvision.rl.spaces import Discrete
from jaxvision.rl.vector import VectorEnv
from jaxvision.rl.wrappers import EpisodeStatistics

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Agent(Learner):
    """A network that learns what to do in environments.

    A subclass has `_scores`, and what a `Learner` has.

    Attributes:
        envs: Where the agent acts.
        network: What it learns.
        optimizer: Of the network; clipping belongs in its chain.
    """

    envs: VectorEnv
    network: nn.Module
    optimizer: optax.GradientTransformation

    has_policy: ClassVar[bool] = False
    """Whether it learns the probabilities of actions, and not their values."""

    def __post_init__(self) -> None:
        """Checks what would fail deep inside a program."""
        super().__post_init__()
        space = self.envs.action_space
        if not isinstance(space, Discrete):
            raise ValueError(
                f"actions must be discrete, and those of these environments are {space}"
            )

    def act(
        self, params: PyTree, observations: Array, key: Key[Array, ""] | None = None
    ) -> Int[Array, "envs"]:
        """Chooses actions, as an agent that has learned.

        Args:
            params: Of the network, `state.params`.
            observations: What the agent sees.
            key: Draws from a policy; None takes the best action. Agents that learn values always do
                that.

        Returns:
            One action for each.
        """
        scores = self._scores(params, observations)
        if self.has_policy and key is not None:
            return jax.random.categorical(key, scores).astype(jnp.int32)
        return jnp.argmax(scores, axis=-1).astype(jnp.int32)

    def describe(self) -> dict[str, Any]:
        """What `settings.json` keeps of this step.

        Returns:
            The kind of agent, and its numbers.
        """
        return {**super().describe(), "num_envs": self.envs.num_envs}

    @property
    def _envs(self) -> EpisodeStatistics:
        return EpisodeStatistics(self.envs)

    def _apply(self, params: PyTree, observations: Array, method: str | None = None) -> Any:
        """What the network says."""
        return self.network.apply(params, observations, method=method)

    def _scores(self, params: PyTree, observations: Array) -> Float[Array, "envs actions"]:
        """The logits or values of all actions."""
        raise NotImplementedError

    def _descend(
        self, params: PyTree, opt_state: PyTree, gradients: PyTree
    ) -> tuple[PyTree, PyTree]:
        """One step of the optimizer."""
        updates, opt_state = self.optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state
