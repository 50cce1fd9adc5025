import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.residual import BasicBlock, Bottleneck


@pytest.mark.parametrize(
    ("name", "count"),
    # test_torch_zoo.py holds the other to the shapes of torchvision.
    quick.only(
        [("resnext50_32x4d", 25_028_904), ("resnext101_32x8d", 88_791_336)],
        "resnext50_32x4d",
        slow=(),
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 64, 64).num_parameters == count


@pytest.mark.release  # Their blocks are those of ResNets.
@pytest.mark.parametrize(("name", "field"), [("resnext50_32x4d", 427), ("resnext101_32x8d", 971)])
def test_receptive_fields_are_those_of_resnets(name, field, receptive_field_of):
    assert receptive_field_of(models.create_model(name)) == field


def test_a_group_sees_its_own_channels_only():
    block = Bottleneck(channels=64, groups=32, width_per_group=4)
    params = jax.eval_shape(
        lambda x: block.init(jax.random.key(0), x, train=False), np.zeros((1, 4, 4, 256))
    )["params"]
    shapes = {name: params[name]["conv"]["kernel"].shape for name in params}
    # Table 1 of the paper: 256-d, 1x1, 128; 3x3, 128, C = 32; 1x1, 256.
    assert shapes == {
        "conv1": (1, 1, 256, 128),
        "conv2": (3, 3, 4, 128),
        "conv3": (1, 1, 128, 256),
    }


def test_only_bottlenecks_have_groups():
    with pytest.raises(ValueError, match=r"groups=32 is for bottlenecks; a BasicBlock takes 1$"):
        models.ResNet(stage_sizes=(1,), block=BasicBlock, groups=32)
    with pytest.raises(ValueError, match=r"reduction=16 .*; a BasicBlock takes None"):
        models.ResNet(stage_sizes=(1,), block=BasicBlock, reduction=16)
