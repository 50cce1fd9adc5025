"""A run of the tiny environments, in a replay and in a plain Python log."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import quick

from jaxvision import rl
from jaxvision.rl.replay.stream import Event


@dataclasses.dataclass
class Logged:
    """What happened, as plain arrays."""

    observation: np.ndarray
    action: int
    reward: float
    terminated: bool
    over: bool
    final: np.ndarray


@functools.cache
def programs(envs, replay, stream):
    """What begins to write, and what acts and writes a step."""

    @quick.jit
    def begin(key):
        observations, state = envs.reset(key)
        return observations, state, replay.init(stream, observations)

    @quick.jit
    def step(state, memory, key, actions, bonus):
        observations, state, rewards, terminated, truncated, info = envs.step(key, state, actions)
        rewards = rewards + bonus
        final = info["final_observation"]
        valid = jnp.ones_like(terminated)
        happened = Event(actions, rewards, terminated, truncated, final, observations, valid)
        memory = replay.add(stream, memory, happened)
        return observations, state, memory, rewards, terminated, terminated | truncated, final

    return begin, step


def record(envs, replay, num_steps, *, num_frames=1, n_step=1, discount=0.9, seed=0):
    """Acts at random, mostly 0.

    Returns:
        The stream, the replay's state, and a log of steps for each environment.
    """
    stream = replay.stream(envs, num_frames=num_frames, n_step=n_step, discount=discount)
    begin, step = programs(envs, replay, stream)
    observations, state, memory = begin(jax.random.key(seed))
    rng = np.random.default_rng(seed)
    log = [[] for _ in range(envs.num_envs)]
    for index in range(num_steps):
        actions = (rng.random(envs.num_envs) < 0.15).astype(np.int32)
        bonus = rng.normal(size=envs.num_envs).astype(np.float32)
        before = np.asarray(observations)
        observations, state, memory, *happened = step(
            state, memory, jax.random.key(1_000 + index), actions, bonus
        )
        rewards, terminated, over, final = jax.device_get(happened)
        for env, steps in enumerate(log):
            steps.append(
                Logged(
                    before[env], actions[env], rewards[env], terminated[env], over[env], final[env]
                )
            )
    return stream, memory, log


def expected(steps, start, *, n_step=1, discount=0.9):
    """The transition that begins at a step of a log: its parts as plain numbers."""
    total, factor, index = 0.0, 1.0, start
    while True:
        step = steps[index]
        total += factor * step.reward
        factor *= 0.0 if step.terminated else discount
        if step.over or index + 1 == min(start + n_step, len(steps)):
            return steps[start].observation, steps[start].action, total, factor, step.final
        index += 1


def all_places(stream):
    envs, slots = np.meshgrid(np.arange(stream.num_envs), np.arange(stream.slots), indexing="ij")
    return jax.device_put((envs.ravel(), slots.ravel()))


@functools.cache
def _reading(stream):
    return quick.jit(stream.read)


def read_all(stream, memory):
    """What begins at every place."""
    return jax.device_get(_reading(stream)(memory, *all_places(stream)))


@functools.cache
def _drawing(replay, stream, batch_size):
    return quick.jit(lambda memory, key, step: replay.sample(stream, memory, key, batch_size, step))


def sample(replay, stream, memory, batch_size, step=0, seed=0):
    """Transitions and their places."""
    draw = _drawing(replay, stream, batch_size)
    return jax.device_get(draw(memory, jax.random.key(seed), step))


def as_rows(transitions):
    """The transitions that count, as hashable rows."""
    rows = zip(
        transitions.observations,
        transitions.actions,
        transitions.rewards,
        transitions.discounts,
        transitions.next_observations,
        transitions.weights,
        strict=True,
    )
    return [as_row(*parts) for *parts, weight in rows if weight > 0]


def as_row(observation, action, reward, factor, final):
    return (
        tuple(np.asarray(observation, np.float64).ravel().round(5)),
        int(action),
        round(float(reward), 4),
        round(float(factor), 5),
        tuple(np.asarray(final, np.float64).ravel().round(5)),
    )


@functools.cache
def clocks(num_envs=3, limit=4):
    from tiny_envs import Clock

    return rl.vectorize(Clock(limit), num_envs)


@functools.cache
def frames(num_frames, num_envs=2, limit=6):
    from tiny_envs import Frames

    return rl.FrameStack(rl.vectorize(Frames(limit), num_envs), num_frames)
