import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.losses import reinforcement

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures"
RLAX = json.loads((FIXTURES / "reinforcement.json").read_text())

KINDS = {
    "discounted_returns": reinforcement.discounted_returns,
    "lambda_returns": lambda *x, **o: reinforcement.lambda_returns(*x, lambda_=0.7, **o),
    "n_step_returns": lambda *x, **o: reinforcement.n_step_returns(*x, n=3, **o),
}


def generalized(rewards, discounts, values, **options):
    return reinforcement.generalized_advantages(
        rewards, discounts, values[:-1], values[1:], lambda_=0.7, **options
    )


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def test_equal_rlax():
    def of_each_kind(rewards, discounts, values):
        steps = (rewards, discounts, values[1:])
        results = {name: kind(*steps) for name, kind in KINDS.items()}
        return results | {"generalized_advantages": generalized(rewards, discounts, values)}

    inputs = [np.array(RLAX["inputs"][f"time_{x}"]) for x in ("rewards", "discounts", "values")]
    with jax.enable_x64(True):
        results = run(of_each_kind, *inputs)
    assert set(results) == set(RLAX["returns"])
    for name, actual in results.items():
        np.testing.assert_allclose(actual, RLAX["returns"][name], rtol=1e-12, err_msg=name)


def test_truncated_steps_cut_two_episodes_apart():
    """Two episodes in one sequence are as each alone, whatever the values of the other."""

    def whole_and_parts(truncated, *steps):
        first, second = ([x[part] for x in steps] for part in (slice(4), slice(4, 7)))
        return {
            name: (kind(*steps, truncated=truncated), kind(*first), kind(*second))
            for name, kind in KINDS.items()
        }

    rewards, next_values = np.random.default_rng(0).normal(size=(2, 7, 3))
    truncated = np.zeros((7, 3), bool)
    truncated[3] = True
    results = run(whole_and_parts, truncated, rewards, np.full((7, 3), 0.9), next_values)
    for name, (whole, *parts) in results.items():
        alone = np.concatenate(parts)
        np.testing.assert_allclose(whole, alone, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_truncated_episode_bootstraps_and_a_terminated_one_does_not():
    def truncated_and_terminated(rewards, next_values):
        returns = functools.partial(reinforcement.lambda_returns, lambda_=0.5)
        cut = jnp.array([True, True])
        truncated = returns(rewards, jnp.full(2, 0.9), next_values, truncated=cut)
        return truncated, returns(rewards, jnp.zeros(2), next_values)

    ones = np.ones(2, np.float32)
    truncated, terminated = run(truncated_and_terminated, ones, 10 * ones)
    np.testing.assert_allclose(truncated, [10.0, 10.0])
    np.testing.assert_allclose(terminated, [1.0, 1.0])


def test_limits_of_lambda_and_n():
    def limits(*steps):
        one_step = (
            reinforcement.lambda_returns(*steps, lambda_=0.0),
            reinforcement.n_step_returns(*steps, n=1),
        )
        to_the_end = [reinforcement.n_step_returns(*steps, n=n) for n in (6, 60)]
        return one_step, to_the_end, reinforcement.discounted_returns(*steps)

    rng = np.random.default_rng(1)
    rewards, discounts, values = rng.normal(size=6), np.full(6, 0.8), rng.normal(size=6)
    one_step, to_the_end, discounted = run(limits, rewards, discounts, values)
    np.testing.assert_allclose(one_step, [rewards + discounts * values] * 2, rtol=1e-5)
    np.testing.assert_allclose(to_the_end, [discounted] * 2, rtol=1e-5)


@pytest.mark.parametrize("lambda_", [-0.1, 1.1, float("nan")])
def test_lambda_outside_its_range(lambda_):
    returns = functools.partial(reinforcement.lambda_returns, lambda_=lambda_)
    with pytest.raises(ValueError, match=r"lambda_ must be in \[0, 1\]"):
        jax.eval_shape(returns, np.ones(2), np.ones(2), np.ones(2))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("n", [0, 1.5])
def test_n_that_is_no_count(n):
    returns = functools.partial(reinforcement.n_step_returns, n=n)
    with pytest.raises(ValueError, match=f"n must be a whole number, at least 1, got {n}"):
        jax.eval_shape(returns, np.ones(2), np.ones(2), np.ones(2))


def test_an_empty_sequence_has_no_returns():
    none = np.zeros((0, 4), np.float32)
    results = run(lambda none: [kind(none, none, none) for kind in KINDS.values()], none)
    assert [result.shape for result in results] == [(0, 4)] * len(KINDS)
