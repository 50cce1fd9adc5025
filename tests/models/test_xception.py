import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models.xception import SeparableConvNorm, XceptionBlock


def test_parameters(count_parameters):
    assert count_parameters(models.create_model("xception"), (1, 64, 64, 3)) == 22_855_952


def shapes_of(model, size):
    features, variables = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        jnp.zeros((1, size, size, 3)),
    )
    return {key: value.shape[1:] for key, value in features.items()}, variables["params"]


def test_maps():
    # Figure 5 of the paper has 299x299x3 images and 19x19x728 maps in its middle flow.
    assert shapes_of(models.create_model("xception"), 299)[0] == {
        "stride2": (147, 147, 64),
        "stride4": (74, 74, 128),
        "stride8": (37, 37, 256),
        "stride16": (19, 19, 728),
        "stride32": (10, 10, 2048),
    }
    assert shapes_of(models.create_model("xception", small_images=True), 33)[0] == {
        "stride1": (33, 33, 64),
        "stride2": (17, 17, 128),
        "stride4": (9, 9, 256),
        "stride8": (5, 5, 728),
        "stride16": (3, 3, 2048),
    }


def test_receptive_field(receptive_field_of):
    # 3x3 windows over steps of 1, 2 (and two convolutions and a pooling a block), ..., 32.
    stem = 2 * 1 + 2 * 2
    entry = 3 * 2 * (2 + 4 + 8)
    middle, leaving = 8 * 3 * 2 * 16, 3 * 2 * 16 + 2 * 2 * 32
    expected = 1 + stem + entry + middle + leaving
    assert receptive_field_of(models.create_model("xception")) == expected


def test_a_channel_is_convolved_alone():
    layer = SeparableConvNorm(features=4)
    x = jnp.zeros((1, 5, 5, 3)).at[..., 1].set(jax.random.normal(jax.random.key(0), (1, 5, 5)))
    variables = layer.init(jax.random.key(1), x, train=False)
    kernels = {name: variables["params"][name]["kernel"] for name in ("depthwise", "pointwise")}
    assert kernels["depthwise"].shape == (3, 3, 1, 3)
    alone = models.layers.conv(1, 3, use_bias=False).apply(
        {"params": {"kernel": kernels["depthwise"][..., 1:2]}}, x[..., 1:2]
    )
    expected = alone * kernels["pointwise"][0, 0, 1] / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(layer.apply(variables, x, train=False), expected, atol=1e-6)


def test_only_a_block_that_changes_the_shape_has_a_shortcut():
    x = jnp.zeros((1, 5, 5, 8))
    for stride, parts in ((1, {"conv1", "conv2"}), (2, {"conv1", "conv2", "shortcut"})):
        block = XceptionBlock(channels=(8, 8), stride=stride)
        variables = jax.eval_shape(
            lambda key, b=block: b.init(key, x, train=False), jax.random.key(0)
        )
        assert set(variables["params"]) == parts


def test_the_least_size():
    assert shapes_of(models.create_model("xception"), 7)[0]["stride32"] == (1, 1, 2048)
    with pytest.raises(ValueError, match=r"at least 7x7, got the shape \(1, 6, 6, 3\)"):
        shapes_of(models.create_model("xception"), 6)
    shapes_of(models.create_model("xception", small_images=True), 1)


def test_a_share_is_below_one():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.0"):
        models.create_model("xception", dropout=1.0)
