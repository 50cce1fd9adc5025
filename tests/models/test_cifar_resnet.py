import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models.cifar_resnet import shortcut_without_parameters


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("cifar_resnet20", 269_722),
        ("cifar_resnet32", 464_154),
        ("cifar_resnet44", 658_586),
        ("cifar_resnet56", 853_018),
        ("cifar_resnet110", 1_727_962),
    ],
)
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 32, 32, 3)) == count


def test_shortcut_subsamples_and_adds_channels_of_zeros():
    x = jnp.arange(50.0).reshape(1, 5, 5, 2)
    y = shortcut_without_parameters(x, 2, 4)
    np.testing.assert_array_equal(y[..., :2], x[:, ::2, ::2])
    assert y.shape == (1, 3, 3, 4)
    assert not y[..., 2:].any()
    np.testing.assert_array_equal(shortcut_without_parameters(x, 1, 2), x)


def test_maps():
    model = models.create_model("cifar_resnet20")
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        jnp.zeros((2, 32, 32, 3)),
    )
    assert {key: value.shape for key, value in features.items()} == {
        "stride1": (2, 32, 32, 16),
        "stride2": (2, 16, 16, 32),
        "stride4": (2, 8, 8, 64),
    }


@pytest.mark.parametrize("norm", ["group", "instance", "layer"])
def test_other_norms(norm, count_parameters):
    model = models.create_model("cifar_resnet20", norm=norm)
    assert count_parameters(model, (1, 32, 32, 3)) == 269_722


def test_no_shortcut_has_parameters():
    model = models.create_model("cifar_resnet20")
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    blocks = [f"stage{stage}_block{i}" for stage in (1, 2, 3) for i in range(3)]
    assert set(params) == {"stem", "head", *blocks}
    assert all(set(params[block]) == {"conv1", "conv2"} for block in blocks)
