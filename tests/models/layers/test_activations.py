import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import layers


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("elu", lambda x: x if x > 0 else math.exp(x) - 1),
        ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("hard_sigmoid", lambda x: min(max(x + 3, 0), 6) / 6),
        ("hard_swish", lambda x: x * min(max(x + 3, 0), 6) / 6),
        ("identity", lambda x: x),
        ("leaky_relu", lambda x: x if x > 0 else 0.01 * x),
        ("relu", lambda x: max(x, 0.0)),
        ("relu6", lambda x: min(max(x, 0.0), 6.0)),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("tanh", math.tanh),
    ],
)
def test_activation(name, formula):
    points = [-4.0, -3.0, -1.0, -0.1, 0.0, 0.5, 2.0, 7.0]
    expected = [formula(x) for x in points]
    np.testing.assert_allclose(layers.activation(name)(jnp.array(points)), expected, atol=1e-6)


def test_every_activation_is_tested_and_every_unknown_one_refused():
    assert len(layers.ACTIVATIONS) == 11
    with pytest.raises(ValueError, match=r"unknown activation 'gleu'; did you mean 'gelu'\?"):
        layers.activation("gleu")


def test_relu_has_no_gradient_at_zero():
    assert jax.grad(layers.activation("relu"))(0.0) == 0
