import math

import jax
import numpy as np
import pytest
import quick

from jaxvision.models import layers

FORMULAS = {
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "hard_sigmoid": lambda x: min(max(x + 3, 0), 6) / 6,
    "hard_swish": lambda x: x * min(max(x + 3, 0), 6) / 6,
    "identity": lambda x: x,
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "tanh": math.tanh,
}


def test_every_activation_is_its_formula_and_every_unknown_one_refused():
    points = np.array([-4.0, -3.0, -1.0, -0.1, 0.0, 0.5, 2.0, 7.0], np.float32)
    values = quick.jit(lambda x: {name: layers.activation(name)(x) for name in layers.ACTIVATIONS})
    expected = {name: [formula(x) for x in points.tolist()] for name, formula in FORMULAS.items()}
    for name, value in values(points).items():
        np.testing.assert_allclose(value, expected.pop(name), atol=1e-6, err_msg=name)
    assert not expected
    with pytest.raises(ValueError, match=r"unknown activation 'gleu'; did you mean 'gelu'\?"):
        layers.activation("gleu")


def test_relu_has_no_gradient_at_zero():
    assert quick.jit(jax.grad(layers.activation("relu")))(0.0) == 0
