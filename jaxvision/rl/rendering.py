"""Images of episodes."""

import copy
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, Shaped, UInt8

from jaxvision.rl.environment import Environment
from jaxvision.rl.evaluation import Policy
from jaxvision.rl.spaces import Box
from jaxvision.rl.vector import VectorEnv, Vectorized
from jaxvision.rl.wrappers import Wrapper, frames_in, innermost

PyTree = Any
Frames = UInt8[np.ndarray, "time height width 3"]


class Film(NamedTuple):
    """One episode, in images.

    Attributes:
        frames: One image before each step, and one after the last step. If the environment cannot
            show the latter, the image before it is repeated.
        episode_return: Sum of the rewards.
        ended: Whether the episode ended before the limit of steps.
        observations: What the agent saw before each step.
    """

    frames: Frames
    episode_return: float
    ended: bool
    observations: Shaped[np.ndarray, "time *shape"]


def render(envs: VectorEnv, state: PyTree) -> UInt8[Array, "envs height width 3"]:
    """Draws all environments.

    Args:
        envs: Environments written in JAX, with or without wrappers.
        state: State of the environments.

    Returns:
        An image of each environment.

    Raises:
        ValueError: The environments have no `render` method written in JAX.

    >>> from jaxvision import rl
    >>> envs = rl.FrameStack(rl.vectorize("Catch", 2), 4)
    >>> _, state = jax.jit(envs.reset)(jax.random.key(0))
    >>> jax.jit(render, static_argnums=0)(envs, state).shape
    (2, 160, 80, 3)
    """
    if isinstance(envs, Wrapper):
        return render(envs.environments, state.environments)
    inner: Any = envs
    environment: Any = getattr(inner, "environment", None)
    if not _draws_itself(inner):
        name = type(inner if environment is None else environment).__name__
        raise ValueError(f"{name} cannot be drawn: it has no render(state, params) written in JAX")
    return jax.vmap(lambda one: environment.render(one, inner.params))(state)


def can_be_drawn(envs: VectorEnv) -> bool:
    """Whether `film` can show the environments: they draw themselves, or observations are images.

    Args:
        envs: Environments, with or without wrappers.

    >>> from jaxvision import rl
    >>> can_be_drawn(rl.vectorize("CartPole-v1", 1))
    True
    """
    return _draws_itself(envs) or _is_seen_as_image(envs)


def film(
    envs: VectorEnv,
    policy: Policy,
    key: Key[Array, ""],
    *,
    max_steps: int = 10_000,
    drawn: bool = True,
) -> Film:
    """Plays an episode and returns an image of every step.

    An environment that cannot draw itself is shown by its observations, if these are images.

    Args:
        envs: Vector environment that contains a single environment.
        policy: Function from observations and a key to actions.
        key: Random key of the episode.
        max_steps: Number of steps after which an unfinished episode is cut off.
        drawn: Whether to draw images; without, they have neither height nor width.

    Returns:
        The images, the return, whether the episode ended, and the observations.

    Raises:
        ValueError: There are several environments, they cannot be drawn, or `max_steps` is below 1.

    >>> from jaxvision import rl
    >>> def stay(observations, key):
    ...     return jnp.ones(1, jnp.int32)
    >>> episode = film(rl.vectorize("Catch", 1), stay, jax.random.key(0))
    >>> episode.frames.shape, episode.ended
    ((10, 160, 80, 3), True)
    """
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")
    if envs.num_envs != 1:
        raise ValueError(f"film needs exactly one environment, got {envs.num_envs}")
    as_seen = drawn and not _draws_itself(envs) and _is_seen_as_image(envs)
    envs = _keeping_final_state(envs) if drawn else envs

    def picture(observations: Array, state: PyTree) -> Array:
        if not drawn:
            return jnp.zeros((0, 0, 3), jnp.uint8)
        return _newest_frame(envs, observations[0]) if as_seen else render(envs, state)[0]

    @jax.jit
    def step(
        key: Array, observations: Array, state: PyTree
    ) -> tuple[Array, PyTree, tuple[Array, Array], Array, Array]:
        act_key, env_key = jax.random.split(key)
        before = picture(observations, state)
        actions = policy(observations, act_key)
        observations, state, rewards, terminated, truncated, info = envs.step(
            env_key, state, actions
        )
        over = (terminated | truncated)[0]
        # If the episode is over, `observations` and `state` are those of the next one.
        after = before
        if as_seen and "final_observation" in info:
            after = picture(info["final_observation"], state)
        elif "final_state" in info:
            after = render(innermost(envs), info["final_state"])[0]
        elif not as_seen:
            after = jnp.where(over, before, picture(observations, state))
        return observations, state, (before, after), rewards[0], over

    observations, state = envs.reset(jax.random.fold_in(key, 0))
    images, seen, total, over, after = [], [], 0.0, False, None
    for time in range(1, max_steps + 1):
        seen.append(np.asarray(observations[0]))
        observations, state, (before, after), reward, over = step(
            jax.random.fold_in(key, time), observations, state
        )
        images.append(np.asarray(before))
        total += float(reward)
        if over:
            break
    return Film(np.stack([*images, np.asarray(after)]), total, bool(over), np.stack(seen))


def _keeping_final_state(envs: Any) -> Any:
    """Copies the environments such that `info` contains the final state of an episode."""
    if isinstance(envs, Wrapper):
        changed = copy.copy(envs)
        object.__setattr__(changed, "environments", _keeping_final_state(envs.environments))
        return changed
    if isinstance(envs, Vectorized):
        return dataclasses.replace(envs, keeps_final_state=True)
    return envs


def _draws_itself(envs: VectorEnv) -> bool:
    drawn_by = getattr(type(getattr(innermost(envs), "environment", None)), "render", None)
    return drawn_by not in (None, Environment.render)


def _is_seen_as_image(envs: VectorEnv) -> bool:
    space = envs.observation_space
    if not isinstance(space, Box) or space.dtype != jnp.uint8 or len(space.shape) != 3:
        return False
    return space.shape[-1] // frames_in(envs) in (1, 3)


def _newest_frame(envs: VectorEnv, seen: Array) -> UInt8[Array, "height width 3"]:
    """The newest frame of an observation, in RGB; small frames are enlarged."""
    frame = seen[..., -(seen.shape[-1] // frames_in(envs)) :]
    factor = max(1, 160 // len(frame))
    frame = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    return jnp.broadcast_to(frame, (*frame.shape[:2], 3))
