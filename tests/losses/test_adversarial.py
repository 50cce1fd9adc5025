"""Games at their analytic optimum, and penalties of critics whose slope is known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from scipy.special import expit

from jaxvision.losses import adversarial

ZERO = jnp.zeros(3)
GAMES = ("minimax", "non_saturating", "least_squares", "hinge", "wasserstein")


@pytest.mark.parametrize(
    ("name", "score", "of_critic", "of_generator"),
    [
        ("minimax", 0.0, math.log(4), -math.log(2)),
        ("non_saturating", 0.0, math.log(4), math.log(2)),
        ("least_squares", 0.5, 0.25, 0.125),
        ("hinge", 0.0, 2.0, 0.0),
        ("wasserstein", 0.7, 0.0, -0.7),
    ],
)
def test_where_both_distributions_are_equal(name, score, of_critic, of_generator) -> None:
    loss = getattr(adversarial, name)()
    scores = jnp.full(3, score)
    np.testing.assert_allclose(loss.critic(scores, scores), of_critic, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(scores), of_generator, rtol=1e-6)
    if name in ("minimax", "non_saturating", "least_squares"):  # the critic cannot do better
        total = lambda both: loss.critic(both, both).sum()  # noqa: E731
        np.testing.assert_allclose(jax.grad(total)(scores), 0, atol=1e-6)


def test_the_best_discriminator_of_two_known_densities_is_the_sigmoid_of_their_log_ratio() -> None:
    """Of a discrete space: p and q are known, and the critic's number of each point is free."""
    p, q = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.1, 0.3, 0.6])
    loss = adversarial.non_saturating()

    def expected(scores):
        return (
            p * loss.critic(scores, jnp.full(3, -1e3)) + q * loss.critic(jnp.full(3, 1e3), scores)
        ).sum()

    best = jnp.log(p / q)
    np.testing.assert_allclose(jax.grad(expected)(best), 0, atol=1e-6)
    ratio = p / (p + q)
    np.testing.assert_allclose(expit(best), ratio, rtol=1e-6)
    divergence = (p * jnp.log(ratio) + q * jnp.log(1 - ratio)).sum()  # 2 JS - log 4
    np.testing.assert_allclose(expected(best), -divergence, rtol=1e-5)


def test_generators_gradients_where_the_critic_is_sure() -> None:
    sure = jnp.array([-30.0])
    games = adversarial.minimax(), adversarial.non_saturating()
    of_minimax, of_other = (
        jax.grad(lambda fake, game=game: game.generator(fake).sum())(sure) for game in games
    )
    assert abs(float(of_minimax[0])) < 1e-12
    np.testing.assert_allclose(of_other, -1, rtol=1e-6)


@pytest.mark.parametrize("name", GAMES)
def test_numbers_however_large_have_finite_gradients(name) -> None:
    loss = getattr(adversarial, name)()
    extreme = jnp.array([-1e4, 1e4], jnp.float32)
    both = jax.grad(lambda r, f: loss.critic(r, f).sum() + loss.generator(f).sum(), (0, 1))
    assert all(np.isfinite(each).all() for each in both(extreme, extreme[::-1]))
    values = loss.critic(extreme.astype(jnp.bfloat16), extreme.astype(jnp.bfloat16))
    assert values.dtype == jnp.float32
    assert loss.critic(jnp.zeros(0), jnp.zeros(0)).shape == (0,)


def test_the_wasserstein_critic_of_two_normals() -> None:
    """The identity is the best critic of N(1, 1) and N(0, 1), at the distance 1."""
    real, fake = jnp.array([0.0, 2.0]), jnp.array([-1.0, 1.0])
    assert float(adversarial.wasserstein().critic(real, fake).mean()) == -1.0


def test_a_linear_critic_of_slope_one_costs_nothing() -> None:
    real, fake = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    direction = jnp.arange(12.0).reshape(4, 3)
    direction /= jnp.linalg.norm(direction)

    def penalties(real, fake):
        critic = lambda x: (x * direction).sum((1, 2))  # noqa: E731
        flat = lambda x: jnp.zeros(len(x)) + 0 * x.sum((1, 2))  # noqa: E731
        key = jax.random.key(1)
        return (
            adversarial.gradient_penalty(critic, real, fake, key),
            adversarial.gradient_penalty(flat, real, fake, key),
            adversarial.gradient_penalty(critic, real, fake, key, slope=0.0),
            adversarial.r1(lambda x: 3 * critic(x), real),
            jax.grad(
                lambda s: adversarial.gradient_penalty(lambda x: s * flat(x), real, fake, key).sum()
            )(1.0),
        )

    none, all_, squared, half, gradient = quick.jit(penalties)(real, fake)
    np.testing.assert_allclose(none, 0, atol=1e-10)
    np.testing.assert_allclose(all_, 1)
    np.testing.assert_allclose(squared, 1, rtol=1e-6)
    np.testing.assert_allclose(half, 4.5, rtol=1e-6)
    assert np.isfinite(gradient)


def test_the_penalty_is_that_of_points_between() -> None:
    """The slope of x^2 is 2x: between 0 and 1 the penalty lies between 0 and 1."""
    key = jax.random.key(3)
    real, fake = jnp.ones((1000, 1)), jnp.zeros((1000, 1))
    found = adversarial.gradient_penalty(lambda x: (x**2).sum(1), real, fake, key)
    share = jax.random.uniform(key, (1000, 1))
    np.testing.assert_allclose(found, (2 * share[:, 0] - 1) ** 2, rtol=1e-4, atol=1e-6)
    assert float(found.mean()) == pytest.approx(1 / 3, abs=0.03)


def test_shapes_that_differ() -> None:
    with pytest.raises(ValueError, match=r"as many generated .* got \(2, 3\) and \(1, 3\)"):
        adversarial.gradient_penalty(
            lambda x: x.sum(1), jnp.zeros((2, 3)), jnp.zeros((1, 3)), jax.random.key(0)
        )
