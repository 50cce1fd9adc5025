"""The evidence lower bound: closed forms, and a model whose log-probabilities are known."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxvision.losses import variational


def test_the_divergence_of_normals() -> None:
    mean, variance = jnp.array([0.5, 0.0, -3.0, 1e-4]), jnp.array([0.25, 1.0, 4.0, 1.0])
    found = variational.gaussian_kl(mean, jnp.log(variance))
    expected = [0.44314718, 0.0, 0.5 * (9 + 4 - math.log(4) - 1), 0.5e-8]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
    assert variational.gaussian_kl(mean.astype(jnp.bfloat16), mean).dtype == jnp.float32
    near = variational.gaussian_kl(
        jnp.zeros(1), jnp.full(1, 1e-3)
    )  # v^2 / 4, not the rounding of 1
    np.testing.assert_allclose(near, 2.5e-7, rtol=1e-3)


def test_a_uniform_decoder_costs_784_log_2() -> None:
    images, code = jnp.ones((2, 28, 28, 1)), jnp.zeros((2, 3))
    bound = variational.elbo(variational.Bernoulli(), jnp.zeros_like(images), images, code, code)
    np.testing.assert_allclose(bound.nats, -543.42739, rtol=1e-6)
    np.testing.assert_allclose(bound.bits_per_dimension, 1, rtol=1e-6)
    assert bound.dimensions == 784


def linear_model():
    """x = z + noise of deviation 0.5 in one number: p(x) = N(0, 1.25), p(z | x) is normal too."""
    x = np.array([-1.0, 0.3, 2.0])
    variance = 1 / (1 + 1 / 0.25)
    mean = variance * x / 0.25
    return x, mean, variance, scipy.stats.norm.logpdf(x, 0, math.sqrt(1.25))


def test_with_the_true_posterior_the_bound_is_the_log_probability() -> None:
    x, mean, variance, log_p = linear_model()
    likelihood = variational.Gaussian(scale=0.5)
    codes = jnp.asarray(mean + math.sqrt(variance) * np.random.default_rng(0).normal(size=(5, 3)))

    def log_weight(z):
        likely = likelihood.log_prob(z[:, None], jnp.asarray(x)[:, None])
        return (
            likely
            + jax.scipy.stats.norm.logpdf(z)
            - jax.scipy.stats.norm.logpdf(z, mean, math.sqrt(variance))
        )

    weights = jax.vmap(log_weight)(codes)
    np.testing.assert_allclose(weights, np.broadcast_to(log_p, (5, 3)), rtol=1e-4)
    np.testing.assert_allclose(variational.importance_weighted_bound(weights), log_p, rtol=1e-4)


def test_more_codes_bound_no_worse() -> None:
    """With the prior for a posterior, on average over many draws."""
    x, _, _, log_p = linear_model()
    noise = np.random.default_rng(1).normal(size=(2000, 64, 3)).astype(np.float32)
    log_weights = jnp.asarray(scipy.stats.norm.logpdf(x, noise, 0.5))
    bounds = [
        np.asarray(jax.vmap(variational.importance_weighted_bound)(log_weights[:, :k])).mean(0)
        for k in (1, 2, 8, 64)
    ]
    for fewer, more in itertools.pairwise(bounds):
        assert (more > fewer).all()
    assert (bounds[-1] < log_p + 0.01).all()
    np.testing.assert_allclose(bounds[-1], log_p, atol=0.08)


def test_free_nats() -> None:
    kl = jnp.array([[0.0, 3.0], [0.2, 1.0], [9.0, jnp.nan]])
    weight = jnp.array([1, 1, 0])
    assert float(variational.free_nats(kl, 0.5, weight)) == pytest.approx(2.5)
    assert float(variational.free_nats(kl, 0.0, weight)) == pytest.approx(2.1)
    gradient = jax.grad(lambda kl: variational.free_nats(kl, 0.5, weight))(kl)
    np.testing.assert_allclose(gradient, [[0, 0.5], [0, 0.5], [0, 0]])
    assert float(variational.free_nats(kl[:0], 0.0)) == 0
    with pytest.raises(ValueError, match="least must not be negative, got -1"):
        variational.free_nats(kl, -1)


def test_a_bound_of_no_sample() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        variational.importance_weighted_bound(jnp.zeros((0, 3)))


def test_codes_do_not_broadcast(unchecked) -> None:
    images, one, two = jnp.zeros((2, 4, 4, 1)), jnp.zeros((1, 3)), jnp.zeros((2, 3))
    for mean, log_variance in ((one, one), (two, one), (two, two[:, :1])):
        with pytest.raises(ValueError, match=r"must have the shape \(images, latents\), got"):
            variational.elbo(variational.Bernoulli(), images, images, mean, log_variance)
