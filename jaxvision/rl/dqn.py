"""Deep Q-learning from replayed transitions."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxvision._reprs import brief
from jaxvision.rl.agent import ValueAgent
from jaxvision.rl.exploration import Rate, epsilon_greedy, rate_at
from jaxvision.rl.learner import Metrics, one
from jaxvision.rl.replay import PrioritizedReplay, Replay, UniformReplay
from jaxvision.rl.replay.stream import Event, Stream, Transitions
from jaxvision.rl.rollout import episode_metrics
from jaxvision.rl.sharding import over_devices
from jaxvision.rl.wrappers import frames_in

PyTree = Any


class DQNState(flax.struct.PyTreeNode):
    """State of training; `step` counts updates, and all random draws derive from `key`."""

    step: Any
    params: Any
    target_params: Any
    opt_state: Any
    environments: Any
    observations: Any
    replay: Any
    key: Any

    def __repr__(self) -> str:
        return brief(self)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class DQN(ValueAgent):
    """Deep Q-learning from transitions in a replay memory.

    All options can be combined: prioritized `replay`, `double` Q-learning, a distributional `head`
    (C51 or QR-DQN), and a dueling `QNetwork`.

    Attributes:
        replay: Replay memory: `UniformReplay` or `PrioritizedReplay`.
        batch_size: Number of transitions in an update.
        n_step: Number of rewards that a transition spans.
        double: Whether the network in training chooses the next action, whose value is the target
            network's; otherwise the target network also chooses.
        exploration: Probability of a random action, or a schedule of it over environment steps,
            including those before learning starts.
        learning_starts: Environment steps before the first update.
        train_every: Environment steps between updates, of all environments together.
        target_every: Updates between copies of the parameters to the target network.

    Raises:
        ValueError: An option is out of range, or the network does not fit the environments.

    Reference: Mnih et al., Human-level control through deep reinforcement learning, Nature 518,
    2015; van Hasselt, Guez and Silver, Deep reinforcement learning with double Q-learning, AAAI
    2016, arXiv:1509.06461; all combined: Hessel et al., Rainbow, AAAI 2018, arXiv:1710.02298.

    >>> import optax
    >>> from jaxvision import rl
    >>> envs = rl.vectorize("CartPole-v1", 4)
    >>> network = rl.QNetwork(envs.observation_space, 2, rl.MLP((120, 84)))
    >>> agent = rl.DQN(envs=envs, network=network, optimizer=optax.adam(3e-4), train_every=8)
    >>> agent.units_per_step
    800
    """

    replay: UniformReplay | PrioritizedReplay = dataclasses.field(
        default_factory=lambda: UniformReplay(10_000)
    )
    batch_size: int = 128
    n_step: int = 1
    double: bool = False
    exploration: Rate = 0.05
    learning_starts: int = 10_000
    train_every: int = 10
    target_every: int = 50
    updates_per_step: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts("batch_size", "n_step", "learning_starts", "train_every", "target_every")
        self._check_shares("exploration", schedules=True)
        if not isinstance(self.replay, Replay):
            raise ValueError(
                f"replay must be a UniformReplay or a PrioritizedReplay, got {self.replay!r}"
            )
        if self.replay.capacity < self.n_step * self.envs.num_envs:
            raise ValueError(
                f"a capacity of {self.replay.capacity} cannot hold n_step={self.n_step} steps of "
                f"{self.envs.num_envs} environments"
            )
        if self.train_every % self.envs.num_envs:
            raise ValueError(
                f"train_every={self.train_every} environment steps must be a multiple of the "
                f"{self.envs.num_envs} environments, which step together"
            )

    @property
    def units_per_update(self) -> int:
        """Number of environment steps in an update, of all environments together."""
        return self.train_every

    @property
    def units_before(self) -> int:
        """Number of environment steps that fill the memory before the first update."""
        return -(-self.learning_starts // self.envs.num_envs) * self.envs.num_envs

    @property
    def _stream(self) -> Stream:
        return self.replay.stream(
            self.envs,
            num_frames=frames_in(self.envs),
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

        def act(index: Array, state: DQNState) -> DQNState:
            epsilon = rate_at(self.exploration, index.astype(jnp.float32) * self.envs.num_envs)
            return self._explore(state, jax.random.fold_in(fill_key, index), epsilon)[0]

        return jax.lax.fori_loop(0, self.units_before // self.envs.num_envs, act, state)

    def _explore(self, state: DQNState, key: Array, epsilon: Any) -> tuple[DQNState, Metrics]:
        """Takes one step in every environment and writes it to the memory."""
        explore_key, env_key = jax.random.split(key)
        values = self._scores(state.params, state.observations)
        actions = epsilon_greedy(explore_key, values, epsilon)
        observations, environments, rewards, terminated, truncated, info = self._envs.step(
            env_key, state.environments, actions
        )
        over = terminated | truncated
        happened = Event(
            actions=actions,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            final_observations=info["final_observation"],
            next_observations=observations,
            valid=info.get("valid", jnp.ones_like(over)),
        )
        replay = self.replay.add(self._stream, state.replay, happened)
        metrics = {
            **episode_metrics(info, over),
            "value": (values.max(-1).sum(dtype=jnp.float32), jnp.float32(len(values))),
        }
        state = state.replace(environments=environments, observations=observations, replay=replay)
        return state, metrics

    def _update(self, state: DQNState) -> tuple[DQNState, Metrics]:
        env_steps = self.units_before + state.step.astype(jnp.float32) * self.train_every
        epsilon = rate_at(self.exploration, env_steps)
        act_key, sample_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        state, explored = jax.lax.scan(
            lambda state, key: self._explore(state, key, epsilon),
            state,
            jax.random.split(act_key, self.train_every // self.envs.num_envs),
        )
        rows, places = self.replay.sample(
            self._stream, state.replay, sample_key, self.batch_size, env_steps
        )
        (loss, errors), gradients = jax.value_and_grad(self._loss, has_aux=True)(
            state.params, state.target_params, over_devices(rows)
        )
        params, opt_state = self._descend(state.params, state.opt_state, gradients)
        is_due = (state.step + 1) % self.target_every == 0
        state = state.replace(
            step=state.step + 1,
            params=params,
            target_params=jax.tree.map(
                lambda new, old: jnp.where(is_due, new, old), params, state.target_params
            ),
            opt_state=opt_state,
            replay=self.replay.update(self._stream, state.replay, places, errors),
        )
        summed = jax.tree.map(lambda leaf: leaf.sum(0), explored)
        return state, {"loss": one(loss), "epsilon": one(epsilon), **summed}

    def _loss(
        self, params: PyTree, target_params: PyTree, rows: Transitions
    ) -> tuple[Array, Array]:
        outputs = self._apply(params, rows.observations)
        next_outputs = self._apply(target_params, rows.next_observations)
        selector = None
        if self.double:
            selector = self._scores(params, rows.next_observations)
            selector = jax.lax.stop_gradient(selector)
        values, errors = self.head.loss(outputs, rows, next_outputs, selector)
        # Divided by the number of rows, not by the sum of the weights: weights of a prioritized
        # memory are at most 1, and are meant to make steps smaller.
        count = jnp.maximum(jnp.sum(rows.weights > 0), 1)
        return jnp.sum(rows.weights * values) / count, errors
