"""What agents with a network share, those with a policy and those with values of actions."""

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
    """A network that learns what to do in environments.

    A subclass has `_scores` and `_expected_shapes`, and what a `Learner` has.

    Attributes:
        envs: Where the agent acts.
        network: What it learns.
        optimizer: Of the network; clipping belongs in its chain.
    """

    envs: VectorEnv
    network: nn.Module
    optimizer: optax.GradientTransformation

    network_hint: ClassVar[str]
    """Which network it needs."""

    answers: ClassVar[Mapping[str, str]]
    """What `answer` gives, and what each of it means."""

    def __post_init__(self) -> None:
        """Checks what would fail deep inside a program."""
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
        """Chooses actions, as an agent that has learned.

        Args:
            params: Of the network, `state.params`.
            observations: What the agent sees.
            key: Draws from a policy; None takes the best action. Agents that learn values always do
                that.

        Returns:
            One action for each.
        """
        return self._choose(self._scores(params, observations), key)

    def answer(self, params: PyTree, observations: Array) -> dict[str, Array]:
        """What the agent makes of observations: what speaks for each action, and the best one.

        Args:
            params: Of the network, `state.params`.
            observations: What the agent sees.

        Returns:
            Arrays by the names of `answers`, each with a row per observation.
        """
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What the record of a run keeps of this step.

        Returns:
            The task, the kind of agent, its numbers, its network and its environments.
        """
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
        """What the network says."""
        return self.network.apply(params, observations, method=method)

    def _scores(self, params: PyTree, observations: Array) -> Scores:
        """What speaks for each action: values, or logits."""
        raise NotImplementedError

    def _choose(self, scores: Scores, key: Array | None) -> Int[Array, "envs"]:
        """An action for each row."""
        del key
        return jnp.argmax(scores, axis=-1).astype(jnp.int32)

    def _descend(
        self, params: PyTree, opt_state: PyTree, gradients: PyTree
    ) -> tuple[PyTree, PyTree]:
        """One step of the optimizer."""
        updates, opt_state = self.optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def _expected_shapes(self, num_envs: int, num_actions: int) -> Shapes:
        """Of what the network gives."""
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
    """Learns a policy, and mostly a critic; its network is an `ActorCritic`."""

    network_hint: ClassVar[str] = "rl.ActorCritic(space, num_actions, ...)"
    answers: ClassVar[Mapping[str, str]] = {
        "actions": "the most probable action of each observation, counted from 0",
        "logits": "one number per action, not normalized",
        "probabilities": "the softmax of the logits, which is the policy",
    }

    def answer(self, params: PyTree, observations: Array) -> dict[str, Array]:
        """The policy, and its most probable action; see `Agent`."""
        logits = self._scores(params, observations).astype(jnp.float32)
        best = self._choose(logits, None)
        return {"actions": best, "logits": logits, "probabilities": jax.nn.softmax(logits)}

    def _scores(self, params: PyTree, observations: Array) -> Scores:
        return self._apply(params, observations, "policy")

    def _choose(self, scores: Scores, key: Array | None) -> Int[Array, "envs"]:
        if key is None:
            return super()._choose(scores, key)
        # In a narrow type some noise is drawn too often, and with it some actions.
        scores = scores.astype(jnp.result_type(scores, jnp.float32))
        return jax.random.categorical(key, scores).astype(jnp.int32)

    def _expected_shapes(self, num_envs: int, num_actions: int) -> Shapes:
        return [(num_envs, num_actions), (num_envs,)]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ValueAgent(Agent):
    """Learns the values of actions; its network gives `(batch, actions, outputs)`, as `QNetwork`.

    Attributes:
        head: How the outputs are read: `Expected`, `Categorical` (C51) or `Quantile` (QR-DQN).
    """

    head: ValueHead = dataclasses.field(default_factory=Expected)

    network_hint: ClassVar[str] = "rl.QNetwork(space, num_actions, torso, head.outputs)"
    answers: ClassVar[Mapping[str, str]] = {
        "actions": "the action of the highest value for each observation, counted from 0",
        "values": "the expected return of each action",
    }

    def answer(self, params: PyTree, observations: Array) -> dict[str, Array]:
        """The values of all actions, and the best action; see `Agent`."""
        values = self._scores(params, observations).astype(jnp.float32)
        return {"actions": self._choose(values, None), "values": values}

    def describe(self) -> dict[str, Any]:
        """What the record of a run keeps of this step, the head among it."""
        head: Any = self.head
        known = dataclasses.is_dataclass(head) and not isinstance(head, type)
        described = {"kind": type(head).__name__, **(dataclasses.asdict(head) if known else {})}
        return {**super().describe(), "head": described}

    def __post_init__(self) -> None:
        """Checks what would fail deep inside a program."""
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
