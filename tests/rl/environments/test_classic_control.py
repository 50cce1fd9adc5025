import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import rl

GYMNASIUM = np.load(pathlib.Path(__file__).parents[2] / "fixtures" / "classic_control.npz")
NAMES = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")
environments = pytest.mark.parametrize("name", NAMES)
kinds = pytest.mark.parametrize("kind", ["whole", "jumps"])


def recorded(name, kind):
    """1,000 random steps: of whole episodes, or with jumps to states that are rare."""
    parts = ("before", "action", "after", "observation", "reward", "terminated")
    return {part: GYMNASIUM[f"{name}/{kind}/{part}"] for part in parts}


def state_of(environment, params, numbers):
    """The environment's state with these numbers, in their type."""
    _, state = jax.eval_shape(environment.reset_env, jax.random.key(0), params)
    return type(state)(jnp.zeros(numbers.shape[:-1], jnp.int32), *jnp.moveaxis(numbers, -1, 0))


def numbers_of(state):
    _, *numbers = jax.tree.leaves(state)
    return np.stack(numbers, axis=-1)


def all_steps(environment, params, before, actions):
    @jax.jit
    @jax.vmap
    def step(state, action):
        return environment.step_env(jax.random.key(0), state, action, params)

    return step(state_of(environment, params, before), actions)


@environments
@kinds
def test_every_step_equals_gymnasium(name, kind):
    environment, params = rl.make(name)
    steps = recorded(name, kind)
    with jax.enable_x64(True):
        before, actions = jnp.asarray(steps["before"]), jnp.asarray(steps["action"])
        observation, after, reward, terminated, _ = all_steps(environment, params, before, actions)
        assert numbers_of(after).dtype == np.float64
        np.testing.assert_allclose(numbers_of(after), steps["after"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(observation, steps["observation"], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(reward, steps["reward"])
        np.testing.assert_array_equal(terminated, steps["terminated"])
    assert steps["terminated"].any() or kind == "whole"


@environments
@kinds
def test_float32_rounds_and_no_more(name, kind):
    environment, params = rl.make(name)
    steps = recorded(name, kind)
    before = jnp.asarray(steps["before"], jnp.float32)
    _, after, *_ = all_steps(environment, params, before, jnp.asarray(steps["action"], jnp.int32))
    errors = np.abs(numbers_of(after) - steps["after"])
    errors = np.minimum(errors, np.abs(errors - 2 * np.pi))  # pi and -pi are one angle
    # Links that turn at 24 rad/s take a fast step of the Runge-Kutta method.
    assert errors.max() < (2e-5 if (name, kind) == ("Acrobot-v1", "jumps") else 1e-6)


@environments
@kinds
def test_runs_of_many_steps_equal_gymnasium(name, kind):
    """Every episode, and every stretch between two jumps, from its first state alone."""
    environment, params = rl.make(name)
    steps = recorded(name, kind)
    jumps = np.any(steps["before"][1:] != steps["after"][:-1], axis=1)
    fresh = np.concatenate([[True], jumps])
    longest = np.diff(np.append(np.flatnonzero(fresh), len(fresh))).max()
    assert kind == "jumps" or longest >= {"Acrobot-v1": 500, "MountainCar-v0": 200}.get(name, 50)
    with jax.enable_x64(True):
        given = state_of(environment, params, jnp.asarray(steps["before"]))

        def step(state, row):
            given, is_fresh, action = row
            state = jax.tree.map(lambda new, old: jnp.where(is_fresh, new, old), given, state)
            _, state, *_ = environment.step_env(jax.random.key(0), state, action, params)
            return state, state

        rows = (given, jnp.asarray(fresh), jnp.asarray(steps["action"]))
        start = jax.tree.map(lambda leaf: leaf[0], given)
        _, states = jax.jit(lambda start, rows: jax.lax.scan(step, start, rows))(start, rows)
        np.testing.assert_allclose(numbers_of(states), steps["after"], rtol=0, atol=1e-6)


@environments
def test_time_is_over_when_gymnasium_says_so(name):
    environment, params = rl.make(name)
    limit = {"CartPole-v1": 500, "Acrobot-v1": 500, "MountainCar-v0": 200}[name]
    _, state = environment.reset(jax.random.key(0), params)
    for time, over in ((limit - 1, False), (limit, True)):
        assert bool(environment.is_truncated(state.replace(time=jnp.int32(time)), params)) == over


@environments
def test_episodes_begin_where_gymnasium_begins_them(name):
    environment, params = rl.make(name)
    keys = jax.random.split(jax.random.key(0), 2_000)
    _, states = jax.jit(jax.vmap(environment.reset_env, (0, None)))(keys, params)
    numbers = numbers_of(states)
    ranges = {
        "CartPole-v1": [(-0.05, 0.05)] * 4,
        "Acrobot-v1": [(-0.1, 0.1)] * 4,
        "MountainCar-v0": [(-0.6, -0.4), (0, 0)],
    }
    for column, (low, high) in zip(numbers.T, ranges[name], strict=True):
        assert low <= column.min() <= low + 0.01 * (high - low) + 1e-7
        assert high - 0.01 * (high - low) - 1e-7 <= column.max() <= high
