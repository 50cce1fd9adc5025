"""Wrappers of vector environments."""

import dataclasses
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from jaxvision.checks import check_count
from jaxvision.rl.spaces import Box, Space
from jaxvision.rl.vector import StepResult, VectorEnv, check_vector_env, select


@dataclasses.dataclass(frozen=True, eq=False)
class Wrapper:
    """Base class of wrappers: what a subclass does not override is forwarded to `environments`."""

    environments: VectorEnv

    def __post_init__(self) -> None:
        check_vector_env(self.environments)

    @property
    def num_envs(self) -> int:
        """Number of environments."""
        return self.environments.num_envs

    @property
    def observation_space(self) -> Space:
        """Space of the observations of one environment."""
        return self.environments.observation_space

    @property
    def action_space(self) -> Space:
        """Space of the actions of one environment."""
        return self.environments.action_space


class StackState(flax.struct.PyTreeNode):
    """The state of the environments, and the last frames of each."""

    environments: Any
    frames: Any


@dataclasses.dataclass(frozen=True, eq=False)
class FrameStack(Wrapper):
    """Stacks the last frames of an episode along the channels, the newest last.

    Until an episode has enough frames, its first frame is repeated.

    >>> from jaxvision.rl import vectorize
    >>> envs = FrameStack(vectorize("Pong", 2, size=32), 4)
    >>> envs.observation_space.shape
    (32, 32, 4)
    """

    num_frames: int

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = self.environments.observation_space.shape
        if len(shape) != 3:
            raise ValueError(f"frames must be images (height, width, channels), got shape {shape}")
        check_count("num_frames", self.num_frames)

    @property
    def observation_space(self) -> Space:
        """Images with the channels of all frames."""
        space = self.environments.observation_space
        height, width, channels = space.shape
        if not isinstance(space, Box):
            raise ValueError(f"frames must be images, got {space}")
        low, high = (
            jnp.tile(jnp.broadcast_to(bound, space.shape), self.num_frames)
            if np.ndim(bound)
            else bound
            for bound in (space.low, space.high)
        )
        return Box(low, high, (height, width, channels * self.num_frames), space.dtype)

    def reset(self, key: Key[Array, ""]) -> tuple[Array, StackState]:
        """Starts an episode in every environment; returns the observations and the state."""
        frame, state = self.environments.reset(key)
        frames = self._first(frame)
        return frames, StackState(state, frames)

    def step(
        self, key: Key[Array, ""], state: StackState, actions: Int[Array, "envs"]
    ) -> StepResult:
        """Steps every environment, and resets those whose episode is over; see `StepResult`."""
        frame, inner, rewards, terminated, truncated, info = self.environments.step(
            key, state.environments, actions
        )
        channels = frame.shape[-1]
        final = jnp.concatenate([state.frames[..., channels:], info["final_observation"]], axis=-1)
        first = terminated | truncated | ~info.get("valid", jnp.ones_like(terminated))
        frames = select(first, self._first(frame), final)
        info = {**info, "final_observation": final}
        return frames, StackState(inner, frames), rewards, terminated, truncated, info

    def _first(self, frame: Array) -> Array:
        return jnp.tile(frame, (*[1] * (frame.ndim - 1), self.num_frames))


def frames_in(envs: VectorEnv) -> int:
    """The number of frames that `FrameStack` puts into an observation; 1 without it.

    >>> from jaxvision.rl import vectorize
    >>> frames_in(EpisodeStatistics(FrameStack(vectorize("Pong", 2, size=32), 4)))
    4
    """
    if isinstance(envs, FrameStack):
        return envs.num_frames
    return frames_in(envs.environments) if isinstance(envs, Wrapper) else 1


def innermost(envs: Any) -> Any:
    """The environments inside all wrappers.

    >>> from jaxvision.rl import vectorize
    >>> innermost(FrameStack(vectorize("Pong", 2, size=32), 4)).environment.name
    'Pong'
    """
    return innermost(envs.environments) if isinstance(envs, Wrapper) else envs


class EpisodeState(flax.struct.PyTreeNode):
    """The state of the environments, and the return and length so far of each episode."""

    environments: Any
    returns: Any
    lengths: Any


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeStatistics(Wrapper):
    """Adds `episode_return` and `episode_length` to `info`: the sums up to and including this step.

    >>> import jax
    >>> from jaxvision.rl import vectorize
    >>> envs = EpisodeStatistics(vectorize("CartPole-v1", 2))
    >>> _, state = jax.jit(envs.reset)(jax.random.key(0))
    >>> *_, info = jax.jit(envs.step)(jax.random.key(1), state, jnp.zeros(2, jnp.int32))
    >>> print(info["episode_return"])
    [1. 1.]
    """

    def reset(self, key: Key[Array, ""]) -> tuple[Array, EpisodeState]:
        """Starts an episode in every environment; returns the observations and the state."""
        observations, state = self.environments.reset(key)
        zeros = jnp.zeros(self.num_envs, jnp.float32)
        return observations, EpisodeState(state, zeros, jnp.zeros(self.num_envs, jnp.int32))

    def step(
        self, key: Key[Array, ""], state: EpisodeState, actions: Int[Array, "envs"]
    ) -> StepResult:
        """Steps every environment, and resets those whose episode is over; see `StepResult`."""
        observations, inner, rewards, terminated, truncated, info = self.environments.step(
            key, state.environments, actions
        )
        over = terminated | truncated
        valid = info.get("valid", jnp.ones_like(over))
        # A row that is not a transition starts an episode, in which nothing has happened yet.
        returns = jnp.where(valid, state.returns + rewards, 0).astype(state.returns.dtype)
        lengths = jnp.where(valid, state.lengths + 1, 0)
        info = {**info, "episode_return": returns, "episode_length": lengths}
        state = EpisodeState(inner, jnp.where(over, 0, returns), jnp.where(over, 0, lengths))
        return observations, state, rewards, terminated, truncated, info
