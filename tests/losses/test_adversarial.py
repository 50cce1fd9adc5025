"""Games at their analytic optimum, and penalties of critics whose slope is known."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
import scipy.integrate
import scipy.stats

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


GRID = np.linspace(-8, 9, 341)
REAL, FAKE = (scipy.stats.norm(*parameters).pdf(GRID) for parameters in ((0, 1), (1.5, 0.8)))
LOG_RATIO = jnp.asarray(np.log(REAL) - np.log(FAKE), jnp.float32)
BEST = {
    "minimax": LOG_RATIO,
    "non_saturating": LOG_RATIO,
    "least_squares": jax.nn.sigmoid(LOG_RATIO),
    "hinge": jnp.sign(LOG_RATIO),
}


def expected_loss(game, scores):
    """The critic's loss of scores on the grid, where p and q are two normal densities.

    The loss of a pair is the sum of a term of the real and a term of the generated example.
    """
    loss, zero = getattr(adversarial, game)().critic, jnp.zeros_like(scores)
    nothing = loss(zero, zero) / 2  # of either at the score 0
    of_real, of_fake = loss(scores, zero) - nothing, loss(zero, scores) - nothing
    return (GRID[1] - GRID[0]) * (REAL * of_real + FAKE * of_fake).sum()


@pytest.mark.parametrize("game", BEST)
def test_the_best_critic_of_two_normals(game) -> None:
    """No other scores on a grid are better, and the loss of the best is the known divergence."""
    random, step = np.random.default_rng(0), jnp.where(LOG_RATIO > 0, 0.01, -0.01)
    others = [BEST[game] + step, BEST[game] - step]  # too sure, and not sure enough
    others += [BEST[game] + scale * random.normal(size=len(GRID)) for scale in (0.03, 0.3, 3.0)]
    measure = functools.partial(expected_loss, game)
    least, *more = map(float, quick.jit(jax.vmap(measure))(jnp.stack([BEST[game], *others])))
    assert min(more) > least + 1e-6
    if game != "hinge":  # whose kink is the optimum
        gradient = quick.jit(jax.grad(measure))(BEST[game])
        np.testing.assert_allclose(gradient, 0, atol=1e-7)

    def integrand(x):
        p, q = scipy.stats.norm.pdf(x, 0, 1), scipy.stats.norm.pdf(x, 1.5, 0.8)
        if game == "hinge":
            return 2 * min(p, q)
        if game == "least_squares":
            return p * q / (p + q) / 2
        return -p * np.log(p / (p + q)) - q * np.log(q / (p + q))

    known = scipy.integrate.quad(integrand, -8, 9, points=(0, 1.5), limit=200)[0]
    assert least == pytest.approx(known, rel=1e-3 if game == "hinge" else 1e-5)


def test_of_equal_distributions_a_hinge_critic_gains_nothing() -> None:
    """Every score from -1 to 1 is equally good, and those outside are worse."""
    loss = adversarial.hinge()
    inside, outside = jnp.linspace(-1, 1, 9), jnp.array([-3.0, -1.01, 1.01, 3.0])
    np.testing.assert_allclose(loss.critic(inside, inside), 2, rtol=1e-6)
    assert (loss.critic(outside, outside) > 2).all()


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


def quantiles(distribution, count=4001):
    """Points of which each stands for an equal share of a distribution."""
    return distribution.ppf((np.arange(count) + 0.5) / count)


@pytest.mark.parametrize("shift", [-2.5, 0.0, 1.0])
def test_the_wasserstein_critic_of_two_shifted_normals(shift) -> None:
    """The best critic of N(m, 1) and N(0, 1) is x or -x; it finds the distance |m|."""
    fake = jnp.asarray(quantiles(scipy.stats.norm()), jnp.float32)
    real, loss = fake + shift, adversarial.wasserstein()
    sign = 1 if shift >= 0 else -1
    assert float(loss.critic(sign * real, sign * fake).mean()) == pytest.approx(
        -abs(shift), abs=1e-5
    )
    for critic in (jnp.tanh, jnp.sin, jnp.abs, lambda x: -jnp.abs(x - 1), lambda x: -sign * x):
        assert float(loss.critic(critic(real), critic(fake)).mean()) >= -abs(shift) - 1e-5


def test_the_wasserstein_critic_of_normals_of_two_widths() -> None:
    """Its slope is 1 or -1, by which distribution function is larger; scipy knows the distance."""
    distributions = scipy.stats.norm(0.4, 2.0), scipy.stats.norm(0, 0.7)
    real, fake = map(quantiles, distributions)
    points = np.sort(np.concatenate([real, fake]))
    of_real, of_fake = (each.cdf(points) for each in distributions)
    slopes = np.sign(of_fake - of_real)
    critic = np.concatenate([[0], np.cumsum(np.diff(points) * (slopes[1:] + slopes[:-1]) / 2)])
    scores = [jnp.asarray(np.interp(each, points, critic), jnp.float32) for each in (real, fake)]
    found = -adversarial.wasserstein().critic(*scores).mean()
    assert float(found) == pytest.approx(scipy.stats.wasserstein_distance(real, fake), rel=1e-3)


def test_r1_is_0_where_the_critic_is_flat() -> None:
    """Of two equal distributions the best D is 1/2 everywhere: no penalty, and no gradient."""
    images = jax.random.normal(jax.random.key(0), (4, 3, 3, 1))

    def critic(w, x):
        return jnp.tanh(x.reshape(len(x), -1) @ w)

    def both(w):
        values = adversarial.r1(lambda x: critic(w, x), images)
        gradient = jax.grad(lambda w: adversarial.r1(lambda x: critic(w, x), images).sum())(w)
        return values, gradient

    values, gradient = quick.jit(both)(jnp.zeros(9))
    np.testing.assert_array_equal(values, 0)
    np.testing.assert_array_equal(gradient, 0)
    values, _ = quick.jit(both)(jnp.full(9, 0.1))
    assert (values > 0).all()


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


@pytest.mark.parametrize("name", GAMES)
def test_scores_do_not_broadcast(name, unchecked) -> None:
    loss = getattr(adversarial, name)()
    for shape in ((4, 1), (4,), ()):
        with pytest.raises(ValueError, match=r"\(batch,\), one for each .* got \(3,\) \(real\)"):
            loss.critic(jnp.zeros(3), jnp.zeros(shape))
    with pytest.raises(ValueError, match="one for each example"):
        loss.critic(jnp.zeros((3, 1)), jnp.zeros((3, 1)))


def test_critics_of_several_scores_have_no_slope(unchecked) -> None:
    images, key = jnp.zeros((2, 3)), jax.random.key(0)
    for critic in (lambda x: x, lambda x: x.sum(1, keepdims=True), jnp.sum):
        for penalty in (
            lambda critic: adversarial.r1(critic, images),
            lambda critic: adversarial.gradient_penalty(critic, images, images, key),
        ):
            with pytest.raises(ValueError, match=r"one score per example, of shape \(2,\), and"):
                penalty(critic)
