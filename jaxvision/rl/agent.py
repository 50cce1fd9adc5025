"""Base classes of agents with a network: those that learn a policy, those that learn values."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from jaxvision.rl.describing import describe_environments
from jaxvision.rl.learner import Learner
from jaxvision.rl.spaces import Discrete
from jaxvision.rl.value_heads import Expected, ValueHead
from jaxvision.rl.vector import VectorEnv, check_vector_env
from jaxvision.rl.wrappers import EpisodeStatistics

PyTree = Any
Shapes = list[tuple[int, ...]]
Scores = Float[Array, "envs actions"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Agent(Learner):
    """Base class of agents with a network that learns to act in environments.

    A subclass defines `_scores` and `_expected_shapes`, and what a `Learner` needs.

    Attributes:
        envs: Vector environment in which the agent acts.
        network: Network to train.
        optimizer: Optax optimizer of the network; chain it with any clipping of gradients.
    """

    envs: VectorEnv
    network: nn.Module
    optimizer: optax.GradientTransformation

    network_hint: ClassVar[str]
    """The network to suggest in error messages."""

    answers: ClassVar[Mapping[str, str]]
    """Names and descriptions of the arrays that `answer` returns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_vector_env(self.envs)
        if not isinstance(self.network, nn.Module):
            raise ValueError(f"network must be a module, {self.network_hint}, got {self.network!r}")
        if not isinstance(self.optimizer, optax.GradientTransformation):
            raise ValueError(
                f"optimizer must be one of optax, as optax.adam(1e-3), got {self.optimizer!r}"
            )
        space = self.envs.action_space
        if not isinstance(space, Discrete):
            raise ValueError(
                f"actions must be discrete, and those of these environments are {space}"
            )
        self._check_network(space.n)

    def act(
        self, params: PyTree, observations: Array, key: Key[Array, ""] | None = None
    ) -> Int[Array, "envs"]:
        """Chooses actions for evaluation, without exploration.

        Args:
            params: Parameters of the network, `state.params`.
            observations: Observations, one row per environment.
            key: Key to draw actions from a policy; None takes the best action. Agents that learn
                values always take the best one.
        """
        return self._choose(self._scores(params, observations), key)

    def answer(self, params: PyTree, observations: Array) -> dict[str, Array]:
        """Evaluates all actions for given observations, and chooses the best one.

        Args:
            params: Parameters of the network, `state.params`.
            observations: Observations, one row per environment.

        Returns:
            Arrays with one row per observation, named as in `answers`.
        """
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Describes the agent, its network and its environments for the record of a run."""
        return {
            **super().describe(),
            "models": {"network": self.network},
            "environments": describe_environments(self.envs),
            "num_envs": self.envs.num_envs,
        }

    @property
    def _envs(self) -> EpisodeStatistics:
        return EpisodeStatistics(self.envs)

    def _apply(self, params: PyTree, observations: Array, method: str | None = None) -> Any:
        """Applies the network."""
        return self.network.apply(params, observations, method=method)

    def _scores(self, params: PyTree, observations: Array) -> Scores:
        """A score for each action: its value, or its logit."""
        raise NotImplementedError

    def _choose(self, scores: Scores, key: Array | None) -> Int[Array, "envs"]:
        """Chooses an action for each row."""
        del key
        return jnp.argmax(scores, axis=-1).astype(jnp.int32)

    def _descend(
        self, params: PyTree, opt_state: PyTree, gradients: PyTree
    ) -> tuple[PyTree, PyTree]:
        """One step of the optimizer."""
        updates, opt_state = self.optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def _expected_shapes(self, num_envs: int, num_actions: int) -> Shapes:
        """The shapes of the outputs that the network must have."""
        raise NotImplementedError

    def _check_network(self, num_actions: int) -> None:
        count, space = self.envs.num_envs, self.envs.observation_space
        made_for = getattr(self.network, "space", space)
        if Discrete in (type(space), type(made_for)) and space != made_for:
            raise ValueError(
                f"observations of these environments are {space}, and the network is made for "
                f"{made_for}"
            )
        seen = jax.ShapeDtypeStruct((count, *space.shape), space.dtype)
        given = jax.eval_shape(
            lambda key, seen: self.network.init_with_output(key, seen)[0], jax.random.key(0), seen
        )
        shapes = [leaf.shape for leaf in jax.tree.leaves(given)]
        expected = self._expected_shapes(count, num_actions)
        if shapes != expected:
            raise ValueError(
                f"{type(self).__name__} needs a network that gives {_listed(expected)} for "
                f"{count} environments with {num_actions} actions, and "
                f"{type(self.network).__name__} gives {_listed(shapes)}: use {self.network_hint}"
            )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PolicyAgent(Agent):
    """Base class of agents that learn a policy; their network is an `ActorCritic`."""

    network_hint: ClassVar[str] = "rl.ActorCritic(space, num_actions, ...)"
    answers: ClassVar[Mapping[str, str]] = {
        "actions": "the most probable action of each observation, counted from 0",
        "logits": "one number per action, not normalized",
        "probabilities": "the softmax of the logits, which is the policy",
    }

    def answer(self, params: PyTree, observations: Array) -> dict[str, Array]:
        """The policy, and its most probable action; see `Agent.answer`."""
        logits = self._scores(params, observations).astype(jnp.float32)
        best = self._choose(logits, None)
        return {"actions": best, "logits": logits, "probabilities": jax.nn.softmax(logits)}

    def _scores(self, params: PyTree, observations: Array) -> Scores:
        return self._apply(params, observations, "policy")

    def _choose(self, scores: Scores, key: Array | None) -> Int[Array, "envs"]:
        if key is None:
            return super()._choose(scores, key)
        # In a narrow type the noise is so coarse that some actions would be drawn too often.
        scores = scores.astype(jnp.result_type(scores, jnp.float32))
        return jax.random.categorical(key, scores).astype(jnp.int32)

    def _expected_shapes(self, num_envs: int, num_actions: int) -> Shapes:
        return [(num_envs, num_actions), (num_envs,)]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ValueAgent(Agent):
    """Base class of agents that learn action values; their network is like `QNetwork`.

    Attributes:
        head: Meaning of the network's outputs, which have the shape `(batch, actions, outputs)`:
            `Expected`, `Categorical` (C51) or `Quantile` (QR-DQN).
    """

    head: ValueHead = dataclasses.field(default_factory=Expected)

    network_hint: ClassVar[str] = "rl.QNetwork(space, num_actions, torso, head.outputs)"
    answers: ClassVar[Mapping[str, str]] = {
        "actions": "the action of the highest value for each observation, counted from 0",
        "values": "the expected return of each action",
    }

    def answer(self, params: PyTree, observations: Array) -> dict[str, Array]:
        """The values of all actions, and the best action; see `Agent.answer`."""
        values = self._scores(params, observations).astype(jnp.float32)
        return {"actions": self._choose(values, None), "values": values}

    def describe(self) -> dict[str, Any]:
        """Describes the agent for the record of a run, including its head."""
        head: Any = self.head
        known = dataclasses.is_dataclass(head) and not isinstance(head, type)
        described = {"kind": type(head).__name__, **(dataclasses.asdict(head) if known else {})}
        return {**super().describe(), "head": described}

    def __post_init__(self) -> None:
        if not isinstance(self.head, ValueHead):
            raise ValueError(
                "head must be rl.Expected(), rl.Categorical(low, high) or rl.Quantile(), got "
                f"{self.head!r}"
            )
        super().__post_init__()

    def _scores(self, params: PyTree, observations: Array) -> Scores:
        return self.head.values(self._apply(params, observations))

    def _expected_shapes(self, num_envs: int, num_actions: int) -> Shapes:
        return [(num_envs, num_actions, self.head.outputs)]


def _listed(shapes: Shapes) -> str:
    return " and ".join(map(str, shapes))
