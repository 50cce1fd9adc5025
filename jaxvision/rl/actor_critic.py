"""Advantage actor-critic."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jaxvision.losses import reinforcement, weighted_mean
from jaxvision.rl.agent import PolicyAgent
from jaxvision.rl.learner import Metrics, one
from jaxvision.rl.rollout import Position, Rollout, Rows, make_rows
from jaxvision.rl.rollout_agent import RolloutAgent, RolloutState

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class A2C(RolloutAgent, PolicyAgent):
    """Advantage actor-critic: an update is a rollout and one gradient step on it.

    Attributes:
        network: An `ActorCritic`.
        lambda_: Lambda of the generalized advantage estimates; 1 gives n-step returns.
        entropy_weight: Weight of the entropy, which keeps the policy from becoming deterministic
            early.
        value_weight: Weight of the critic's loss.

    Raises:
        ValueError: An option is out of range, or the network does not fit the environments.

    Reference: Mnih et al., Asynchronous methods for deep reinforcement learning, ICML 2016,
    arXiv:1602.01783.

    >>> import optax
    >>> from jaxvision import rl
    >>> envs = rl.vectorize("CartPole-v1", 4)
    >>> network = rl.ActorCritic(envs.observation_space, 2, rl.MLP(), rl.MLP())
    >>> agent = rl.A2C(envs=envs, network=network, optimizer=optax.adam(3e-4))
    >>> agent.units_per_step
    2000
    """

    num_steps: int = 5
    lambda_: float = 1.0
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    updates_per_step: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_shares("lambda_")
        self._check_weights("entropy_weight", "value_weight")

    def _behave(self, state: RolloutState, observations: Array, key: Array) -> tuple[Array, Array]:
        logits = self._scores(state.params, observations)
        return logits, self._choose(logits, key)

    def _rows(self, params: PyTree, rollout: Rollout, position: Position) -> Rows:
        return make_rows(
            self.network,
            params,
            rollout,
            position,
            discount=self.discount,
            lambda_=self.lambda_,
        )

    def _loss(self, params: PyTree, rows: Rows) -> tuple[Array, Metrics]:
        logits, values = self._apply(params, rows.observations)
        policy_loss = weighted_mean(self._policy_losses(logits, rows), rows.weights)
        value_loss = weighted_mean(self._value_errors(values, rows), rows.weights) / 2
        entropy = weighted_mean(reinforcement.entropy(logits), rows.weights)
        loss = policy_loss + self.value_weight * value_loss - self.entropy_weight * entropy
        return loss, {
            "loss": one(loss),
            "policy_loss": one(policy_loss),
            "value_loss": one(value_loss),
            "entropy": one(entropy),
        }

    def _policy_losses(self, logits: Array, rows: Rows) -> Array:
        return reinforcement.policy_gradient(logits, rows.actions, rows.advantages)

    def _value_errors(self, values: Array, rows: Rows) -> Array:
        return jnp.square(values - rows.targets)
