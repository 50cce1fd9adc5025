"""Likelihoods: against torch.distributions' formulas, sums over all images, extreme outputs."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
import scipy.stats

from jaxvision.losses import variational

LIKELIHOODS = [
    variational.Bernoulli(),
    variational.Gaussian(),
    variational.Gaussian(scale=0.3),
    variational.DiscretizedLogistic(levels=16),
]


def drawn(likelihood, shape=(3, 4, 2, 2), scale=1.0):
    random = np.random.default_rng(0)
    outputs = scale * random.normal(size=(*shape[:-1], shape[-1] * likelihood.numbers))
    images = random.integers(0, 16, shape) / 15
    return jnp.asarray(outputs, jnp.float32), jnp.asarray(images, jnp.float32)


def test_bernoulli_is_the_cross_entropy() -> None:
    outputs, images = drawn(variational.Bernoulli())
    p = 1 / (1 + np.exp(-np.asarray(outputs, np.float64)))
    values = np.asarray(images) * np.log(p) + (1 - np.asarray(images)) * np.log(1 - p)
    found = variational.Bernoulli().log_prob(outputs, images)
    np.testing.assert_allclose(found, values.sum((1, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("likelihood", [variational.Gaussian(), variational.Gaussian(scale=0.3)])
def test_gaussian_is_scipys(likelihood) -> None:
    outputs, images = drawn(likelihood)
    mean, scale = (
        (outputs, 0.3)
        if likelihood.scale
        else (outputs[..., :2], np.exp(np.asarray(outputs[..., 2:], np.float64)))
    )
    values = scipy.stats.norm.logpdf(images, mean, scale)
    np.testing.assert_allclose(
        likelihood.log_prob(outputs, images), values.sum((1, 2, 3)), rtol=1e-5
    )


def test_levels_of_a_gaussian_are_counted_in_steps() -> None:
    outputs, images = drawn(variational.Gaussian())
    plain, counted = (
        variational.Gaussian(levels=levels).log_prob(outputs, images) for levels in (None, 16)
    )
    np.testing.assert_allclose(plain - counted, 16 * math.log(16), rtol=1e-5)


def by_sigmoids(outputs, images):
    """The log-probability of 16 levels, as a difference of sigmoids, in float64."""
    mean, scale = outputs[..., :2], np.exp(outputs[..., 2:])
    above = np.where(images > 1 - 1e-6, np.inf, (images + 1 / 30 - mean) / scale)
    below = np.where(images < 1e-6, -np.inf, (images - 1 / 30 - mean) / scale)
    log_probs = np.log(scipy.stats.logistic.cdf(above) - scipy.stats.logistic.cdf(below))
    return log_probs.sum((1, 2, 3))


def test_discretized_logistic_is_a_difference_of_sigmoids() -> None:
    likelihood = variational.DiscretizedLogistic(levels=16)
    outputs, images = drawn(likelihood)
    expected = by_sigmoids(np.asarray(outputs, np.float64), np.asarray(images, np.float64))
    np.testing.assert_allclose(likelihood.log_prob(outputs, images), expected, rtol=1e-4)


def test_derivatives_of_a_discretized_logistic() -> None:
    """By finite differences, in the lowest and the highest level and between."""
    likelihood = variational.DiscretizedLogistic(levels=16)
    outputs, images = (np.array(each, np.float64) for each in drawn(likelihood, (1, 4, 2, 2)))
    images.flat[:3], images.flat[-3:] = 0, 1
    tiny = 1e-5
    steps = tiny * np.eye(outputs.size).reshape(-1, *outputs.shape[1:])
    higher, lower = (by_sigmoids(outputs + sign * steps, images) for sign in (1, -1))
    expected = ((higher - lower) / (2 * tiny)).reshape(outputs.shape)

    def derivatives(outputs, images):
        def score(outputs):
            return likelihood.log_prob(outputs, images)[0]

        gradient, curvature = jax.jvp(jax.grad(score), [outputs], [jnp.ones_like(outputs)])
        return gradient, curvature, jax.jvp(score, [outputs], [outputs])[1]

    with jax.enable_x64(True):
        run = quick.jit(derivatives)
        gradient, curvature, along = run(outputs, images)
        nearby = [np.asarray(run(outputs + sign * tiny, images)[0]) for sign in (1, -1)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(curvature, (nearby[0] - nearby[1]) / (2 * tiny), atol=1e-7)
    np.testing.assert_allclose(along, np.sum(expected * outputs), rtol=1e-7)


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_probabilities_of_all_images_sum_to_one(levels) -> None:
    likelihood = variational.DiscretizedLogistic(levels=levels)
    images = np.array([*itertools.product(np.linspace(0, 1, levels), repeat=2)], np.float32)
    outputs = np.broadcast_to(np.float32([0.2, 1.3, -1.0, -3.0]), (len(images), 4))
    total = np.exp(likelihood.log_prob(jnp.asarray(outputs), jnp.asarray(images))).sum()
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_extreme_outputs_have_finite_values_and_gradients(likelihood) -> None:
    outputs, images = drawn(likelihood, (4, 1, 1, 1))
    extremes = [np.full(outputs.shape, each, np.float32) for each in (-1e4, 1e4, -90.0, 90.0)]

    def both(outputs):
        return jax.value_and_grad(lambda x: likelihood.log_prob(x, images).sum())(outputs)

    for value, gradient in map(quick.jit(both), extremes):
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_types_empty_batches_and_marks(likelihood) -> None:
    outputs, images = drawn(likelihood)
    assert likelihood.log_prob(outputs[:0], images[:0]).shape == (0,)
    assert likelihood.log_prob(outputs.astype(jnp.bfloat16), images).dtype == jnp.float32
    upper = jnp.zeros(images.shape, bool).at[:, :2].set(True)
    whole, first, second = (
        likelihood.log_prob(outputs, images, where) for where in (None, upper, ~upper)
    )
    np.testing.assert_allclose(whole, first + second, rtol=1e-5)
    hidden = likelihood.log_prob(outputs, jnp.where(upper, images, jnp.nan), upper)
    np.testing.assert_array_equal(hidden, first)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_samples_have_the_mean_that_is_said(likelihood) -> None:
    outputs = jnp.tile(jnp.asarray([0.4, -2.0][: likelihood.numbers]), (4000, 1, 1, 1))
    samples = likelihood.sample(jax.random.key(0), outputs)
    assert samples.shape == (4000, 1, 1, 1)
    expected = float(likelihood.mean(outputs)[0, 0, 0, 0])
    assert float(samples.mean()) == pytest.approx(expected, abs=0.03)
    if isinstance(likelihood, variational.DiscretizedLogistic):
        np.testing.assert_allclose(samples * 15, jnp.round(samples * 15), atol=1e-5)


def test_what_is_observed() -> None:
    key, images = jax.random.key(0), jnp.full((2000, 1), 0.25)
    drawn = variational.Bernoulli(binarize=True).observe(key, images)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert float(drawn.mean()) == pytest.approx(0.25, abs=0.03)
    noisy = variational.Gaussian(levels=5).observe(key, images)
    assert 0.2 <= float(noisy.min()) < 0.22
    assert 0.38 < float(noisy.max()) < 0.4
    for likelihood in (variational.Bernoulli(), variational.Gaussian()):
        assert likelihood.observe(key, images) is images
    near = variational.DiscretizedLogistic(levels=5).observe(key, images + 0.1)
    np.testing.assert_array_equal(near, images)


def test_decoders_of_another_shape_are_refused() -> None:
    images = jnp.zeros((2, 4, 4, 1))
    with pytest.raises(
        ValueError, match=r"must give the shape \(2, 4, 4, 2\), and gives \(2, 4, 4, 1\)"
    ):
        variational.DiscretizedLogistic().log_prob(images, images)


@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, variational.Gaussian(levels=8)])
def test_descriptions_come_back(likelihood) -> None:
    described = variational.describe_likelihood(likelihood)
    assert variational.likelihood_from_description(described) == likelihood


def test_values_that_are_not_allowed() -> None:
    with pytest.raises(ValueError, match="scale must be positive and finite, got 0"):
        variational.Gaussian(scale=0)
    with pytest.raises(ValueError, match="levels must be a whole number, at least 2, got 1"):
        variational.DiscretizedLogistic(levels=1)
    with pytest.raises(ValueError, match="unknown likelihood 'gauss'"):
        variational.likelihood_from_description({"name": "gauss"})
