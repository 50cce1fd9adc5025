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


INPUTS = {name: np.array(value) for name, value in RLAX["inputs"].items()}


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def cases(x):
    step = (x["actions"], x["rewards"], x["discounts"])
    selector = {"selector": x["selector"]}

    def categorical(logits, **options):
        next_logits = x["next_distributions"]
        return reinforcement.categorical_q_learning(
            logits, *step, next_logits, x["support"], **options
        )

    def quantile(quantiles, **options):
        next_quantiles = x["next_distributions"]
        return reinforcement.quantile_q_learning(quantiles, *step, next_quantiles, **options)

    return {
        "td_error": ("values", lambda v: reinforcement.td_error(v, *step[1:], x["next_values"])),
        "sarsa_error": (
            "q",
            lambda q: reinforcement.sarsa_error(q, *step, x["next_q"], x["next_actions"]),
        ),
        "q_learning_error": (
            "q",
            lambda q: reinforcement.q_learning_error(q, *step, x["next_q"]),
        ),
        "double_q_learning_error": (
            "q",
            lambda q: reinforcement.q_learning_error(q, *step, x["next_q"], **selector),
        ),
        "categorical_q_learning": ("distributions", categorical),
        "categorical_double_q_learning": ("distributions", lambda q: categorical(q, **selector)),
        "quantile_q_learning": ("distributions", quantile),
        "quantile_q_learning_without_huber": ("distributions", lambda q: quantile(q, kappa=0.0)),
        "policy_gradient": (
            "q",
            lambda q: reinforcement.policy_gradient(q, x["actions"], x["advantages"]),
        ),
        "clipped_surrogate": (
            "q",
            lambda q: reinforcement.clipped_surrogate(
                q, x["actions"], x["old_log_probabilities"], x["advantages"]
            ),
        ),
        "entropy": ("q", reinforcement.entropy),
    }


def values_of_all(x):
    return {name: loss(x[learns]) for name, (learns, loss) in cases(x).items()}


def test_values_and_gradients_equal_rlax():
    def of_all(x):
        def with_gradient(learns, loss):
            values, pull = jax.vjp(loss, x[learns])
            return values, *pull(jnp.ones_like(values))

        return {name: with_gradient(*case) for name, case in cases(x).items()}

    with jax.enable_x64(True):
        results = run(of_all, INPUTS)
    assert set(results) == set(RLAX["losses"])
    for name, (values, gradient) in results.items():
        assert values.dtype == np.float64, name
        close = functools.partial(
            np.testing.assert_allclose,
            rtol=1e-6 if "quantile" in name else 1e-11,  # rlax weighs quantiles in float32
            atol=1e-14,
            err_msg=name,
        )
        close(values, RLAX["losses"][name]["values"])
        close(gradient, RLAX["losses"][name]["gradient"])


def test_half_precision_is_computed_in_float32():
    def narrow_and_wide(x):
        def both(learns, loss):
            narrow = x[learns].astype(jnp.bfloat16)
            return loss(narrow), loss(narrow.astype(jnp.float32))

        return {name: both(*case) for name, case in cases(x).items()}

    for name, (narrow, wide) in run(narrow_and_wide, INPUTS).items():
        assert narrow.dtype == np.float32, name
        np.testing.assert_allclose(narrow, wide, rtol=1e-5, err_msg=name)


def test_any_number_of_batch_axes():
    folded = {
        name: value if name == "support" else value.reshape(2, 3, *value.shape[1:])
        for name, value in INPUTS.items()
        if not name.startswith("time")
    }
    flat, results = run(lambda *x: [values_of_all(each) for each in x], INPUTS, folded)
    for name, result in results.items():
        np.testing.assert_allclose(result, flat[name].reshape(2, 3), rtol=1e-6, err_msg=name)


def test_an_action_that_there_is_not_gives_nan():
    actions = np.stack([INPUTS["actions"]] * 2)
    actions[:, 2] = -1, 3
    axes = dict.fromkeys(INPUTS) | {"actions": 0}
    results = run(jax.vmap(values_of_all, (axes,)), INPUTS | {"actions": actions})
    for name, values in results.items():
        wrong = [row == 2 and name not in ("td_error", "entropy") for row in range(6)]
        assert np.isnan(values).tolist() == [wrong] * 2, name


def test_the_selector_chooses_and_the_target_values():
    def error(next_q, selector):
        step = (jnp.array([0]), jnp.zeros(1), jnp.ones(1))
        return reinforcement.q_learning_error(jnp.zeros((1, 2)), *step, next_q, selector=selector)

    np.testing.assert_allclose(run(error, np.float32([[1, 5]]), np.float32([[9, 0]])), [1.0])


def test_a_projection_keeps_the_mean_inside_the_support():
    def projection(place, support):
        return reinforcement.categorical_projection(place[None], jnp.ones(1), support)

    places = np.float32([-5.0, -2.0, -0.3, 0.0, 1.1, 2.0, 7.0])
    support = np.linspace(-2, 2, 9, dtype=np.float32)
    projected = run(jax.vmap(projection, (0, None)), places, support)
    np.testing.assert_allclose(projected.sum(axis=1), np.ones(7), rtol=1e-6)
    np.testing.assert_allclose(projected @ support, np.clip(places, -2, 2), atol=1e-6)
    assert (projected >= 0).all()


def test_quantiles_of_a_known_return_are_found():
    """The loss of deterministic targets is least where every quantile is the target."""

    def loss(quantiles):
        return reinforcement.quantile_q_learning(
            quantiles, jnp.array([0]), jnp.full(1, 3.0), jnp.zeros(1), quantiles
        ).sum()

    def descend(quantiles):
        def step(_, quantiles):
            return quantiles - 0.5 * jax.grad(loss)(quantiles)

        return jax.lax.fori_loop(0, 500, step, quantiles)

    quantiles = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 1, 8)
    np.testing.assert_allclose(run(descend, quantiles), np.full((1, 1, 8), 3.0), atol=1e-3)


def test_impossible_actions_have_no_entropy_and_no_gradient():
    value, gradient = run(
        jax.value_and_grad(lambda logits: reinforcement.entropy(logits).sum()),
        np.float32([[0, 0, -np.inf]]),
    )
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, np.zeros((1, 3)), atol=1e-7)


def test_no_gradient_where_the_ratio_has_gone_far_enough():
    def loss(logits, old, advantages):
        actions = jnp.array([0, 0])
        return reinforcement.clipped_surrogate(logits, actions, old, advantages, clip=0.2).sum()

    old = np.log(np.float32([0.3, 0.8]))  # the policy gives 0.5 to both
    gradient = run(jax.grad(loss), np.zeros((2, 2), np.float32), old, np.float32([1, -1]))
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


def test_a_value_moves_no_further_than_the_clip_pays():
    errors = run(
        lambda *values: reinforcement.clipped_value_error(*values, clip=0.2),
        np.float32([1.0, 0.1]),
        np.zeros(2, np.float32),
        np.ones(2, np.float32),
    )
    np.testing.assert_allclose(errors, [0.64, 0.81], rtol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_named():
    rows, q = jnp.ones(2), jnp.ones((2, 3))
    with pytest.raises(ValueError, match=r"\(1,\) and \(2, 3\)"):
        reinforcement.q_learning_error(q, jnp.array([0]), rows, rows, q)
    actions, distributions = jnp.array([0, 1]), jnp.ones((2, 3, 4))
    for kappa in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=f"kappa must not be negative, got {kappa}"):
            reinforcement.quantile_q_learning(
                distributions, actions, rows, rows, distributions, kappa=kappa
            )
    with pytest.raises(ValueError, match=r"one logit for each point .* \(2, 3, 4\) and \(5,\)"):
        reinforcement.categorical_q_learning(
            distributions, actions, rows, rows, distributions, jnp.arange(5.0)
        )
    with pytest.raises(ValueError, match="clip must be positive, got 0"):
        reinforcement.clipped_surrogate(q, actions, rows, rows, clip=0)
    with pytest.raises(ValueError, match=r"clip must be positive, got -0\.1"):
        reinforcement.clipped_value_error(rows, rows, rows, clip=-0.1)


@pytest.mark.usefixtures("unchecked")
def test_rows_are_never_paired_with_all_others():
    rows, columns, actions = jnp.ones(2), jnp.ones((2, 1)), jnp.zeros(2, jnp.int32)
    q, z = jnp.ones((2, 3)), jnp.ones((2, 3, 4))
    wrong = [
        lambda: reinforcement.td_error(rows, columns, rows, rows),
        lambda: reinforcement.q_learning_error(q, actions, columns, rows, q),
        lambda: reinforcement.categorical_q_learning(z, actions, rows, columns, z, jnp.arange(4.0)),
        lambda: reinforcement.quantile_q_learning(z, actions, columns, rows, z),
        lambda: reinforcement.policy_gradient(q, actions, columns),
        lambda: reinforcement.clipped_surrogate(q, actions, columns, rows),
        lambda: reinforcement.clipped_value_error(rows, columns, rows, clip=0.2),
        lambda: reinforcement.lambda_returns(rows, columns, rows, lambda_=0.5),
        lambda: reinforcement.n_step_returns(rows, rows, columns, n=2),
        lambda: reinforcement.generalized_advantages(rows, rows, columns, rows, lambda_=0.5),
        lambda: reinforcement.td_error(rows, rows, 0.99, rows),
        lambda: reinforcement.categorical_targets(rows, columns, z, jnp.arange(4.0)),
        lambda: reinforcement.categorical_projection(q, columns, jnp.arange(3.0)),
    ]
    for call in wrong:
        with pytest.raises(ValueError, match="shapes must be the same"):
            call()


def test_a_support_of_unequal_gaps():
    """Each atom goes to its two neighbors so that the mean stays, as in rlax."""

    def projections(atoms, support):
        project = jax.vmap(reinforcement.categorical_projection, (0, None, None))
        return project(atoms[:, None], jnp.ones(1), support)

    atoms, support = np.float32([1, 0.25, 4]), np.float32([0, 1, 10])
    projected = run(projections, atoms, support)
    expected = [[0, 1, 0], [0.75, 0.25, 0], [0, 6 / 9, 3 / 9]]
    np.testing.assert_allclose(projected, expected, atol=1e-6)
    np.testing.assert_allclose(projected @ support, atoms, rtol=1e-6)


def test_a_support_that_does_not_rise_is_refused():
    ones = jnp.ones(1)
    with pytest.raises(ValueError, match="a support needs 2 points at least, got 1"):
        reinforcement.categorical_projection(ones, ones, ones)
    with pytest.raises(ValueError, match=r"a support must rise, got \[10.  1.  0.\]"):
        reinforcement.categorical_projection(ones, ones, jnp.array([10.0, 1.0, 0.0]))


def test_long_returns_of_short_numbers():
    """Sums of bfloat16 rewards are float32: in bfloat16 they would end at 64."""
    rewards, values = np.ones(200, jnp.bfloat16), np.zeros(200, np.float32)
    discounts = np.full(200, 0.99, np.float32)
    returns = run(reinforcement.discounted_returns, rewards, discounts, values)
    assert returns.dtype == np.float32
    np.testing.assert_allclose(returns[0], (1 - 0.99**200) / 0.01, rtol=1e-4)
