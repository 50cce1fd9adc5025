"""Environments as pure functions of a key, a state, an action and parameters."""

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
    """What an environment carries from one step to the next; environments add their own fields.

    Attributes:
        time: Steps since the episode began.
    """

    time: Any


class EnvParams(flax.struct.PyTreeNode):
    """The constants of an environment; environments add their own fields.

    Attributes:
        max_steps_in_episode: After how many steps an episode is truncated.
    """

    max_steps_in_episode: Any = 1_000

    def check(self) -> None:
        """Checks the constants; an environment with further limits adds its own.

        Raises:
            ValueError: One is out of range.
        """
        check_count("max_steps_in_episode", self.max_steps_in_episode)

    def _check_positive(self, *names: str) -> None:
        for name in names:
            check_positive(name, getattr(self, name))


class Environment:
    """The base of all environments: the interface of gymnax 1.x, so that either's fit here.

    A subclass has `name`, `default_params`, `num_actions`, `observation_space`, `reset_env` and
    `step_env`, the dynamics without an end by time and without a new beginning; `is_truncated` says
    when time is over, and `render` draws.

    >>> from jaxvision import rl
    >>> environment, params = rl.make("CartPole-v1")
    >>> observation, state = jax.jit(environment.reset)(jax.random.key(0), params)
    >>> observation, state, reward, terminated, truncated, info = jax.jit(environment.step)(
    ...     jax.random.key(1), state, 1, params)
    >>> float(reward), bool(terminated), bool(truncated)
    (1.0, False, False)
    """

    registered_name: ClassVar[str | None] = None

    options: Mapping[str, Any] | None = None
    """What `make` was given to make this environment; None if something else did."""

    @property
    def name(self) -> str:
        """What the environment is called: as it was registered, else as its class."""
        return vars(type(self)).get("registered_name") or type(self).__name__

    @property
    def default_params(self) -> EnvParams:
        """The constants as they usually are."""
        raise NotImplementedError

    @property
    def num_actions(self) -> int:
        """How many actions there are."""
        raise NotImplementedError

    def action_space(self, params: Any = None) -> Space:
        """What actions can be.

        Args:
            params: The constants.

        Returns:
            A space.
        """
        del params
        return Discrete(self.num_actions)

    def observation_space(self, params: Any) -> Space:
        """What observations can be.

        Args:
            params: The constants.

        Returns:
            A space.
        """
        raise NotImplementedError

    def reset_env(self, key: Key[Array, ""], params: Any) -> tuple[Array, Any]:
        """Begins an episode.

        Args:
            key: For what is random.
            params: The constants.

        Returns:
            The first observation and the state.
        """
        raise NotImplementedError

    def step_env(
        self, key: Key[Array, ""], state: Any, action: Array, params: Any
    ) -> tuple[Array, Any, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Goes one step, whatever the time.

        Args:
            key: For what is random.
            state: Where the step begins.
            action: One of the action space.
            params: The constants.

        Returns:
            The observation, the state, the reward, whether the episode terminated, and what else
            there is to say.
        """
        raise NotImplementedError

    def is_truncated(self, state: Any, params: Any) -> Bool[Array, ""]:
        """Whether the time of the episode is over.

        Args:
            state: After a step.
            params: The constants.

        Returns:
            A truth value.
        """
        return state.time >= params.max_steps_in_episode

    def render(self, state: Any, params: Any) -> UInt8[Array, "height width 3"]:
        """Draws a state.

        Args:
            state: A state.
            params: The constants.

        Returns:
            An image in RGB.
        """
        raise NotImplementedError(f"{self.name} cannot be drawn")

    def reset(self, key: Key[Array, ""], params: Any = None) -> tuple[Array, Any]:
        """Begins an episode.

        Args:
            key: For what is random.
            params: The constants; None takes the default.

        Returns:
            The first observation and the state.
        """
        return self.reset_env(key, self.default_params if params is None else params)

    def step(
        self, key: Key[Array, ""], state: Any, action: Any, params: Any = None
    ) -> tuple[Array, Any, Float[Array, ""], Bool[Array, ""], Bool[Array, ""], Mapping[str, Any]]:
        """Goes one step, and begins a new episode where this one is over.

        Args:
            key: For what is random.
            state: Where the step begins.
            action: One of the action space.
            params: The constants; None takes the default.

        Returns:
            The observation and the state, of the new episode if one began; the reward; whether the
            episode terminated; whether it was truncated; and a dict, whose `final_observation` is
            what the action led to, whether a new episode began or not.
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
