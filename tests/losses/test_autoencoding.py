"""Penalties of codes: closed forms, Jacobians by forward mode, extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from scipy.special import rel_entr

from jaxvision import losses


def test_sparsity_is_the_divergence_of_mean_activities() -> None:
    codes = np.random.default_rng(0).uniform(size=(6, 4)).astype(np.float32)
    weight = np.float32([1, 1, 0, 1, 2, 0])
    mean = (codes * weight[:, None]).sum(0) / weight.sum()
    expected = (rel_entr(0.1, mean) + rel_entr(0.9, 1 - mean)).sum()
    found = losses.sparsity_divergence(jnp.asarray(codes), 0.1, jnp.asarray(weight))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    at_target = losses.sparsity_divergence(jnp.full((3, 5), 0.2), 0.2)
    assert float(at_target) == pytest.approx(0, abs=1e-6)


def test_activities_of_0_and_1_are_finite() -> None:
    both = quick.jit(jax.value_and_grad(lambda codes: losses.sparsity_divergence(codes, 0.05)))
    for codes in (np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)):
        value, gradient = both(codes)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    empty = quick.jit(lambda codes: losses.sparsity_divergence(codes, 0.05))
    assert float(empty(np.zeros((0, 3), np.float32))) == 0
    with pytest.raises(ValueError, match="target must lie between 0 and 1, got 1"):
        losses.sparsity_divergence(jnp.zeros((2, 3)), 1)


def test_the_jacobian_is_that_of_forward_mode() -> None:
    matrix = jax.random.normal(jax.random.key(0), (12, 3))
    images = jax.random.normal(jax.random.key(1), (4, 2, 6, 1))

    def encode(images):
        return jnp.tanh(images.reshape(len(images), -1) @ matrix)

    def both():
        whole = jax.vmap(jax.jacfwd(lambda image: encode(image[None])[0]))(images)
        return losses.jacobian_norm(encode, images), (whole**2).sum((1, 2, 3, 4))

    found, expected = quick.jit(both)()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_absolute_values() -> None:
    codes = jnp.array([[1.0, -3.0], [0.0, 0.5]], jnp.bfloat16)
    found = losses.activation_l1(codes)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, [4, 0.5])
