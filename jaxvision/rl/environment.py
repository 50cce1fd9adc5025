"""The base class of environments: pure functions of a key, a state, an action and parameters."""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt8

from jaxvision.checks import check_count, check_positive
from jaxvision.rl.spaces import Discrete, Space

PyTree = Any


class EnvState(flax.struct.PyTreeNode):
    """State of an environment; subclasses add fields.

    Attributes:
        time: Steps since the episode began.
    """

    time: Any


class EnvParams(flax.struct.PyTreeNode):
    """Constants of an environment; subclasses add fields.

    Attributes:
        max_steps_in_episode: Number of steps after which an episode is truncated.
    """

    max_steps_in_episode: Any = 1_000

    def check(self) -> None:
        """Raises ValueError if a constant is out of range; subclasses check their fields too."""
        check_count("max_steps_in_episode", self.max_steps_in_episode)

    def _check_positive(self, *names: str) -> None:
        for name in names:
            check_positive(name, getattr(self, name))


class Environment:
    """Base class of environments. Its interface is that of gymnax 1.x, whose environments work too.

    A subclass defines `default_params`, `num_actions`, `observation_space`, `reset_env` and
    `step_env`. It may override `action_space`, `is_truncated` (the time limit) and `render`.

    >>> from jaxvision import rl
    >>> environment, params = rl.make("CartPole-v1")
    >>> observation, state = jax.jit(environment.reset)(jax.random.key(0), params)
    >>> observation, state, reward, terminated, truncated, info = jax.jit(environment.step)(
    ...     jax.random.key(1), state, 1, params)
    >>> float(reward), bool(terminated), bool(truncated)
    (1.0, False, False)
    """

    registered_name: ClassVar[str | None] = None

    action_names: ClassVar[tuple[str, ...]] = ()
    """Names of the actions in their order; empty if they have none."""

    observation_names: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers in an observation that is a vector; empty if they have none."""

    options: Mapping[str, Any] | None = None
    """Constructor options given to `make`; None if the environment was made without it."""

    @property
    def name(self) -> str:
        """The registered name, or the name of the class if it is not registered."""
        return vars(type(self)).get("registered_name") or type(self).__name__

    @property
    def default_params(self) -> EnvParams:
        """The default constants."""
        raise NotImplementedError

    @property
    def num_actions(self) -> int:
        """The number of discrete actions."""
        raise NotImplementedError

    def action_space(self, params: Any = None) -> Space:
        """The space of actions; by default the integers from 0 to `num_actions - 1`."""
        del params
        return Discrete(self.num_actions)

    def observation_space(self, params: Any) -> Space:
        """The space of observations."""
        raise NotImplementedError

    def reset_env(self, key: Key[Array, ""], params: Any) -> tuple[Array, Any]:
        """Starts an episode; returns the first observation and the state."""
        raise NotImplementedError

    def step_env(
        self, key: Key[Array, ""], state: Any, action: Array, params: Any
    ) -> tuple[Array, Any, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Computes one step, without the time limit and without starting a new episode.

        Returns:
            The observation, the state, the reward, whether the episode terminated, and a dict with
            further information.
        """
        raise NotImplementedError

    def is_truncated(self, state: Any, params: Any) -> Bool[Array, ""]:
        """Whether the time limit is reached in `state`, the state after a step."""
        return state.time >= params.max_steps_in_episode

    def render(self, state: Any, params: Any) -> UInt8[Array, "height width 3"]:
        """Draws a state as an RGB image; an environment without pictures does not override it."""
        raise NotImplementedError(f"{self.name} cannot be drawn")

    def reset(self, key: Key[Array, ""], params: Any = None) -> tuple[Array, Any]:
        """Starts an episode; returns the first observation and the state."""
        return self.reset_env(key, self.default_params if params is None else params)

    def step(
        self, key: Key[Array, ""], state: Any, action: Any, params: Any = None
    ) -> tuple[Array, Any, Float[Array, ""], Bool[Array, ""], Bool[Array, ""], Mapping[str, Any]]:
        """Takes one step, and starts a new episode if this one is over.

        Args:
            key: Random key of the step and of a new episode.
            state: State before the step.
            action: Element of the action space.
            params: Constants; None uses the defaults.

        Returns:
            `(observation, state, reward, terminated, truncated, info)`. If the episode is over,
            observation and state are those of the new one. `info["final_observation"]` is always
            the observation that the action led to.
        """
        params = self.default_params if params is None else params
        step_key, reset_key = jax.random.split(key)
        final, stepped, reward, terminated, info = self.step_env(
            step_key, state, jnp.asarray(action), params
        )
        truncated = self.is_truncated(stepped, params)
        over = terminated | truncated
        observation, state = jax.tree.map(
            lambda new, old: jnp.where(over, new, old),
            self.reset_env(reset_key, params),
            (final, stepped),
        )
        return (
            observation,
            state,
            reward,
            terminated,
            truncated,
            {**info, "final_observation": final},
        )
