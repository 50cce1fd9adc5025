"""The divergence of a softmax over pixels: closed forms, likelihoods, and what is nothing."""

import jax
import numpy as np
import pytest
import quick
from scipy import stats

from jaxvision import losses

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (3, 4, 5)).astype(np.float32)
DENSITY = RANDOM.gamma(0.3, size=(3, 4, 5)).astype(np.float32)
DENSITY[0, 1, 2] = 0


def value_and_gradient(logits, density):
    def total(logits, density):
        values = losses.density_divergence(logits, density)
        return values.sum(), values

    (_, values), gradient = quick.jit(jax.value_and_grad(total, has_aux=True))(logits, density)
    return np.asarray(values), np.asarray(gradient)


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=(1, 2), keepdims=True)


def test_it_is_scipys_entropy_and_its_gradient_the_difference() -> None:
    values, gradient = value_and_gradient(LOGITS, DENSITY)
    p, q = softmax(LOGITS), DENSITY / DENSITY.sum(axis=(1, 2), keepdims=True)
    expected = [stats.entropy(a.ravel(), b.ravel()) for a, b in zip(q, p, strict=True)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, p - q, atol=1e-6)


def test_of_two_normal_distributions() -> None:
    """log(s / t) + (t^2 + (m - n)^2) / (2 s^2) - 1/2, along a long row of pixels."""
    x = np.arange(400.0)
    m, s, n, t = 210.0, 14.0, 190.0, 9.0
    logits = (-((x - m) ** 2) / (2 * s**2)).astype(np.float32)[None, None]
    density = stats.norm(n, t).pdf(x).astype(np.float32)[None, None]
    values, _ = value_and_gradient(logits, density)
    expected = np.log(s / t) + (t**2 + (m - n) ** 2) / (2 * s**2) - 0.5
    assert values[0] == pytest.approx(expected, rel=1e-4)


def test_of_counts_it_is_the_likelihood_without_the_entropy() -> None:
    counts = RANDOM.integers(0, 4, LOGITS.shape)
    values, _ = value_and_gradient(LOGITS, counts)
    p = softmax(LOGITS)
    for row in range(3):
        likelihood = np.average(-np.log(p[row]), weights=counts[row])
        entropy = stats.entropy(counts[row].ravel())
        assert values[row] == pytest.approx(likelihood - entropy, rel=1e-5)


def test_without_any_density_it_is_zero_with_a_gradient_of_zero() -> None:
    density = DENSITY.copy()
    density[1] = 0
    values, gradient = value_and_gradient(LOGITS, density)
    assert values[1] == 0
    assert not gradient[1].any()
    assert np.isfinite(gradient).all()
    assert (values[[0, 2]] > 0).all()


@pytest.mark.usefixtures("unchecked")
def test_shapes_that_differ() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(3, 4, 5\) and \(3, 4, 4\)"):
        losses.density_divergence(LOGITS, DENSITY[..., 1:])
