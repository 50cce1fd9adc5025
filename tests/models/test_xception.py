import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.xception import SeparableConvNorm, XceptionBlock


def shallow(**options):
    return models.create_model("xception", **options).clone(middle_blocks=1)


def test_parameters_and_maps():
    traced = shapes_of(models.create_model("xception"), 299, 299)
    assert traced.num_parameters == 22_855_952
    # Figure 5 of the paper has 299x299x3 images and 19x19x728 maps in its middle flow.
    assert traced.maps == {
        2: (147, 147, 64),
        4: (74, 74, 128),
        8: (37, 37, 256),
        16: (19, 19, 728),
        32: (10, 10, 2048),
    }


def test_maps_of_small_images():
    assert shapes_of(shallow(small_images=True), 33, 33).maps == {
        1: (33, 33, 64),
        2: (17, 17, 128),
        4: (9, 9, 256),
        8: (5, 5, 728),
        16: (3, 3, 2048),
    }


def test_receptive_field(receptive_field_of):
    # 3x3 windows over steps of 1, 2 (and two convolutions and a pooling a block), ..., 32.
    stem = 2 * 1 + 2 * 2
    entry = 3 * 2 * (2 + 4 + 8)
    middle, leaving = 3 * 2 * 16, 3 * 2 * 16 + 2 * 2 * 32
    expected = 1 + stem + entry + middle + leaving
    assert receptive_field_of(shallow()) == expected


def test_a_channel_is_convolved_alone():
    layer = SeparableConvNorm(features=4)
    x = np.zeros((1, 5, 5, 3), np.float32)
    x[..., 1] = np.random.default_rng(0).normal(size=(1, 5, 5))

    @quick.jit
    def calls(x):
        y, variables = layer.init_with_output(jax.random.key(1), x, train=False)
        params = variables["params"]
        of_one = {"params": {"kernel": params["depthwise"]["kernel"][..., 1:2]}}
        alone = models.layers.conv(1, 3, use_bias=False).apply(of_one, x[..., 1:2])
        return y, alone, params

    y, alone, params = jax.device_get(calls(x))
    assert params["depthwise"]["kernel"].shape == (3, 3, 1, 3)
    expected = alone * params["pointwise"]["kernel"][0, 0, 1] / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_only_a_block_that_changes_the_shape_has_a_shortcut():
    for stride, parts in ((1, {"conv1", "conv2"}), (2, {"conv1", "conv2", "shortcut"})):
        block = XceptionBlock(channels=(8, 8), stride=stride)
        variables = jax.eval_shape(
            lambda x, b=block: b.init(jax.random.key(0), x, train=False), np.zeros((1, 5, 5, 8))
        )
        assert set(variables["params"]) == parts


def test_the_least_size():
    assert shapes_of(shallow(), 7, 7).maps[32] == (1, 1, 2048)
    with pytest.raises(ValueError, match=r"at least 7x7, got the shape \(1, 6, 6, 3\)"):
        shapes_of(shallow(), 6, 6)
    shapes_of(shallow(small_images=True), 1, 1)


def test_a_share_is_below_one():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.0"):
        models.create_model("xception", dropout=1.0)
