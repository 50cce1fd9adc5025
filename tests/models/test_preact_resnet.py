from functools import partial

import jax
import numpy as np
import pytest
import quick

from jaxvision import models
from jaxvision.models.preact_resnet import PreActBlock, PreActBottleneck


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("preact_resnet18", 11_687_720),
        ("preact_resnet34", 21_795_880),
        ("preact_resnet50", 25_549_352),
        ("preact_resnet101", 44_541_480),
        ("preact_resnet152", 60_185_128),
    ],
)
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 64, 64, 3)) == count


@pytest.mark.parametrize(
    ("name", "field"),
    quick.only(
        [
            ("preact_resnet18", 435),
            ("preact_resnet34", 899),
            ("preact_resnet50", 427),
            ("preact_resnet101", 971),
            ("preact_resnet152", 1451),
        ],
        "preact_resnet18",
        "preact_resnet50",
    ),
)
def test_receptive_fields_are_those_of_resnets(name, field, receptive_field_of):
    assert receptive_field_of(models.create_model(name)) == field


def test_the_stride_may_be_that_of_the_first_convolution(receptive_field_of):
    # Three 3x3 convolutions then have their taps twice as far apart, over steps of 4, 8 and 16.
    model = models.create_model("preact_resnet50", stride_in_first=True)
    assert receptive_field_of(model) == 427 + 2 * (4 + 8 + 16)
    # It is not the network that timm trained.
    assert list(model.layouts()) == []
    assert list(models.create_model("preact_resnet50").layouts()) == ["timm"]


@pytest.mark.parametrize(("block", "channels"), [(PreActBlock, 8), (PreActBottleneck, 2)])
def test_a_block_may_start_as_the_identity(block, channels):
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 8))
    layer = block(channels=channels, zero_init_residual=True)
    y, variables = jax.jit(partial(layer.init_with_output, train=False))(jax.random.key(1), x)
    # No activation follows the sum.
    np.testing.assert_array_equal(y, x)
    assert "shortcut" not in variables["params"]


def test_only_the_coarsest_map_is_activated(fill):
    model = models.create_model("preact_resnet18", small_images=True)
    model = model.clone(stage_sizes=(1, 1))
    images = jax.random.normal(jax.random.key(0), (2, 9, 11, 3))
    apply = jax.jit(partial(model.apply, method="features"))
    features = apply(fill(model, images), images)
    assert {key: value.shape for key, value in features.items()} == {
        "stride1": (2, 9, 11, 64),
        "stride2": (2, 5, 6, 128),
    }
    assert features["stride1"].min() < 0
    assert features["stride2"].min() == 0


def test_only_bottlenecks_choose_where_the_stride_is():
    with pytest.raises(ValueError, match=r"bottlenecks; a PreActBlock has no such choice"):
        models.PreActResNet(stage_sizes=(1,), block=PreActBlock, stride_in_first=True)
    with pytest.raises(TypeError, match=r"unknown preact_resnet18 option 'stride_in_first'"):
        models.create_model("preact_resnet18", stride_in_first=True)
