"""Q-learning in many environments at once, without replay and without a target network."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from jaxvision import losses
from jaxvision.losses import reinforcement
from jaxvision.rl.agent import Agent, Metrics, one
from jaxvision.rl.exploration import Rate, epsilon_greedy, rate_at
from jaxvision.rl.replay import Transitions
from jaxvision.rl.rollout import (
    Position,
    Rollout,
    check_parts,
    collect,
    flat,
    next_values,
    shuffled_parts,
)
from jaxvision.rl.value_heads import Expected, ValueHead

PyTree = Any


class PQNState(flax.struct.PyTreeNode):
    """Everything that changes while the agent learns.

    Attributes:
        step: Updates done so far.
        params: Of the network.
        opt_state: Of the optimizer.
        position: Where the environments are.
        key: What every random draw derives from.
    """

    step: Any
    params: PyTree
    opt_state: PyTree
    position: Any
    key: Any


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PQN(Agent):
    """Parallelised Q-network: Q-learning from rollouts of many environments.

    What memory and target network do for DQN, the many environments and a network with layer
    normalization do here.

    Attributes:
        network: Gives `(batch, actions, outputs)` for observations, as `QNetwork` does.
        head: How the outputs are read; one that is not `Expected` needs `lambda_=0`.
        num_steps: Steps of each environment in a rollout.
        epochs: How often an update goes through a rollout.
        minibatches: In how many parts.
        lambda_: Of the returns that are learned.
        exploration: The probability of an action at random, or a schedule of it over environment
            steps.

    Reference: Gallici et al., Simplifying deep temporal difference learning, ICLR 2025,
    arXiv:2407.04811.
    """

    head: ValueHead = dataclasses.field(default_factory=lambda: Expected(huber=None))
    num_steps: int = 32
    epochs: int = 2
    minibatches: int = 4
    lambda_: float = 0.65
    exploration: Rate = 0.05

    def __post_init__(self) -> None:
        """Checks what would fail deep inside a program."""
        super().__post_init__()
        if self.lambda_ and not isinstance(self.head, Expected):
            raise ValueError(
                f"lambda-returns are numbers, and {type(self.head).__name__} learns distributions: "
                f"use lambda_=0 (got {self.lambda_}), or the head Expected"
            )
        for name in ("num_steps", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_parts(self.units_per_update, self.minibatches)

    @property
    def units_per_update(self) -> int:
        """How many environment steps, of all environments together, an update takes."""
        return self.num_steps * self.envs.num_envs

    def act(
        self, params: PyTree, observations: Array, key: Key[Array, ""] | None = None
    ) -> Int[Array, "envs"]:
        """Chooses the best actions.

        Args:
            params: Of the network, `state.params`.
            observations: What the agent sees.
            key: Not used.

        Returns:
            One action for each.
        """
        del key
        return jnp.argmax(self._values(params, observations), axis=-1).astype(jnp.int32)

    def _init(self, key: Key[Array, ""]) -> PQNState:
        param_key, env_key, run_key = jax.random.split(key, 3)
        observations, environments = self._envs.reset(env_key)
        params = self.network.init(param_key, observations)
        return PQNState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self.optimizer.init(params),
            position=Position(environments, observations),
            key=run_key,
        )

    def _update(self, state: PQNState) -> tuple[PQNState, Metrics]:
        act_key, order_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        epsilon = rate_at(self.exploration, state.step * self.units_per_update)

        def act(observations: Array, key: Array) -> tuple[Array, Array]:
            values = self._values(state.params, observations)
            return values, epsilon_greedy(key, values, epsilon)

        position, rollout, metrics = collect(
            self._envs, act, state.position, act_key, self.num_steps
        )
        rows = self._rows(state.params, rollout, position)
        orders = shuffled_parts(order_key, len(rows.actions), self.epochs, self.minibatches)

        def learn(
            carry: tuple[PyTree, PyTree], order: Array
        ) -> tuple[tuple[PyTree, PyTree], Array]:
            part = jax.tree.map(lambda leaf: leaf[order], rows)
            loss, gradients = jax.value_and_grad(self._loss)(carry[0], part)
            return self._descend(*carry, gradients), loss

        (params, opt_state), values = jax.lax.scan(learn, (state.params, state.opt_state), orders)
        state = state.replace(
            step=state.step + 1, params=params, opt_state=opt_state, position=position
        )
        value = rollout.scores.max(-1).mean()
        measured = {"loss": one(values.mean()), "value": one(value), "epsilon": one(epsilon)}
        return state, {**measured, **metrics}

    def _rows(self, params: PyTree, rollout: Rollout, position: Position) -> Transitions:
        """What is learned of a rollout: towards lambda-returns, or one step ahead."""
        discounts = jnp.where(rollout.terminated, 0, self.discount)
        rewards = rollout.rewards
        if self.lambda_:
            best = rollout.scores.max(-1)
            rewards = reinforcement.lambda_returns(
                rewards,
                discounts,
                next_values(lambda x: self._values(params, x).max(-1), rollout, position, best),
                lambda_=self.lambda_,
                truncated=rollout.truncated,
            )
            discounts = jnp.zeros_like(rewards)  # the return is all there is to come
        rows = Transitions(
            observations=rollout.observations,
            actions=rollout.actions,
            rewards=rewards,
            discounts=discounts,
            next_observations=rollout.final_observations,
            weights=rollout.valid.astype(jnp.float32),
        )
        return jax.tree.map(flat, rows)

    def _loss(self, params: PyTree, rows: Transitions) -> Array:
        outputs = self._outputs(params, rows.observations)
        if self.lambda_:
            following = jnp.zeros_like(outputs)
        else:
            following = jax.lax.stop_gradient(self._outputs(params, rows.next_observations))
        values, _ = self.head.loss(outputs, rows, following, None)
        return losses.weighted_mean(values, rows.weights)

    def _outputs(self, params: PyTree, observations: Array) -> Array:
        outputs: Any = self.network.apply(params, observations)
        return outputs

    def _values(self, params: PyTree, observations: Array) -> Array:
        return self.head.values(self._outputs(params, observations))
