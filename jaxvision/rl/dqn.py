"""Deep Q-learning from replayed transitions."""

import dataclasses
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

from jaxvision import losses
from jaxvision.rl.exploration import Rate, epsilon_greedy, rate_at
from jaxvision.rl.replay import PrioritizedReplay, UniformReplay
from jaxvision.rl.replay.stream import Stream
from jaxvision.rl.value_heads import Expected, ValueHead
from jaxvision.rl.vector import VectorEnv
from jaxvision.rl.wrappers import EpisodeStatistics

PyTree = Any
Metrics = dict[str, tuple[Array, Array]]


class DQNState(flax.struct.PyTreeNode):
    """Everything that changes while the agent learns.

    Attributes:
        step: Updates done so far.
        params: Of the network.
        target_params: Of the target network.
        opt_state: Of the optimizer.
        environments: Of all environments.
        observations: What the agent sees.
        replay: The memory.
        key: What every random draw derives from.
    """

    step: Any
    params: Any
    target_params: Any
    opt_state: Any
    environments: Any
    observations: Any
    replay: Any
    key: Any


@dataclasses.dataclass(frozen=True, eq=False)
class DQN:
    """Deep Q-learning: a step `(state, None) -> (state, metrics)` of `updates_per_step` updates.

    Attributes:
        envs: Where the agent acts.
        network: Gives `(batch, actions, outputs)` for observations, as `QNetwork` does.
        optimizer: Of the network.
        head: How the outputs are read: `Expected`, `Categorical` (C51) or `Quantile` (QR-DQN).
        replay: The memory: uniform or prioritized.
        batch_size: Transitions in an update.
        discount: gamma.
        n_step: Over how many rewards a transition leads.
        double: Whether the network that learns chooses the action that the target network values.
        exploration: The probability of an action at random, or a schedule of it over environment
            steps.
        learning_starts: Environment steps before the first update.
        train_every: Environment steps between updates, of all environments together.
        target_every: Updates between copies of the network to the target network.
        updates_per_step: Updates in one step of the agent.

    Reference: Mnih et al., Human-level control through deep reinforcement learning, Nature 518,
    2015; van Hasselt, Guez and Silver, Deep reinforcement learning with double Q-learning, AAAI
    2016, arXiv:1509.06461.
    """

    envs: VectorEnv
    network: nn.Module
    optimizer: optax.GradientTransformation
    head: ValueHead = dataclasses.field(default_factory=Expected)
    replay: UniformReplay | PrioritizedReplay = dataclasses.field(
        default_factory=lambda: UniformReplay(10_000)
    )
    batch_size: int = 128
    discount: float = 0.99
    n_step: int = 1
    double: bool = False
    exploration: Rate = 0.05
    learning_starts: int = 10_000
    train_every: int = 10
    target_every: int = 50
    updates_per_step: int = 100

    def init(self, key: Key[Array, ""]) -> DQNState:
        """Draws parameters, and acts until learning can start.

        Args:
            key: Draws the parameters, and all that the agent draws later.

        Returns:
            The state.
        """
        return jax.jit(self._init)(key)

    def __call__(self, state: DQNState, batch: None = None) -> tuple[DQNState, Metrics]:
        """Acts and learns.

        Args:
            state: The state.
            batch: None; the agent makes its own experience.

        Returns:
            The state, and metrics.
        """
        del batch

        def body(state: DQNState, _: None) -> tuple[DQNState, Metrics]:
            return self._update(state)

        state, metrics = jax.lax.scan(body, state, None, self.updates_per_step)
        return state, jax.tree.map(lambda leaf: leaf.sum(0), metrics)

    @property
    def env_steps_per_step(self) -> int:
        """How many environment steps a step of the agent takes."""
        return self.updates_per_step * self.train_every

    @property
    def _envs(self) -> EpisodeStatistics:
        return EpisodeStatistics(self.envs)

    @property
    def _stream(self) -> Stream:
        return self.replay.stream(
            self.envs,
            num_frames=getattr(self.envs, "num_frames", 1),
            n_step=self.n_step,
            discount=self.discount,
        )

    def _init(self, key: Array) -> DQNState:
        param_key, env_key, fill_key, run_key = jax.random.split(key, 4)
        observations, environments = self._envs.reset(env_key)
        params = self.network.init(param_key, observations)
        state = DQNState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            target_params=params,
            opt_state=self.optimizer.init(params),
            environments=environments,
            observations=observations,
            replay=self.replay.init(self._stream, observations),
            key=run_key,
        )
        steps = -(-self.learning_starts // self.envs.num_envs)
        epsilon = rate_at(self.exploration, 0)

        def act(state: DQNState, key: Array) -> tuple[DQNState, None]:
            return self._act(state, key, epsilon)[0], None

        return jax.lax.scan(act, state, jax.random.split(fill_key, steps))[0]

    def _act(self, state: DQNState, key: Array, epsilon: Any) -> tuple[DQNState, Metrics]:
        """One step in every environment, and into the memory."""
        explore_key, env_key = jax.random.split(key)
        values = self.head.values(self._outputs(state.params, state.observations))
        actions = epsilon_greedy(explore_key, values, epsilon)
        observations, environments, rewards, terminated, truncated, info = self._envs.step(
            env_key, state.environments, actions
        )
        over = terminated | truncated
        replay = self.replay.add(
            self._stream,
            state.replay,
            actions,
            rewards,
            terminated,
            truncated,
            info["final_observation"],
            observations,
            info.get("valid", jnp.ones_like(over)),
        )
        metrics = {
            "episode_return": (jnp.sum(info["episode_return"] * over), over.sum()),
            "episode_length": (jnp.sum(info["episode_length"] * over), over.sum()),
            "value": (values.max(-1).sum(), jnp.float32(len(values))),
        }
        state = state.replace(environments=environments, observations=observations, replay=replay)
        return state, metrics

    def _update(self, state: DQNState) -> tuple[DQNState, Metrics]:
        env_steps = self.learning_starts + state.step * self.train_every
        key = jax.random.fold_in(state.key, state.step)
        sample_key, key = jax.random.split(key)
        vector_steps = self.train_every // self.envs.num_envs
        epsilon = rate_at(self.exploration, env_steps)
        if vector_steps == 1:
            state, metrics = self._act(state, key, epsilon)
        else:
            state, metrics = jax.lax.scan(
                lambda state, key: self._act(state, key, epsilon),
                state,
                jax.random.split(key, vector_steps),
            )
            metrics = jax.tree.map(lambda leaf: leaf.sum(0), metrics)
        rows, places = self.replay.sample(
            self._stream, state.replay, sample_key, self.batch_size, env_steps
        )
        (loss, errors), gradients = jax.value_and_grad(self._loss, has_aux=True)(
            state.params, state.target_params, rows
        )
        updates, opt_state = self.optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        step = state.step + 1
        copy = step % self.target_every == 0
        state = state.replace(
            step=step,
            params=params,
            target_params=jax.tree.map(
                lambda new, old: jnp.where(copy, new, old), params, state.target_params
            ),
            opt_state=opt_state,
            replay=self.replay.update(self._stream, state.replay, places, errors),
        )
        return state, {"loss": (loss, jnp.float32(1)), "epsilon": (epsilon, 1.0), **metrics}

    def _loss(self, params: PyTree, target_params: PyTree, rows: Any) -> tuple[Array, Array]:
        outputs = self._outputs(params, rows.observations)
        next_outputs = self._outputs(target_params, rows.next_observations)
        selector = None
        if self.double:
            selector = self.head.values(self._outputs(params, rows.next_observations))
            selector = jax.lax.stop_gradient(selector)
        values, errors = self.head.loss(outputs, rows, next_outputs, selector)
        return losses.weighted_mean(values, rows.weights), errors

    def _outputs(self, params: PyTree, observations: Array) -> Array:
        outputs: Any = self.network.apply(params, observations)
        return outputs
