import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import layers

KEY = jax.random.key(0)


def start(layer, x):
    """Initializes a layer; gives what it makes of x, and its variables."""
    return jax.jit(layer.init_with_output)(KEY, x)


def convolve(x, kernel, **options):
    layer = layers.conv(1, len(kernel), use_bias=False, **options)
    variables = {"params": {"kernel": jnp.asarray(kernel)[:, :, None, None]}}
    return layer.apply(variables, x[None, :, :, None])[0, :, :, 0]


def test_conv_pads_both_sides_alike():
    ramp = jnp.arange(36.0).reshape(6, 6)
    strided = convolve(ramp, jnp.ones((3, 3)), stride=2)
    # What torch.nn.Conv2d(1, 1, 3, stride=2, padding=1) gives; "SAME" starts with 63, 81, 63.
    assert strided.shape == (3, 3)
    assert strided[0].tolist() == [14.0, 30.0, 42.0]


def test_conv_is_a_cross_correlation():
    delta = jnp.zeros((5, 5)).at[2, 2].set(1)
    kernel = jnp.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(convolve(delta, kernel)[1:4, 1:4], kernel[::-1, ::-1])


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_conv_keeps_the_size_unless_told_otherwise(size, dilation):
    kernel = jnp.ones((size, size))
    assert convolve(jnp.ones((15, 17)), kernel, dilation=dilation).shape == (15, 17)
    reach = dilation * (size - 1)
    if reach < 15:
        unpadded = convolve(jnp.ones((15, 17)), kernel, dilation=dilation, padding=0)
        assert unpadded.shape == (15 - reach, 17 - reach)


def test_conv_refuses_to_guess_the_padding_of_an_even_kernel():
    with pytest.raises(ValueError, match=r"kernel of size \(4, 4\) .* use an odd size, or give"):
        layers.conv(8, 4)
    assert layers.conv(8, 4, padding=1) is not None


def test_conv_groups():
    _, variables = start(layers.conv(8, 3, groups=4), jnp.ones((1, 5, 5, 4)))
    assert variables["params"]["kernel"].shape == (3, 3, 1, 8)
    assert variables["params"]["bias"].shape == (8,)


def test_conv_norm_applies_the_three_in_turn():
    x = jax.random.normal(KEY, (2, 5, 5, 3))
    layer = layers.ConvNorm(features=4, kernel_size=3, stride=2, activation="relu")
    variables = layer.init(KEY, x, train=False)
    params = variables["params"]
    assert set(params["conv"]) == {"kernel"}
    y = layers.conv(4, 3, stride=2, use_bias=False).apply({"params": params["conv"]}, x)
    # In inference, BatchNorm has seen nothing: mean 0 and variance 1.
    expected = jax.nn.relu(y / math.sqrt(1 + 1e-5))
    np.testing.assert_allclose(layer.apply(variables, x, train=False), expected, atol=1e-5)
    assert expected.any()


@pytest.mark.parametrize(
    ("norm", "use_bias", "leaves"),
    [
        ("batch", None, {"conv": {"kernel"}, "norm": {"scale", "bias"}}),
        ("batch", True, {"conv": {"kernel", "bias"}, "norm": {"scale", "bias"}}),
        (None, None, {"conv": {"kernel", "bias"}}),
        (None, False, {"conv": {"kernel"}}),
    ],
)
def test_conv_norm_has_a_bias_or_a_norm(norm, use_bias, leaves):
    layer = layers.ConvNorm(features=4, kernel_size=1, norm=norm, use_bias=use_bias)
    variables = jax.eval_shape(partial(layer.init, train=False), KEY, jnp.ones((1, 3, 3, 2)))
    assert {name: set(part) for name, part in variables["params"].items()} == leaves
    assert ("batch_stats" in variables) == (norm is not None)
