import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.losses import reinforcement

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures"
RLAX = json.loads((FIXTURES / "reinforcement.json").read_text())


def arrays():
    """The fixture's inputs; float64 where x64 is on."""
    return {name: jnp.asarray(value) for name, value in RLAX["inputs"].items()}


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


@pytest.mark.parametrize("name", RLAX["losses"])
def test_values_and_gradients_equal_rlax(name):
    with jax.enable_x64(True):
        x = arrays()
        learns, loss = cases(x)[name]

        def total(learns):
            values = loss(learns)
            return values.sum(), values

        gradient, values = jax.jit(jax.grad(total, has_aux=True))(x[learns])
        assert values.dtype == jnp.float64
        rtol = 1e-6 if "quantile" in name else 1e-11  # rlax weighs quantiles in float32
        expected = RLAX["losses"][name]
        np.testing.assert_allclose(values, expected["values"], rtol=rtol, atol=1e-14)
        np.testing.assert_allclose(gradient, expected["gradient"], rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("name", RLAX["losses"])
def test_half_precision_is_computed_in_float32(name):
    x = arrays()
    learns, loss = cases(x)[name]
    narrow = x[learns].astype(jnp.bfloat16)
    values = jax.jit(loss)(narrow)
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, jax.jit(loss)(narrow.astype(jnp.float32)), rtol=1e-5)


@pytest.mark.parametrize("name", RLAX["losses"])
def test_any_number_of_batch_axes(name):
    x = arrays()
    flat = jax.jit(cases(x)[name][1])(x[cases(x)[name][0]])
    fixed = ("support",)
    folded = {
        key: value if key in fixed else value.reshape(2, 3, *value.shape[1:])
        for key, value in x.items()
        if not key.startswith("time")
    }
    learns, loss = cases(folded)[name]
    np.testing.assert_allclose(jax.jit(loss)(folded[learns]), flat.reshape(2, 3), rtol=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in RLAX["losses"] if name not in ("td_error", "entropy")]
)
@pytest.mark.parametrize("action", [-1, 3])
def test_an_action_that_there_is_not_gives_nan(name, action):
    x = arrays()
    x["actions"] = x["actions"].at[2].set(action)
    learns, loss = cases(x)[name]
    assert np.isnan(jax.jit(loss)(x[learns])).tolist() == [row == 2 for row in range(6)]


def test_the_selector_chooses_and_the_target_values():
    q, next_q = jnp.zeros((1, 2)), jnp.array([[1.0, 5.0]])
    step = (jnp.array([0]), jnp.zeros(1), jnp.ones(1))
    error = reinforcement.q_learning_error(q, *step, next_q, selector=jnp.array([[9.0, 0.0]]))
    np.testing.assert_allclose(error, [1.0])


@pytest.mark.parametrize("place", [-5.0, -2.0, -0.3, 0.0, 1.1, 2.0, 7.0])
def test_a_projection_keeps_the_mean_inside_the_support(place):
    support = jnp.linspace(-2, 2, 9)
    projected = reinforcement.categorical_projection(jnp.array([place]), jnp.ones(1), support)
    np.testing.assert_allclose(projected.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(projected @ support, np.clip(place, -2, 2), atol=1e-6)
    assert (projected >= 0).all()


def test_quantiles_of_a_known_return_are_found():
    """The loss of deterministic targets is least where every quantile is the target."""
    quantiles = jnp.linspace(-1, 1, 8).reshape(1, 1, 8)

    def loss(quantiles):
        return reinforcement.quantile_q_learning(
            quantiles, jnp.array([0]), jnp.full(1, 3.0), jnp.zeros(1), quantiles
        ).sum()

    @jax.jit
    def descend(quantiles):
        def step(_, quantiles):
            return quantiles - 0.5 * jax.grad(loss)(quantiles)

        return jax.lax.fori_loop(0, 500, step, quantiles)

    np.testing.assert_allclose(descend(quantiles), jnp.full((1, 1, 8), 3.0), atol=1e-3)


def test_impossible_actions_have_no_entropy_and_no_gradient():
    logits = jnp.array([[0.0, 0.0, -jnp.inf]])
    value, gradient = jax.value_and_grad(lambda x: reinforcement.entropy(x).sum())(logits)
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, jnp.zeros((1, 3)), atol=1e-7)


def test_no_gradient_where_the_ratio_has_gone_far_enough():
    old = jnp.log(jnp.array([0.3, 0.8]))  # the policy gives 0.5 to both
    advantages = jnp.array([1.0, -1.0])

    def loss(logits):
        return reinforcement.clipped_surrogate(
            logits, jnp.array([0, 0]), old, advantages, clip=0.2
        ).sum()

    np.testing.assert_array_equal(jax.grad(loss)(jnp.zeros((2, 2))), jnp.zeros((2, 2)))


def test_a_value_moves_no_further_than_the_clip_pays():
    errors = reinforcement.clipped_value_error(
        jnp.array([1.0, 0.1]), jnp.zeros(2), jnp.array([1.0, 1.0]), clip=0.2
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
    """Each atom goes to its two neighbours so that the mean stays, as in rlax."""
    support = jnp.array([0.0, 1.0, 10.0])
    ones = jnp.ones(1)
    for atom, expected in ((1.0, [0, 1, 0]), (0.25, [0.75, 0.25, 0]), (4.0, [0, 6 / 9, 3 / 9])):
        got = reinforcement.categorical_projection(jnp.array([atom]), ones, support)
        np.testing.assert_allclose(got, expected, atol=1e-6)
        assert float(got @ support) == pytest.approx(atom, rel=1e-6)
    with pytest.raises(ValueError, match="a support needs 2 points at least, got 1"):
        reinforcement.categorical_projection(ones, ones, ones)
    with pytest.raises(ValueError, match=r"a support must rise, got \[10.  1.  0.\]"):
        reinforcement.categorical_projection(ones, ones, support[::-1])


def test_long_returns_of_short_numbers():
    """Sums of bfloat16 rewards are float32: in bfloat16 they would end at 64."""
    rewards = jnp.ones(200, jnp.bfloat16)
    discounts, values = jnp.full(200, 0.99), jnp.zeros(200)
    returns = reinforcement.discounted_returns(rewards, discounts, values)
    assert returns.dtype == jnp.float32
    np.testing.assert_allclose(returns[0], (1 - 0.99**200) / 0.01, rtol=1e-4)
