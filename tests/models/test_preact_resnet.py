from functools import partial

import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.preact_resnet import PreActBlock, PreActBottleneck


@pytest.mark.parametrize(
    ("name", "count"),
    # test_torch_zoo.py holds the others to the shapes of torchvision and timm.
    quick.only(
        [
            ("preact_resnet18", 11_687_720),
            ("preact_resnet34", 21_795_880),
            ("preact_resnet50", 25_549_352),
            ("preact_resnet101", 44_541_480),
            ("preact_resnet152", 60_185_128),
        ],
        "preact_resnet18",
        slow=(),
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 64, 64).num_parameters == count


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
        slow=(),
    ),
)
def test_receptive_fields_are_those_of_resnets(name, field, receptive_field_of):
    assert receptive_field_of(models.create_model(name)) == field


def test_the_stride_may_be_that_of_the_first_convolution(receptive_field_of):
    # A 7x7 convolution and a 3x3 pooling, then 3x3 convolutions over steps of 4, 4, 8 and 16.
    # The taps of the last three are twice as far apart where an earlier one has the stride.
    model = models.create_model("preact_resnet50")
    other = models.create_model("preact_resnet50", stride_in_first=True)
    field, other_field = (
        receptive_field_of(each.clone(stage_sizes=(1, 1, 1, 1))) for each in (model, other)
    )
    assert field == 7 + 2 * 2 + 2 * (4 + 4 + 8 + 16)
    assert other_field == field + 2 * (4 + 8 + 16)
    # It is not the network that timm trained.
    assert list(other.torch_names()) == []
    assert list(model.torch_names()) == ["timm"]


@pytest.mark.parametrize(("block", "channels"), [(PreActBlock, 8), (PreActBottleneck, 2)])
def test_a_block_may_start_as_the_identity(block, channels):
    layer = block(channels=channels, zero_init_residual=True)

    @quick.jit
    def start(x):
        return layer.init_with_output(jax.random.key(1), x, train=False)

    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype(np.float32)
    y, variables = start(x)
    # No activation follows the sum.
    np.testing.assert_array_equal(y, x)
    assert "shortcut" not in variables["params"]


def test_only_the_coarsest_map_is_activated(fill):
    model = models.create_model("preact_resnet18", small_images=True)
    model = model.clone(stage_sizes=(1, 1))
    images = np.random.default_rng(0).normal(size=(2, 9, 11, 3)).astype(np.float32)
    apply = quick.jit(partial(model.apply, method="features"))
    features = jax.device_get(apply(fill(model, images), images))
    assert {key: value.shape for key, value in features.items()} == {
        1: (2, 9, 11, 64),
        2: (2, 5, 6, 128),
    }
    assert features[1].min() < 0
    assert features[2].min() == 0


def test_only_bottlenecks_choose_where_the_stride_is():
    with pytest.raises(ValueError, match=r"bottlenecks; a PreActBlock has no such choice"):
        models.PreActResNet(stage_sizes=(1,), block=PreActBlock, stride_in_first=True)
    with pytest.raises(TypeError, match=r"unknown preact_resnet18 option 'stride_in_first'"):
        models.create_model("preact_resnet18", stride_in_first=True)
