"""Agents with a policy and a critic, that learn from each rollout once it is there."""

import dataclasses
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

from jaxvision.losses import reinforcement, weighted_mean
from jaxvision.rl.rollout import Metrics, Position, Rows, collect, make_rows
from jaxvision.rl.vector import VectorEnv
from jaxvision.rl.wrappers import EpisodeStatistics

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
class A2C:
    """Advantage actor-critic: a step `(state, None) -> (state, metrics)` of some rollouts.

    Attributes:
        envs: Where the agent acts.
        network: An `ActorCritic`.
        optimizer: Of the network; clipping belongs in its chain.
        num_steps: Steps of each environment in a rollout.
        discount: gamma.
        lambda_: Of the generalized advantage estimates; 1 takes n-step returns.
        entropy_weight: The weight of the entropy, which keeps the policy from settling early.
        value_weight: The weight of the critic's loss.
        rollouts_per_step: Rollouts in one step of the agent.

    Reference: Mnih et al., Asynchronous methods for deep reinforcement learning, ICML 2016,
    arXiv:1602.01783.
    """

    envs: VectorEnv
    network: nn.Module
    optimizer: optax.GradientTransformation
    num_steps: int = 5
    discount: float = 0.99
    lambda_: float = 1.0
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    rollouts_per_step: int = 100

    def init(self, key: Key[Array, ""]) -> ActorCriticState:
        """Draws parameters, and begins.

        Args:
            key: Draws the parameters, and all that the agent draws later.

        Returns:
            The state.
        """
        return jax.jit(self._init)(key)

    def __call__(
        self, state: ActorCriticState, batch: None = None
    ) -> tuple[ActorCriticState, Metrics]:
        """Acts and learns.

        Args:
            state: The state.
            batch: None; the agent makes its own experience.

        Returns:
            The state, and metrics.
        """
        del batch

        def body(state: ActorCriticState, _: None) -> tuple[ActorCriticState, Metrics]:
            return self._update(state)

        state, metrics = jax.lax.scan(body, state, None, self.rollouts_per_step)
        return state, jax.tree.map(lambda leaf: leaf.sum(0), metrics)

    @property
    def env_steps_per_step(self) -> int:
        """How many environment steps a step of the agent takes."""
        return self.rollouts_per_step * self.num_steps * self.envs.num_envs

    def _init(self, key: Array) -> ActorCriticState:
        param_key, env_key, run_key = jax.random.split(key, 3)
        observations, environments = EpisodeStatistics(self.envs).reset(env_key)
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
            logits: Any = self.network.apply(state.params, observations, method="policy")
            return logits, jax.random.categorical(key, logits)

        position, rollout, metrics = collect(
            EpisodeStatistics(self.envs), act, state.position, act_key, self.num_steps
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
        return self._descend(state.params, state.opt_state, rows)

    def _descend(
        self, params: PyTree, opt_state: PyTree, rows: Rows
    ) -> tuple[PyTree, PyTree, Metrics]:
        """Updates the network by some rows."""
        gradients, metrics = jax.grad(self._loss, has_aux=True)(params, rows)
        updates, opt_state = self.optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, metrics

    def _loss(self, params: PyTree, rows: Rows) -> tuple[Array, Metrics]:
        outputs: Any = self.network.apply(params, rows.observations)
        logits, values = outputs
        policy_loss = weighted_mean(self._policy_losses(logits, rows), rows.weights)
        value_loss = weighted_mean(self._value_errors(values, rows), rows.weights) / 2
        entropy = weighted_mean(reinforcement.entropy(logits), rows.weights)
        loss = policy_loss + self.value_weight * value_loss - self.entropy_weight * entropy
        measured = {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
        }
        return loss, {name: (value, jnp.ones(())) for name, value in measured.items()}

    def _policy_losses(self, logits: Array, rows: Rows) -> Array:
        return reinforcement.policy_gradient(logits, rows.actions, rows.advantages)

    def _value_errors(self, values: Array, rows: Rows) -> Array:
        return jnp.square(values - rows.targets)
