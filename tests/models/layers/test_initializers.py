import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import layers

KEY = jax.random.key(0)


FAN_IN, FAN_OUT = 3 * 3 * 64, 3 * 3 * 128


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_normal", 2 / (FAN_IN + FAN_OUT)),
        ("glorot_uniform", 2 / (FAN_IN + FAN_OUT)),
        ("he_normal", 2 / FAN_IN),
        ("he_normal_fan_out", 2 / FAN_OUT),
        ("he_uniform", 2 / FAN_IN),
        ("lecun_normal", 1 / FAN_IN),
        ("normal_0.01", 1e-4),
        ("normal_0.02", 4e-4),
        ("orthogonal", 1 / FAN_IN),
        ("torch", 1 / (3 * FAN_IN)),
    ],
)
def test_initializer_variance(name, variance):
    kernel = layers.initializer(name)(KEY, (3, 3, 64, 128), jnp.float32)
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel.var(), variance, rtol=0.03)
    np.testing.assert_allclose(kernel.mean(), 0, atol=0.02 * math.sqrt(variance))
    if name in ("torch", "glorot_uniform", "he_uniform"):
        np.testing.assert_allclose(jnp.abs(kernel).max(), math.sqrt(3 * variance), rtol=1e-3)


def test_orthogonal_columns():
    kernel = layers.initializer("orthogonal")(KEY, (3, 3, 8, 16)).reshape(-1, 16)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=1e-5)


def test_unknown_initializer():
    with pytest.raises(ValueError, match=r"unknown initializer 'xavier'"):
        layers.initializer("xavier")
