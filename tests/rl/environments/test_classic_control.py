import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import rl

GYMNASIUM = np.load(pathlib.Path(__file__).parents[2] / "fixtures" / "classic_control.npz")
NAMES = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")
environments = pytest.mark.parametrize("name", NAMES)
kinds = pytest.mark.parametrize("kind", ["whole", "jumps"])


def recorded(name, kind):
    """1,000 random steps: of whole episodes, or with jumps to states that are rare."""
    parts = ("before", "action", "after", "observation", "reward", "terminated")
    return {part: GYMNASIUM[f"{name}/{kind}/{part}"] for part in parts}


@functools.cache
def environment_of(name):
    """The environment, its constants, and the type of its states."""
    environment, params = rl.make(name)
    _, state = jax.eval_shape(environment.reset_env, jax.random.key(0), params)
    return environment, params, type(state)


def state_of(name, numbers):
    """The environment's state with these numbers, in their type."""
    *_, make = environment_of(name)
    return make(np.zeros(numbers.shape[:-1], np.int32), *np.moveaxis(numbers, -1, 0))


def numbers_of(state):
    _, *numbers = jax.tree.leaves(state)
    return np.stack(numbers, axis=-1)


@functools.cache
def program(name):
    """Steps of many states at once."""
    environment, params, _ = environment_of(name)

    @quick.jit
    def steps(states, actions):
        key = jax.random.key(0)
        return jax.vmap(lambda state, action: environment.step_env(key, state, action, params))(
            states, actions
        )

    return steps


def all_steps(name, steps, dtype):
    states = state_of(name, steps["before"].astype(dtype))
    return jax.device_get(program(name)(states, steps["action"].astype(np.int32)))


@environments
@kinds
def test_every_step_equals_gymnasium(name, kind):
    steps = recorded(name, kind)
    with jax.enable_x64(True):
        observation, after, reward, terminated, _ = all_steps(name, steps, np.float64)
    assert numbers_of(after).dtype == np.float64
    np.testing.assert_allclose(numbers_of(after), steps["after"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(observation, steps["observation"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(reward, steps["reward"])
    np.testing.assert_array_equal(terminated, steps["terminated"])
    assert steps["terminated"].any() or kind == "whole"


@environments
@kinds
def test_float32_rounds_and_no_more(name, kind):
    steps = recorded(name, kind)
    _, after, *_ = all_steps(name, steps, np.float32)
    errors = np.abs(numbers_of(after) - steps["after"])
    errors = np.minimum(errors, np.abs(errors - 2 * np.pi))  # pi and -pi are one angle
    # Links that turn at 24 rad/s take a fast step of the Runge-Kutta method.
    assert errors.max() < (2e-5 if (name, kind) == ("Acrobot-v1", "jumps") else 1e-6)


@functools.cache
def run_of(name):
    """Steps from one state on, but for those that are fresh."""
    environment, params, _ = environment_of(name)

    def step(state, row):
        given, is_fresh, action = row
        state = jax.tree.map(lambda new, old: jnp.where(is_fresh, new, old), given, state)
        _, state, *_ = environment.step_env(jax.random.key(0), state, action, params)
        return state, state

    return quick.jit(lambda start, rows: jax.lax.scan(step, start, rows)[1])


@environments
@kinds
def test_runs_of_many_steps_equal_gymnasium(name, kind):
    """Every episode, and every stretch between two jumps, from its first state alone."""
    steps = recorded(name, kind)
    jumps = np.any(steps["before"][1:] != steps["after"][:-1], axis=1)
    fresh = np.concatenate([[True], jumps])
    longest = np.diff(np.append(np.flatnonzero(fresh), len(fresh))).max()
    assert kind == "jumps" or longest >= {"Acrobot-v1": 500, "MountainCar-v0": 200}.get(name, 50)
    given = state_of(name, steps["before"])
    start = jax.tree.map(lambda leaf: leaf[0], given)
    with jax.enable_x64(True):
        states = jax.device_get(run_of(name)(start, (given, fresh, steps["action"])))
    np.testing.assert_allclose(numbers_of(states), steps["after"], rtol=0, atol=1e-6)


@environments
def test_time_is_over_when_gymnasium_says_so(name):
    environment, params, _ = environment_of(name)
    limit = {"CartPole-v1": 500, "Acrobot-v1": 500, "MountainCar-v0": 200}[name]
    is_over = quick.jit(lambda time: environment.is_truncated(rl.EnvState(time=time), params))
    for time, over in ((limit - 1, False), (limit, True)):
        assert is_over(np.int32(time)) == over


@environments
def test_episodes_begin_where_gymnasium_begins_them(name):
    environment, params, _ = environment_of(name)

    @quick.jit
    def begin(key):
        return jax.vmap(environment.reset_env, (0, None))(jax.random.split(key, 2_000), params)[1]

    numbers = numbers_of(jax.device_get(begin(jax.random.key(0))))
    ranges = {
        "CartPole-v1": [(-0.05, 0.05)] * 4,
        "Acrobot-v1": [(-0.1, 0.1)] * 4,
        "MountainCar-v0": [(-0.6, -0.4), (0, 0)],
    }
    for column, (low, high) in zip(numbers.T, ranges[name], strict=True):
        assert low <= column.min() <= low + 0.01 * (high - low) + 1e-7
        assert high - 0.01 * (high - low) - 1e-7 <= column.max() <= high
