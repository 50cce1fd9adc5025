"""Adapter for vector environments of Gymnasium."""

import dataclasses
import functools
import importlib
import secrets
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, Int, Key

from jaxvision.checks import check_count
from jaxvision.rl.spaces import Box, Space, as_space
from jaxvision.rl.vector import StepResult


class HostState(flax.struct.PyTreeNode):
    """What the compiled program knows of environments on the host.

    `over` marks episodes that ended in the last step. `ticket` identifies the reset and the step at
    which the environments must be for this state.
    """

    over: Any
    ticket: Any


@dataclasses.dataclass(frozen=True, eq=False)
class GymnasiumEnvs:
    """A vector environment of Gymnasium, called from within compiled programs.

    Both autoreset modes of Gymnasium work. With `NEXT_STEP` a reset takes a step of its own; its
    row is not a transition, and `info["valid"]` is False there.

    The state does not contain the environments, so checkpoints do not either. If a state does not
    match the environments (a run resumes from a checkpoint, or other code reset them), they start
    new episodes, in a row that is not a transition; such a run differs from an uninterrupted one.
    `Seeds` and several devices need environments written in JAX instead.

    Attributes:
        environments: Result of `gymnasium.make_vec`, or an object with the same interface.
        channels_first: Whether images are (channels, height, width); observations have channels
            last.
        made_by: How `make_gymnasium` or `make_atari` made them, for the record of a run.

    Raises:
        ValueError: `channels_first` is set but observations are not images, or autoreset is
            disabled.

    >>> import gymnasium
    >>> GymnasiumEnvs(gymnasium.make_vec("MountainCar-v0", num_envs=2)).action_space
    Discrete(n=3)
    """

    environments: Any
    channels_first: bool = False
    made_by: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        shape = self.environments.single_observation_space.shape
        if self.channels_first and len(shape) != 3:
            raise ValueError(
                f"channels_first is for images (channels, height, width), got shape {shape}"
            )
        if self._mode not in ("NextStep", "SameStep"):
            raise ValueError(
                "environments must reset themselves, with the autoreset_mode NEXT_STEP or "
                f"SAME_STEP, got {self._mode}"
            )

    @property
    def num_envs(self) -> int:
        """Number of environments."""
        return int(self.environments.num_envs)

    @property
    def observation_space(self) -> Space:
        """Space of the observations of one environment."""
        space = as_space(self.environments.single_observation_space)
        if not isinstance(space, Box):
            return space
        dtype = jax.dtypes.canonicalize_dtype(space.dtype)
        if self.channels_first:
            channels, height, width = space.shape
            low, high = np.min(space.low), np.max(space.high)
            return Box(low, high, (height, width, channels), dtype)
        return dataclasses.replace(space, dtype=dtype)

    @property
    def action_space(self) -> Space:
        """Space of the actions of one environment."""
        return as_space(self.environments.single_action_space)

    def reset(self, key: Key[Array, ""]) -> tuple[Array, HostState]:
        """Starts an episode in every environment; their seed derives from `key`."""
        seed = jax.random.bits(key, (), jnp.uint32) >> 1
        shapes = (self._observations, _TICKET)
        observations, ticket = io_callback(self._host.reset, shapes, seed, ordered=True)
        return observations, HostState(jnp.zeros(self.num_envs, bool), ticket)

    def step(
        self, key: Key[Array, ""], state: HostState, actions: Int[Array, "envs"]
    ) -> StepResult:
        """Steps every environment, ignoring `key`; see `StepResult`."""
        del key
        rows = (self.num_envs,)
        flags = jax.ShapeDtypeStruct(rows, jnp.bool_)
        rewards = jax.ShapeDtypeStruct(rows, jnp.float32)
        fresh = jax.ShapeDtypeStruct((), jnp.bool_)
        shapes = (self._observations, rewards, flags, flags, self._observations, fresh, _TICKET)
        observations, rewards, terminated, truncated, final, fresh, ticket = io_callback(
            self._host.step, shapes, actions, state.ticket, ordered=True
        )
        begins = state.over if self._mode == "NextStep" else jnp.zeros(rows, bool)
        valid = ~begins & ~fresh
        info = {"final_observation": final, "valid": valid}
        state = HostState((terminated | truncated) & valid, ticket)
        return observations, state, rewards, terminated, truncated, info

    @property
    def _mode(self) -> str:
        mode = self.environments.metadata.get("autoreset_mode")
        return str(getattr(mode, "value", mode))

    @property
    def _observations(self) -> jax.ShapeDtypeStruct:
        space = self.observation_space
        return jax.ShapeDtypeStruct((self.num_envs, *space.shape), space.dtype)

    @functools.cached_property
    def _host(self) -> "_Host":
        return _Host(self)


_TICKET = jax.ShapeDtypeStruct((2,), jnp.uint32)


class _Host:
    """The environments, as called from compiled programs."""

    def __init__(self, adapter: GymnasiumEnvs) -> None:
        self._adapter = adapter
        self._ticket = np.zeros(2, np.uint32)

    def reset(self, seed: Any) -> tuple[np.ndarray, np.ndarray]:
        observations, _ = self._adapter.environments.reset(seed=int(seed))
        # The random number makes each reset's ticket unique, also among processes.
        self._ticket = np.array([secrets.randbits(32), 0], np.uint32)
        return self._seen(observations), self._ticket

    def step(self, actions: Any, ticket: Any) -> tuple[np.ndarray, ...]:
        count = self._adapter.num_envs
        ticket = np.asarray(ticket)
        following = ticket + np.array([0, 1], np.uint32)
        if not np.array_equal(ticket, self._ticket):
            seen, _ = self.reset(int(ticket.sum()) % 2**31)
            self._ticket, no = following, np.zeros(count, bool)
            return seen, np.zeros(count, np.float32), no, no, seen, np.array(True), following
        self._ticket = following
        observations, rewards, terminated, truncated, info = self._adapter.environments.step(
            np.asarray(actions, np.int64)
        )
        seen = self._seen(observations)
        final = seen.copy()
        if "final_obs" in info:
            for env in np.flatnonzero(terminated | truncated):
                final[env] = self._seen(np.asarray(info["final_obs"][env])[None])[0]
        return (
            seen,
            np.asarray(rewards, np.float32),
            np.asarray(terminated, bool),
            np.asarray(truncated, bool),
            final,
            np.array(False),
            following,
        )

    def _seen(self, observations: Any) -> np.ndarray:
        seen = np.asarray(observations)
        if self._adapter.channels_first:
            seen = np.moveaxis(seen, 1, -1)
        return np.ascontiguousarray(seen, self._adapter.observation_space.dtype)


def make_gymnasium(name: str, num_envs: int, **options: Any) -> GymnasiumEnvs:
    """Makes environments of Gymnasium by name.

    Args:
        name: Name registered with Gymnasium, such as "LunarLander-v3".
        num_envs: Number of environments.
        options: Options for `gymnasium.make_vec`.

    Raises:
        ImportError: Gymnasium is not installed.
        ValueError: `num_envs` is not positive, the name or an option is unknown, or autoreset is
            disabled.

    >>> make_gymnasium("CartPole-v1", 2).observation_space.shape
    (4,)
    """
    check_count("num_envs", num_envs)
    try:
        gymnasium = importlib.import_module("gymnasium")
    except ModuleNotFoundError:
        raise ImportError(
            "these environments need the package gymnasium: pip install gymnasium"
        ) from None
    try:
        environments = gymnasium.make_vec(name, num_envs=num_envs, **options)
    except (gymnasium.error.Error, TypeError) as error:
        raise ValueError(f"Gymnasium cannot make {name}: {error}") from error
    made_by = {"library": "gymnasium", "name": name, "options": options}
    return GymnasiumEnvs(environments, made_by=made_by)
