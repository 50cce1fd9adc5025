import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.models import layers

FAN_IN, FAN_OUT = 3 * 3 * 64, 3 * 3 * 128
VARIANCES = {
    "glorot_normal": 2 / (FAN_IN + FAN_OUT),
    "glorot_uniform": 2 / (FAN_IN + FAN_OUT),
    "he_normal": 2 / FAN_IN,
    "he_normal_fan_out": 2 / FAN_OUT,
    "he_uniform": 2 / FAN_IN,
    "lecun_normal": 1 / FAN_IN,
    "normal_0.01": 1e-4,
    "normal_0.02": 4e-4,
    "torch": 1 / (3 * FAN_IN),
}


def test_variances_of_initializers():
    @quick.jit
    def kernels(key):
        shape = (3, 3, 64, 128)
        return {name: layers.initializer(name)(key, shape, jnp.float32) for name in VARIANCES}

    for name, kernel in jax.device_get(kernels(jax.random.key(0))).items():
        variance = VARIANCES[name]
        assert kernel.dtype == np.float32
        np.testing.assert_allclose(kernel.var(), variance, rtol=0.03, err_msg=name)
        np.testing.assert_allclose(kernel.mean(), 0, atol=0.02 * variance**0.5, err_msg=name)
        if name in ("torch", "glorot_uniform", "he_uniform"):
            most = np.abs(kernel).max()
            np.testing.assert_allclose(most, math.sqrt(3 * variance), rtol=1e-3, err_msg=name)


def test_orthogonal_columns():
    @quick.jit
    def draw(key):
        return layers.initializer("orthogonal")(key, (3, 3, 8, 16))

    kernel = np.asarray(draw(jax.random.key(0))).reshape(-1, 16)
    assert kernel.dtype == np.float32
    # So the variance is one over the number of rows, which is the fan in.
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=1e-5)


def test_unknown_initializer():
    with pytest.raises(ValueError, match=r"unknown initializer 'xavier'"):
        layers.initializer("xavier")


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (2, 3, 3, 4, 6), (5, 6), (2, 4, 6)])
def test_numbers_are_those_of_jax(shape):
    """However few axes they are drawn with."""
    plain = {
        "glorot_uniform": jax.nn.initializers.glorot_uniform(),
        "he_normal": jax.nn.initializers.he_normal(),
        "he_normal_fan_out": jax.nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        "lecun_normal": jax.nn.initializers.lecun_normal(),
        "normal_0.02": jax.nn.initializers.normal(0.02),
    }
    key = jax.random.key(0)
    both = quick.jit(
        lambda: [(layers.initializer(n)(key, shape), f(key, shape)) for n, f in plain.items()]
    )
    for ours, theirs in both():
        np.testing.assert_array_equal(ours, theirs)
