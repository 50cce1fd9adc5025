"""Tabular learning of action values from experience."""

import dataclasses
import functools
import math
from typing import Any, ClassVar, Literal, get_args

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxvision._reprs import brief
from jaxvision.checks import check_name
from jaxvision.losses import reinforcement
from jaxvision.rl.describing import describe_environments
from jaxvision.rl.exploration import Rate, epsilon_greedy, rate_at
from jaxvision.rl.learner import Learner, Metrics, one
from jaxvision.rl.rollout import episode_metrics
from jaxvision.rl.spaces import Discrete
from jaxvision.rl.tabular.mdp import check_policy
from jaxvision.rl.vector import vectorize
from jaxvision.rl.wrappers import EpisodeStatistics

PyTree = Any
Method = Literal["q_learning", "sarsa", "expected_sarsa"]
Table = Float[Array, "states actions"]


class TabularState(flax.struct.PyTreeNode):
    """State of training.

    Attributes:
        step: Number of updates so far, of one action or one episode each.
        params: Value of every action in every state.
        visits: Number of updates of each value.
        environments: State of the environment.
        observation: Present observation.
        action: Action that will be taken next.
        key: Key from which all random draws derive.
    """

    step: Any
    params: Any
    visits: Any
    environments: PyTree
    observation: Any
    action: Any
    key: Any

    def __repr__(self) -> str:
        return brief(self)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Tabular(Learner):
    """Base class of agents with a table.

    Attributes:
        environment: Environment with discrete observations and actions.
        params: Constants of the environment; None uses its defaults.
        learning_rate: Share of the error by which a value moves, or a schedule of it over updates.
            None uses 1 / visits, which makes a value the mean of its targets.
        exploration: Probability of a random action, or a schedule of it over updates.
        policy: Probability of every action in every state, to act by without exploration. All
            methods but Q-learning evaluate this policy; Q-learning learns the best policy however
            it acts. None takes the best action so far, with exploration.
        initial: Initial value of all actions; high ones encourage exploration.
    """

    environment: Any
    params: Any = None
    discount: float = 1.0
    learning_rate: Rate | None = 0.1
    exploration: Rate = 0.1
    policy: Table | None = None
    initial: float = 0.0
    updates_per_step: int = 1_000

    def __post_init__(self) -> None:
        super().__post_init__()
        states, actions = self._shape
        if not math.isfinite(self.initial):
            raise ValueError(f"initial must be a finite number, got {self.initial}")
        if self.policy is not None:
            check_policy(self.policy, states, actions)
        self._check_shares("exploration", schedules=True)
        if self.learning_rate is not None:
            self._check_shares("learning_rate", schedules=True)

    @property
    def units_per_update(self) -> int:
        """One action, or one episode."""
        return 1

    def describe(self) -> dict[str, Any]:
        """Describes the agent and its environment for the record of a run."""
        environments = describe_environments(vectorize(self.environment, 1, self.params))
        return {**super().describe(), "environments": environments}

    def _init(self, key: Array) -> TabularState:
        env_key, act_key, run_key = jax.random.split(key, 3)
        observations, environments = self._envs.reset(env_key)
        table = jnp.full(self._shape, self.initial, float)
        return TabularState(
            step=jnp.zeros((), jnp.int32),
            params=table,
            visits=jnp.zeros(table.shape, jnp.int32),
            environments=environments,
            observation=observations[0],
            action=self._choose(act_key, table, observations[0], jnp.int32(0)),
            key=run_key,
        )

    def act(
        self, params: Table, observations: Int[Array, "envs"], key: Key[Array, ""] | None = None
    ) -> Int[Array, "envs"]:
        """Chooses the best action for each observation by the table `params`."""
        del key
        return jnp.argmax(params[observations], axis=-1).astype(jnp.int32)

    @functools.cached_property  # `vectorize` traces a step to check it
    def _envs(self) -> EpisodeStatistics:
        return EpisodeStatistics(vectorize(self.environment, 1, self.params))

    @property
    def _shape(self) -> tuple[int, int]:
        """Numbers of states and of actions."""
        spaces = self._envs.observation_space, self._envs.action_space
        for space in spaces:
            if not isinstance(space, Discrete):
                raise ValueError(f"a table needs discrete observations and actions, got {space}")
        states, actions = (int(space.n) for space in spaces if isinstance(space, Discrete))
        return states, actions

    def _choose(self, key: Array, table: Table, observation: Array, step: Array) -> Array:
        """Draws an action from the policy that the agent acts by."""
        if self.policy is not None:
            odds = jnp.log(self._odds(table, observation, step))
            return jax.random.categorical(key, odds).astype(jnp.int32)
        epsilon = rate_at(self.exploration, step)
        return epsilon_greedy(key, table[observation][None], epsilon)[0]

    def _odds(self, table: Table, observation: Array, step: Array) -> Array:
        """The probability of every action under the policy that the agent acts by."""
        if self.policy is not None:
            return jnp.asarray(self.policy, table.dtype)[observation]
        epsilon = rate_at(self.exploration, step)
        best = jax.nn.one_hot(jnp.argmax(table[observation]), table.shape[1], dtype=table.dtype)
        return epsilon / table.shape[1] + (1 - epsilon) * best

    def _rate(self, visits: Array, step: Array) -> Array:
        """The learning rate of values with a given number of visits."""
        if self.learning_rate is None:
            return 1 / visits
        return jnp.asarray(rate_at(self.learning_rate, step), float)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TemporalDifference(_Tabular):
    """Q-learning, SARSA and expected SARSA: an update is one action.

    Attributes:
        method: Value of the next state in the target: that of its best action ("q_learning"), of
            the next action ("sarsa"), or the mean over the policy ("expected_sarsa").

    >>> from jaxvision.rl.environments import GridWorld
    >>> agent = TemporalDifference(environment=GridWorld("S..T"), learning_rate=0.5)
    >>> state, _ = jax.jit(agent)(agent.init(jax.random.key(0)))
    >>> print(state.params.max(1).round(1))
    [-3. -2. -1.  0.]
    """

    method: Method = "q_learning"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("method", self.method, get_args(Method))

    def _update(self, state: TabularState) -> tuple[TabularState, Metrics]:
        env_key, final_key, act_key = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
        observations, environments, rewards, terminated, truncated, info = self._envs.step(
            env_key, state.environments, state.action[None]
        )
        over = terminated | truncated
        final = info["final_observation"][0]
        table = state.params
        # The next action; if the episode is over, the one that would have been taken.
        following = self._choose(final_key, table, final, state.step)
        value = {
            "q_learning": lambda: table[final].max(),
            "sarsa": lambda: table[final, following],
            "expected_sarsa": lambda: self._odds(table, final, state.step) @ table[final],
        }[self.method]()
        target = rewards[0] + jnp.where(terminated[0], 0, self.discount * value)
        place = (state.observation, state.action)
        visits = state.visits.at[place].add(1)
        error = target - table[place]
        table = table.at[place].add(self._rate(visits[place], state.step) * error)
        first = self._choose(act_key, table, observations[0], state.step)
        state = state.replace(
            step=state.step + 1,
            params=table,
            visits=visits,
            environments=environments,
            observation=observations[0],
            action=jnp.where(over[0], first, following),
        )
        return state, {"absolute_error": one(jnp.abs(error)), **episode_metrics(info, over)}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MonteCarlo(_Tabular):
    """Monte Carlo learning: an update is one episode, and its returns are the targets.

    The return of a truncated episode includes the present estimate of its last state's value, under
    the policy that the agent acts by.

    Attributes:
        max_steps: Length at which episodes are truncated.
        first_visit: Whether an action counts only the first time that it is taken in a state.

    Reference: Sutton and Barto, Reinforcement learning: an introduction, 2nd edition, MIT Press
    2018, chapter 5.

    >>> from jaxvision.rl.environments import GridWorld
    >>> agent = MonteCarlo(environment=GridWorld("S..T"), learning_rate=None)
    >>> state, _ = jax.jit(agent)(agent.init(jax.random.key(0)))
    >>> int(state.params[2].argmax())  # beside the end: to the right
    1
    """

    max_steps: int = 200
    first_visit: bool = True
    updates_per_step: int = 100
    unit: ClassVar[str] = "episodes"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts("max_steps")

    def _update(self, state: TabularState) -> tuple[TabularState, Metrics]:
        begin_key, run_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        table = state.params
        observations, environments = self._envs.reset(begin_key)

        def step(
            carry: tuple[Array, PyTree, Array], key: Array
        ) -> tuple[tuple[Array, PyTree, Array], tuple[Array, ...]]:
            observation, environments, ended = carry
            act_key, env_key = jax.random.split(key)
            action = self._choose(act_key, table, observation, state.step)
            following, environments, reward, terminated, truncated, info = self._envs.step(
                env_key, environments, action[None]
            )
            final = info["final_observation"][0]
            over = terminated[0] | truncated[0]
            happened = (observation, action, reward[0], terminated[0], over, final, ~ended)
            return (following[0], environments, ended | over), happened

        carry = (observations[0], environments, jnp.array(False))
        keys = jax.random.split(run_key, self.max_steps)
        _, (seen, actions, rewards, terminated, over, final, during) = jax.lax.scan(
            step, carry, keys
        )
        returns = reinforcement.discounted_returns(
            rewards,
            jnp.where(terminated, 0, self.discount),
            self._state_values(table, final, state.step).astype(rewards.dtype),
            truncated=over & ~terminated,
        )
        places = seen * table.shape[1] + actions
        counts = during & _is_first(places, during, table.size) if self.first_visit else during
        visits, table = self._towards(state, places, returns, counts)
        state = state.replace(step=state.step + 1, params=table, visits=visits)
        return state, {
            "episode_return": one(jnp.sum(jnp.where(during, rewards, 0))),
            "episode_length": one(during.sum()),
        }

    def _state_values(self, table: Table, cells: Array, step: Array) -> Array:
        """The values of states under the policy that the agent acts by."""
        odds = jax.vmap(lambda cell: self._odds(table, cell, step))(cells)
        return jnp.sum(odds * table[cells], axis=-1)

    def _towards(
        self, state: TabularState, places: Array, returns: Array, counts: Bool[Array, "time"]
    ) -> tuple[Array, Array]:
        """Moves the values of the actions that were taken toward their returns."""
        size, shape = state.params.size, state.params.shape
        number = jnp.zeros(size, jnp.int32).at[places].add(counts)
        total = jnp.zeros(size, state.params.dtype).at[places].add(jnp.where(counts, returns, 0))
        visits = state.visits + number.reshape(shape)
        mean = (total / jnp.maximum(number, 1)).reshape(shape)
        number = number.reshape(shape)
        if self.learning_rate is None:  # the mean of all returns so far
            share = number / jnp.maximum(visits, 1)
        else:
            share = jnp.where(number > 0, self._rate(visits, state.step), 0)
        return visits, state.params + share * (mean - state.params)


def _is_first(
    places: Int[Array, "time"], counts: Bool[Array, "time"], size: int
) -> Bool[Array, "time"]:
    """Marks, among the steps that count, those that are the first at their place.

    >>> is_first = jax.jit(_is_first, static_argnums=2)
    >>> print(is_first(jnp.array([1, 0, 1]), jnp.ones(3, bool), 2))
    [ True  True False]
    """
    times = jnp.where(counts, jnp.arange(len(places)), len(places))
    earliest = jnp.full(size, len(places)).at[places].min(times)
    return times == earliest[places]
