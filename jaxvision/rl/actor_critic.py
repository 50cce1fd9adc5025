"""Agents with a policy and a critic, that learn from each rollout once it is there."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from jaxvision.losses import reinforcement, weighted_mean
from jaxvision.rl.agent import Agent, Metrics, one
from jaxvision.rl.rollout import Position, Rows, collect, make_rows

PyTree = Any


class ActorCriticState(flax.struct.PyTreeNode):
    """Everything that changes while the agent learns.

    Attributes:
        step: Rollouts done so far.
        params: Of the network.
        opt_state: Of the optimizer.
        position: Where the environments are.
        key: What every random draw derives from.
    """

    step: Any
    params: Any
    opt_state: Any
    position: Any
    key: Any


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class A2C(Agent):
    """Advantage actor-critic: an update is a rollout and one step along its gradient.

    Attributes:
        network: An `ActorCritic`.
        num_steps: Steps of each environment in a rollout.
        lambda_: Of the generalized advantage estimates; 1 takes n-step returns.
        entropy_weight: The weight of the entropy, which keeps the policy from settling early.
        value_weight: The weight of the critic's loss.

    Reference: Mnih et al., Asynchronous methods for deep reinforcement learning, ICML 2016,
    arXiv:1602.01783.
    """

    num_steps: int = 5
    lambda_: float = 1.0
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    updates_per_step: int = 100

    def __post_init__(self) -> None:
        """Checks what would fail deep inside a program."""
        super().__post_init__()
        if self.num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {self.num_steps}")

    @property
    def units_per_update(self) -> int:
        """How many environment steps, of all environments together, an update takes."""
        return self.num_steps * self.envs.num_envs

    def act(
        self, params: PyTree, observations: Array, key: Key[Array, ""] | None = None
    ) -> Int[Array, "envs"]:
        """Chooses actions by the policy.

        Args:
            params: Of the network, `state.params`.
            observations: What the agent sees.
            key: Draws from the policy; None takes the most probable action.

        Returns:
            One action for each.
        """
        logits = self._logits(params, observations)
        if key is None:
            return jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return jax.random.categorical(key, logits).astype(jnp.int32)

    def _init(self, key: Array) -> ActorCriticState:
        param_key, env_key, run_key = jax.random.split(key, 3)
        observations, environments = self._envs.reset(env_key)
        params = self.network.init(param_key, observations)
        return ActorCriticState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self.optimizer.init(params),
            position=Position(environments, observations),
            key=run_key,
        )

    def _update(self, state: ActorCriticState) -> tuple[ActorCriticState, Metrics]:
        act_key, learn_key = jax.random.split(jax.random.fold_in(state.key, state.step))

        def act(observations: Array, key: Array) -> tuple[Array, Array]:
            logits = self._logits(state.params, observations)
            return logits, jax.random.categorical(key, logits).astype(jnp.int32)

        position, rollout, metrics = collect(
            self._envs, act, state.position, act_key, self.num_steps
        )
        rows = make_rows(
            self.network,
            state.params,
            rollout,
            position,
            discount=self.discount,
            lambda_=self.lambda_,
        )
        params, opt_state, learned = self._learn(state, rows, learn_key)
        state = state.replace(
            step=state.step + 1, params=params, opt_state=opt_state, position=position
        )
        return state, {**learned, **metrics}

    def _learn(
        self, state: ActorCriticState, rows: Rows, key: Array
    ) -> tuple[PyTree, PyTree, Metrics]:
        """Updates the network by a rollout."""
        del key
        return self._learn_rows(state.params, state.opt_state, rows)

    def _learn_rows(
        self, params: PyTree, opt_state: PyTree, rows: Rows
    ) -> tuple[PyTree, PyTree, Metrics]:
        """Updates the network by some rows."""
        gradients, metrics = jax.grad(self._loss, has_aux=True)(params, rows)
        return *self._descend(params, opt_state, gradients), metrics

    def _loss(self, params: PyTree, rows: Rows) -> tuple[Array, Metrics]:
        outputs: Any = self.network.apply(params, rows.observations)
        logits, values = outputs
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

    def _logits(self, params: PyTree, observations: Array) -> Array:
        logits: Any = self.network.apply(params, observations, method="policy")
        return logits

    def _policy_losses(self, logits: Array, rows: Rows) -> Array:
        return reinforcement.policy_gradient(logits, rows.actions, rows.advantages)

    def _value_errors(self, values: Array, rows: Rows) -> Array:
        return jnp.square(values - rows.targets)
