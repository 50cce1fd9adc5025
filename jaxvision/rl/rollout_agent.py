"""The base class of agents that learn from rollouts."""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxvision._reprs import brief
from jaxvision.rl.agent import Agent
from jaxvision.rl.learner import Metrics
from jaxvision.rl.rollout import Position, Rollout, collect, shuffled_parts
from jaxvision.rl.sharding import over_devices

PyTree = Any


class RolloutState(flax.struct.PyTreeNode):
    """State of training; `step` counts rollouts, and all random draws derive from `key`."""

    step: Any
    params: PyTree
    opt_state: PyTree
    position: Any
    key: Any

    def __repr__(self) -> str:
        return brief(self)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class RolloutAgent(Agent):
    """Base class of agents whose update is a rollout and gradient steps on its minibatches.

    A subclass defines `_behave`, `_rows` and `_loss`, and what an `Agent` needs.

    Attributes:
        num_steps: Steps of each environment in a rollout.
        epochs: Passes over a rollout in an update, each in a new order.
        minibatches: Number of minibatches in a pass.
    """

    num_steps: int = 32
    epochs: int = 1
    minibatches: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts("num_steps", "epochs", "minibatches")
        if self.units_per_update % self.minibatches:
            raise ValueError(
                f"a rollout of {self.units_per_update} environment steps does not divide into "
                f"{self.minibatches} equal minibatches"
            )

    @property
    def units_per_update(self) -> int:
        """Number of environment steps in an update, of all environments together."""
        return self.num_steps * self.envs.num_envs

    def _init(self, key: Array) -> RolloutState:
        param_key, env_key, run_key = jax.random.split(key, 3)
        observations, environments = self._envs.reset(env_key)
        params = self.network.init(param_key, observations)
        return RolloutState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self.optimizer.init(params),
            position=Position(environments, observations),
            key=run_key,
        )

    def _update(self, state: RolloutState) -> tuple[RolloutState, Metrics]:
        act_key, learn_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        position, rollout, metrics = collect(
            self._envs,
            functools.partial(self._behave, state),
            state.position,
            act_key,
            self.num_steps,
        )
        rows = self._rows(state.params, rollout, position)
        params, opt_state, learned = self._learn(state, rows, learn_key)
        metrics = {**learned, **self._measure(state, rollout), **metrics}
        state = state.replace(
            step=state.step + 1, params=params, opt_state=opt_state, position=position
        )
        return state, metrics

    def _learn(
        self, state: RolloutState, rows: PyTree, key: Array
    ) -> tuple[PyTree, PyTree, Metrics]:
        """Takes all gradient steps; returns parameters, optimizer state and metrics."""

        def learn(carry: tuple[PyTree, PyTree], part: PyTree) -> tuple[PyTree, Metrics]:
            gradients, metrics = jax.grad(self._loss, has_aux=True)(carry[0], part)
            return self._descend(*carry, gradients), metrics

        carry = (state.params, state.opt_state)
        if self.epochs == self.minibatches == 1:
            carry, metrics = learn(carry, rows)
            return *carry, metrics

        def part(order: Array) -> PyTree:
            return over_devices(jax.tree.map(lambda leaf: leaf[order], rows))

        carry, metrics = jax.lax.scan(
            lambda carry, order: learn(carry, part(order)),
            carry,
            shuffled_parts(key, self.units_per_update, self.epochs, self.minibatches),
        )
        return *carry, jax.tree.map(lambda leaf: leaf.sum(0), metrics)

    def _behave(self, state: RolloutState, observations: Array, key: Array) -> tuple[Array, Array]:
        """The scores of all actions, and the actions to take during training."""
        raise NotImplementedError

    def _rows(self, params: PyTree, rollout: Rollout, position: Position) -> PyTree:
        """Converts a rollout to rows for the loss."""
        raise NotImplementedError

    def _loss(self, params: PyTree, rows: PyTree) -> tuple[Array, Metrics]:
        """The loss, and metrics."""
        raise NotImplementedError

    def _measure(self, state: RolloutState, rollout: Rollout) -> Metrics:
        """Further metrics."""
        del state, rollout
        return {}
