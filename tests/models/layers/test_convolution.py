import math
from functools import partial

import jax
import numpy as np
import pytest
import quick

from jaxvision.models import layers


def convolve(x, kernel, **options):
    layer = layers.conv(1, len(kernel), use_bias=False, **options)
    variables = {"params": {"kernel": kernel[:, :, None, None].astype(np.float32)}}
    images = x[None, :, :, None].astype(np.float32)
    return np.asarray(quick.jit(layer.apply)(variables, images))[0, :, :, 0]


def test_conv_pads_both_sides_alike():
    strided = convolve(np.arange(36).reshape(6, 6), np.ones((3, 3)), stride=2)
    # What torch.nn.Conv2d(1, 1, 3, stride=2, padding=1) gives; "SAME" starts with 63, 81, 63.
    assert strided.shape == (3, 3)
    assert strided[0].tolist() == [14.0, 30.0, 42.0]


def test_conv_is_a_cross_correlation():
    delta, kernel = np.zeros((5, 5)), np.arange(9).reshape(3, 3)
    delta[2, 2] = 1
    np.testing.assert_array_equal(convolve(delta, kernel)[1:4, 1:4], kernel[::-1, ::-1])


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_conv_keeps_the_size_unless_told_otherwise(size):
    def sizes(**options):
        layer = layers.conv(1, size, **options)
        y, _ = jax.eval_shape(layer.init_with_output, jax.random.key(0), np.zeros((1, 15, 17, 1)))
        return y.shape[1:3]

    for dilation in (1, 2, 3):
        assert sizes(dilation=dilation) == (15, 17)
        reach = dilation * (size - 1)
        if reach < 15:
            assert sizes(dilation=dilation, padding=0) == (15 - reach, 17 - reach)


def test_conv_refuses_to_guess_the_padding_of_an_even_kernel():
    with pytest.raises(ValueError, match=r"kernel of size \(4, 4\) .* use an odd size, or give"):
        layers.conv(8, 4)
    assert layers.conv(8, 4, padding=1) is not None


def test_conv_groups():
    init = layers.conv(8, 3, groups=4).init
    variables = jax.eval_shape(init, jax.random.key(0), np.zeros((1, 5, 5, 4)))
    assert variables["params"]["kernel"].shape == (3, 3, 1, 8)
    assert variables["params"]["bias"].shape == (8,)


def test_conv_norm_applies_the_three_in_turn():
    layer = layers.ConvNorm(features=4, kernel_size=3, stride=2, activation="relu")

    @quick.jit
    def calls(x):
        y, variables = layer.init_with_output(jax.random.key(0), x, train=False)
        params = variables["params"]
        assert set(params["conv"]) == {"kernel"}
        alone = layers.conv(4, 3, stride=2, use_bias=False)
        return y, alone.apply({"params": params["conv"]}, x)

    x = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype(np.float32)
    y, convolved = jax.device_get(calls(x))
    # In inference, BatchNorm has seen nothing: mean 0 and variance 1.
    expected = np.maximum(convolved / math.sqrt(1 + 1e-5), 0)
    np.testing.assert_allclose(y, expected, atol=1e-5)
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
    variables = jax.eval_shape(
        partial(layer.init, train=False), jax.random.key(0), np.zeros((1, 3, 3, 2))
    )
    assert {name: set(part) for name, part in variables["params"].items()} == leaves
    assert ("batch_stats" in variables) == (norm is not None)


def test_three_sizes_of_a_kernel_convolve_volumes():
    def made(**options):
        layer = layers.conv(6, (3, 1, 5), **options)
        shape = jax.ShapeDtypeStruct((2, 7, 8, 9, 4), np.float32)
        y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), shape)
        assert variables["params"]["kernel"].shape == (3, 1, 5, 4 // options.get("groups", 1), 6)
        return y.shape[1:]

    assert made() == (7, 8, 9, 6)
    assert made(padding=0, groups=2) == (5, 8, 5, 6)
    assert made(stride=2) == (4, 4, 5, 6)
    assert made(stride=(1, 2, 3), padding=(0, 0, 2)) == (5, 4, 3, 6)


@pytest.mark.parametrize("norm", layers.NORMS)
def test_norms_take_volumes(norm):
    layer = layers.ConvNorm(features=4, kernel_size=(3, 3, 3), norm=norm)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 2)).astype(np.float32)

    @quick.jit
    def normalized(x):
        return layer.init_with_output(jax.random.key(0), x, train=True)[0]

    axes = {"batch": (0, 1, 2, 3), "instance": (1, 2, 3), "layer": 4, "group": (1, 2, 3)}[norm]
    y = np.asarray(normalized(x))
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axes), 1, atol=1e-2)
