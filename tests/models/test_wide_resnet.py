import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models.preact_resnet import PreActBlock


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("wide_resnet50_2", 68_883_240),
        ("wide_resnet101_2", 126_886_696),
        ("wrn_28_2", 1_467_610),
        ("wrn_28_10", 36_479_194),
    ],
)
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 64, 64, 3)) == count


def test_receptive_fields(receptive_field_of):
    assert receptive_field_of(models.create_model("wide_resnet50_2")) == 427
    # The stem, then eight 3x3 convolutions over steps of 1, 2 and 4, the first of a stage over the
    # steps before it.
    expected = 1 + 2 + 8 * 2 + (2 + 7 * 4) + (4 + 7 * 8)
    assert receptive_field_of(models.create_model("wrn_28_10")) == expected


def test_the_network_is_the_authors(fill):
    # It is as in pytorch/resnet.py of their repository, in terms of plain operations.
    model = models.create_model("wrn_28_2").clone(stage_sizes=(2, 1, 1))
    images = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
    variables = fill(model, images)

    def conv(x, kernel, stride=1):
        pad = kernel.shape[0] // 2
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            [(pad, pad)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    def activated(x, *path):
        scale, bias, mean, var = (
            leaf_of(variables[collection], path)[leaf]
            for collection, leaf in (
                ("params", "scale"),
                ("params", "bias"),
                ("batch_stats", "mean"),
                ("batch_stats", "var"),
            )
        )
        return jax.nn.relu((x - mean) / jnp.sqrt(var + 1e-5) * scale + bias)

    def leaf_of(tree, path):
        for part in (*path, "norm"):
            tree = tree[part]
        return tree

    def block(x, name, stride):
        params = variables["params"][name]
        o1 = activated(x, name, "norm1")
        y = conv(o1, params["conv1"]["kernel"], stride)
        z = conv(activated(y, name, "norm2"), params["conv2"]["kernel"])
        shortcut = params.get("shortcut")
        return z + (x if shortcut is None else conv(o1, shortcut["kernel"], stride))

    x = conv(images, variables["params"]["stem"]["kernel"])
    x = block(block(x, "stage1_block0", 1), "stage1_block1", 1)
    x = block(block(x, "stage2_block0", 2), "stage3_block0", 2)
    head = variables["params"]["head"]
    expected = activated(x, "last_norm").mean((1, 2)) @ head["kernel"] + head["bias"]
    logits = jax.jit(model.apply)(variables, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_dropout_is_between_the_convolutions_while_training():
    block = PreActBlock(channels=4, dropout=0.999)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    x = jax.random.normal(jax.random.key(2), (1, 2, 2, 4))
    start = jax.jit(block.init_with_output, static_argnames="train")
    # Nothing of the residual is left: the second convolution has no bias.
    np.testing.assert_array_equal(start(keys, x, train=True)[0], x)
    assert jnp.abs(start(keys, x, train=False)[0] - x).max() > 1e-3


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_share_is_below_one(dropout):
    with pytest.raises(ValueError, match=rf"dropout must be in \[0, 1\), got {dropout}"):
        models.create_model("wrn_28_10", dropout=dropout)
