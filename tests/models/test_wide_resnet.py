import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.preact_resnet import PreActBlock


@pytest.mark.parametrize(
    ("name", "count"),
    quick.only(
        [
            ("wide_resnet50_2", 68_883_240),
            ("wide_resnet101_2", 126_886_696),
            ("wrn_28_2", 1_467_610),
            ("wrn_28_10", 36_479_194),
        ],
        "wide_resnet50_2",
        "wrn_28_2",
        slow=["wrn_28_10"],
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 64, 64).num_parameters == count


# The stem, then eight 3x3 convolutions over steps of 1, 2 and 4, the first of a stage over the
# steps before it.
WRN_28 = 1 + 2 + 8 * 2 + (2 + 7 * 4) + (4 + 7 * 8)


@pytest.mark.parametrize(
    ("name", "field"),
    quick.only([("wrn_28_10", WRN_28), ("wide_resnet50_2", 427)], slow=["wrn_28_10"]),
)
def test_receptive_fields(name, field, receptive_field_of):
    assert receptive_field_of(models.create_model(name)) == field


def test_the_network_is_the_authors(fill):
    # It is as in pytorch/resnet.py of their repository, in terms of plain operations.
    model = models.create_model("wrn_28_2").clone(stage_sizes=(2, 1, 1))

    def by_hand(variables, images):
        def activated(x, *path):
            params, statistics = variables["params"], variables["batch_stats"]
            for part in (*path, "norm"):
                params, statistics = params[part], statistics[part]
            x = (x - statistics["mean"]) / (statistics["var"] + 1e-5) ** 0.5
            return jax.nn.relu(x * params["scale"] + params["bias"])

        def block(x, name, stride):
            params = variables["params"][name]
            o1 = activated(x, name, "norm1")
            y = convolve(o1, params["conv1"]["kernel"], stride)
            z = convolve(activated(y, name, "norm2"), params["conv2"]["kernel"])
            shortcut = params.get("shortcut")
            return z + (x if shortcut is None else convolve(o1, shortcut["kernel"], stride))

        x = convolve(images, variables["params"]["stem"]["kernel"])
        x = block(block(x, "stage1_block0", 1), "stage1_block1", 1)
        x = block(block(x, "stage2_block0", 2), "stage3_block0", 2)
        head = variables["params"]["head"]
        return activated(x, "last_norm").mean((1, 2)) @ head["kernel"] + head["bias"]

    images = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
    logits, expected = jax.device_get(
        quick.jit(lambda *inputs: (model.apply(*inputs), by_hand(*inputs)))(
            fill(model, images), images
        )
    )
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def convolve(x, kernel, stride=1):
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(pad, pad)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def test_dropout_is_between_the_convolutions_while_training():
    block = PreActBlock(channels=4, dropout=0.999)

    @quick.jit
    def calls(x):
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        return [block.init_with_output(keys, x, train=train)[0] for train in (True, False)]

    x = np.random.default_rng(2).normal(size=(1, 2, 2, 4)).astype(np.float32)
    trained, still = jax.device_get(calls(x))
    # Nothing of the residual is left: the second convolution has no bias.
    np.testing.assert_array_equal(trained, x)
    assert np.abs(still - x).max() > 1e-3


def test_every_block_is_told_what_share_to_drop():
    model = models.create_model("wrn_28_2", dropout=0.25).bind({})
    blocks = [getattr(model, f"stage{stage}_block{i}") for stage in (1, 2, 3) for i in range(4)]
    assert {block.dropout for block in blocks} == {0.25}


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_share_is_below_one(dropout):
    with pytest.raises(ValueError, match=rf"dropout must be in \[0, 1\), got {dropout}"):
        models.create_model("wrn_28_10", dropout=dropout)
