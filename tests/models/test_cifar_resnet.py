import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.cifar_resnet import shortcut_without_parameters


@pytest.mark.parametrize(
    ("name", "count"),
    quick.only(
        [
            ("cifar_resnet20", 269_722),
            ("cifar_resnet32", 464_154),
            ("cifar_resnet44", 658_586),
            ("cifar_resnet56", 853_018),
            ("cifar_resnet110", 1_727_962),
        ],
        "cifar_resnet20",
        slow=["cifar_resnet110"],
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 32, 32).num_parameters == count


def test_shortcut_subsamples_and_adds_channels_of_zeros():
    @quick.jit
    def calls(x):
        return shortcut_without_parameters(x, 2, 4), shortcut_without_parameters(x, 1, 2)

    x = np.arange(50, dtype=np.float32).reshape(1, 5, 5, 2)
    y, same = jax.device_get(calls(x))
    np.testing.assert_array_equal(y[..., :2], x[:, ::2, ::2])
    assert y.shape == (1, 3, 3, 4)
    assert not y[..., 2:].any()
    np.testing.assert_array_equal(same, x)


def test_maps():
    assert shapes_of(models.create_model("cifar_resnet20"), 32, 32).maps == {
        1: (32, 32, 16),
        2: (16, 16, 32),
        4: (8, 8, 64),
    }


@pytest.mark.parametrize("norm", ["group", "instance", "layer"])
def test_other_norms(norm):
    def smaller(**options):
        return models.create_model("cifar_resnet20", **options).clone(stage_sizes=(1, 1, 1))

    count = shapes_of(smaller(norm=norm), 32, 32).num_parameters
    assert count == shapes_of(smaller(), 32, 32).num_parameters


def test_no_shortcut_has_parameters():
    params = shapes_of(models.create_model("cifar_resnet20"), 32, 32).variables["params"]
    blocks = [f"stage{stage}_block{i}" for stage in (1, 2, 3) for i in range(3)]
    assert set(params) == {"stem", "head", *blocks}
    assert all(set(params[block]) == {"conv1", "conv2"} for block in blocks)
