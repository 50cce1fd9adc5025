"""Q-learning in many environments at once, without a replay memory or a target network."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxvision import losses
from jaxvision.losses import reinforcement
from jaxvision.rl.agent import ValueAgent
from jaxvision.rl.exploration import Rate, epsilon_greedy, rate_at
from jaxvision.rl.learner import Metrics, one
from jaxvision.rl.replay import Transitions
from jaxvision.rl.rollout import Position, Rollout, flat, next_values
from jaxvision.rl.rollout_agent import RolloutAgent, RolloutState
from jaxvision.rl.value_heads import Expected, ValueHead

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PQN(RolloutAgent, ValueAgent):
    """Parallelized Q-network (PQN): Q-learning from rollouts of many environments.

    The many environments replace the replay memory of DQN, and a network with layer normalization
    replaces its target network.

    Attributes:
        head: Meaning of the network's outputs; heads other than `Expected` need `lambda_=0`.
        lambda_: Lambda of the lambda-returns, which are the targets.
        exploration: Probability of a random action, or a schedule of it over environment steps.

    Raises:
        ValueError: An option is out of range, or the network does not fit the environments.

    Reference: Gallici et al., Simplifying deep temporal difference learning, ICLR 2025,
    arXiv:2407.04811.

    >>> import optax
    >>> from jaxvision import rl
    >>> envs = rl.vectorize("CartPole-v1", 4)
    >>> network = rl.QNetwork(envs.observation_space, 2, rl.MLP((120, 84), layer_norm=True))
    >>> agent = rl.PQN(envs=envs, network=network, optimizer=optax.adam(3e-4))
    >>> agent.units_per_step
    1280
    """

    head: ValueHead = dataclasses.field(default_factory=lambda: Expected(huber=None))
    epochs: int = 2
    minibatches: int = 4
    lambda_: float = 0.65
    exploration: Rate = 0.05

    def __post_init__(self) -> None:
        self._check_shares("lambda_")
        self._check_shares("exploration", schedules=True)
        if self.lambda_ and not isinstance(self.head, Expected):
            raise ValueError(
                f"lambda-returns are numbers, and {type(self.head).__name__} learns distributions: "
                f"use lambda_=0 (got {self.lambda_}), or the head Expected"
            )
        super().__post_init__()

    def _behave(self, state: RolloutState, observations: Array, key: Array) -> tuple[Array, Array]:
        values = self._scores(state.params, observations)
        return values, epsilon_greedy(key, values, self._epsilon(state))

    def _epsilon(self, state: RolloutState) -> Any:
        return rate_at(self.exploration, state.step.astype(jnp.float32) * self.units_per_update)

    def _measure(self, state: RolloutState, rollout: Rollout) -> Metrics:
        best = rollout.scores.max(-1)
        return {"value": one(best.mean()), "epsilon": one(self._epsilon(state))}

    def _rows(self, params: PyTree, rollout: Rollout, position: Position) -> Transitions:
        """Rows with lambda-returns as targets, or, if `lambda_` is 0, transitions of one step."""
        discounts = jnp.where(rollout.terminated, 0, self.discount)
        rewards = rollout.rewards
        if self.lambda_:
            best = rollout.scores.max(-1)
            rewards = reinforcement.lambda_returns(
                rewards,
                discounts,
                next_values(lambda x: self._scores(params, x).max(-1), rollout, position, best),
                lambda_=self.lambda_,
                truncated=rollout.truncated,
            )
            discounts = jnp.zeros_like(rewards)  # a return has nothing to bootstrap from
        rows = Transitions(
            observations=rollout.observations,
            actions=rollout.actions,
            rewards=rewards,
            discounts=discounts,
            next_observations=rollout.final_observations,
            weights=rollout.valid.astype(jnp.float32),
        )
        return jax.tree.map(flat, rows)

    def _loss(self, params: PyTree, rows: Transitions) -> tuple[Array, Metrics]:
        outputs = self._apply(params, rows.observations)
        if self.lambda_:
            following = jnp.zeros_like(outputs)
        else:
            following = jax.lax.stop_gradient(self._apply(params, rows.next_observations))
        values, _ = self.head.loss(outputs, rows, following, None)
        loss = losses.weighted_mean(values, rows.weights)
        return loss, {"loss": one(loss)}
