import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


@pytest.mark.parametrize("name", RLAX["returns"])
def test_equal_rlax(name):
    with jax.enable_x64(True):
        rewards, discounts, values = (
            jnp.asarray(RLAX["inputs"][f"time_{part}"])
            for part in ("rewards", "discounts", "values")
        )
        if name == "generalized_advantages":
            actual = jax.jit(generalized)(rewards, discounts, values)
        else:
            actual = jax.jit(KINDS[name])(rewards, discounts, values[1:])
        np.testing.assert_allclose(actual, RLAX["returns"][name], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_truncated_steps_cut_two_episodes_apart(kind):
    """Two episodes in one sequence are as each alone, whatever the values of the other."""
    rng = np.random.default_rng(0)
    rewards, next_values = rng.normal(size=(2, 7, 3))
    discounts = np.full((7, 3), 0.9)
    truncated = np.zeros((7, 3), bool)
    truncated[3] = True
    whole = kind(
        *map(jnp.asarray, (rewards, discounts, next_values)), truncated=jnp.asarray(truncated)
    )
    for part in (slice(0, 4), slice(4, 7)):
        alone = kind(*(jnp.asarray(x[part]) for x in (rewards, discounts, next_values)))
        np.testing.assert_allclose(whole[part], alone, rtol=1e-5, atol=1e-6)


def test_a_truncated_episode_bootstraps_and_a_terminated_one_does_not():
    rewards, next_values = jnp.ones(2), jnp.full(2, 10.0)
    cut = jnp.array([True, True])
    truncated = reinforcement.lambda_returns(
        rewards, jnp.full(2, 0.9), next_values, lambda_=0.5, truncated=cut
    )
    np.testing.assert_allclose(truncated, [10.0, 10.0])
    terminated = reinforcement.lambda_returns(rewards, jnp.zeros(2), next_values, lambda_=0.5)
    np.testing.assert_allclose(terminated, [1.0, 1.0])


def test_limits_of_lambda_and_n():
    rng = np.random.default_rng(1)
    steps = [jnp.asarray(x) for x in (rng.normal(size=6), np.full(6, 0.8), rng.normal(size=6))]
    one_step = steps[0] + steps[1] * steps[2]
    np.testing.assert_allclose(
        reinforcement.lambda_returns(*steps, lambda_=0.0), one_step, rtol=1e-5
    )
    np.testing.assert_allclose(reinforcement.n_step_returns(*steps, n=1), one_step, rtol=1e-5)
    to_the_end = reinforcement.discounted_returns(*steps)
    for n in (6, 60):
        np.testing.assert_allclose(reinforcement.n_step_returns(*steps, n=n), to_the_end, rtol=1e-5)


@pytest.mark.parametrize("lambda_", [-0.1, 1.1, float("nan")])
def test_lambda_outside_its_range(lambda_):
    with pytest.raises(ValueError, match=r"lambda_ must be in \[0, 1\]"):
        reinforcement.lambda_returns(jnp.ones(2), jnp.ones(2), jnp.ones(2), lambda_=lambda_)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("n", [0, 1.5])
def test_n_that_is_no_count(n):
    with pytest.raises(ValueError, match=f"n must be a whole number, at least 1, got {n}"):
        reinforcement.n_step_returns(jnp.ones(2), jnp.ones(2), jnp.ones(2), n=n)


def test_an_empty_sequence_has_no_returns():
    none = jnp.zeros((0, 4))
    for kind in KINDS.values():
        assert kind(none, none, none).shape == (0, 4)
