"""What all agents share: a step that acts and learns several times in one program."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key

from jaxvision.rl.spaces import Discrete
from jaxvision.rl.vector import VectorEnv
from jaxvision.rl.wrappers import EpisodeStatistics

PyTree = Any
Metrics = dict[str, tuple[Array, Array]]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Agent:
    """A step `(state, None) -> (state, metrics)` of `updates_per_step` updates.

    A subclass has `_init`, `_update`, `units_per_update` and `act`.

    Attributes:
        envs: Where the agent acts.
        network: What it learns.
        optimizer: Of the network; clipping belongs in its chain.
        discount: gamma.
        updates_per_step: Updates in one step of the agent: the more, the less time goes between
            programs, and the longer until a log or a checkpoint can be written.
    """

    envs: VectorEnv
    network: nn.Module
    optimizer: optax.GradientTransformation
    discount: float = 0.99
    updates_per_step: int = 10

    unit: ClassVar[str] = "environment steps"
    """What its experience is counted in: steps of all environments together, or episodes."""

    def __post_init__(self) -> None:
        """Checks what would fail deep inside a program."""
        space = self.envs.action_space
        if not isinstance(space, Discrete):
            raise ValueError(
                f"actions must be discrete, and those of these environments are {space}"
            )
        if not 0 <= self.discount <= 1:
            raise ValueError(f"discount must be in [0, 1], got {self.discount}")
        if self.updates_per_step < 1:
            raise ValueError(f"updates_per_step must be at least 1, got {self.updates_per_step}")

    @property
    def units_per_update(self) -> int:
        """How many of its `unit` an update takes."""
        raise NotImplementedError

    @property
    def units_per_step(self) -> int:
        """How many of its `unit` a step of the agent takes."""
        return self.updates_per_step * self.units_per_update

    def init(self, key: Key[Array, ""]) -> PyTree:
        """Draws parameters, and begins.

        Args:
            key: Draws the parameters, and all that the agent draws later.

        Returns:
            The state.
        """
        return jax.jit(self._init)(key)

    def __call__(self, state: PyTree, batch: None = None) -> tuple[PyTree, Metrics]:
        """Acts and learns.

        Args:
            state: The state; it has `params`, `step` and `key` among others.
            batch: None; the agent makes its own experience.

        Returns:
            The state, and metrics.
        """
        del batch

        def body(state: PyTree, _: None) -> tuple[PyTree, Metrics]:
            return self._update(state)

        state, metrics = jax.lax.scan(body, state, None, self.updates_per_step)
        return state, jax.tree.map(lambda leaf: leaf.sum(0), metrics)

    def act(
        self, params: PyTree, observations: Array, key: Key[Array, ""] | None = None
    ) -> Int[Array, "envs"]:
        """Chooses actions, as an agent that has learned.

        Args:
            params: Of the network, `state.params`.
            observations: What the agent sees.
            key: Draws actions from a policy that is one of chance; None takes the best.

        Returns:
            One action for each.
        """
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What `settings.json` keeps of this step.

        Returns:
            The kind of agent, and its numbers.
        """
        numbers = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), bool | int | float | str | None)
        }
        return {"task": type(self).__name__.lower(), "num_envs": self.envs.num_envs, **numbers}

    @property
    def _envs(self) -> EpisodeStatistics:
        return EpisodeStatistics(self.envs)

    def _init(self, key: Key[Array, ""]) -> PyTree:
        raise NotImplementedError

    def _update(self, state: PyTree) -> tuple[PyTree, Metrics]:
        raise NotImplementedError

    def _descend(
        self, params: PyTree, opt_state: PyTree, gradients: PyTree
    ) -> tuple[PyTree, PyTree]:
        """One step of the optimizer."""
        updates, opt_state = self.optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state


def one(value: Any) -> tuple[Array, Array]:
    """A number as a metric that counts once.

    >>> one(3.0)[1].item()
    1.0
    """
    return jnp.asarray(value, jnp.float32), jnp.ones(())
