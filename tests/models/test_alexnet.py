import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models


@pytest.mark.parametrize(("name", "count"), [("alexnet", 61_100_840), ("alexnet_2012", 60_965_224)])
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 224, 224).num_parameters == count


def test_maps_of_the_paper():
    traced = shapes_of(models.create_model("alexnet_2012"), 224, 224)
    assert traced.maps == {
        4: (55, 55, 96),
        8: (27, 27, 256),
        16: (13, 13, 256),
        32: (6, 6, 256),
    }
    params = traced.variables["params"]
    convolutions = [name for name in params if name == "stem" or name.startswith("conv")]
    # Each GPU's half of a layer sees the same GPU's half of the one before, but for the third's.
    assert {name: params[name]["kernel"].shape for name in convolutions} == {
        "stem": (11, 11, 3, 96),
        "conv2": (5, 5, 48, 256),
        "conv3": (3, 3, 256, 384),
        "conv4": (3, 3, 192, 384),
        "conv5": (3, 3, 192, 256),
    }


@pytest.mark.parametrize("name", ["alexnet", "alexnet_2012"])
def test_receptive_field(name, receptive_field):
    model = models.create_model(name, hidden_sizes=())

    def last_map(image):
        maps, _ = model.init_with_output(jax.random.key(0), image, method="features")
        return maps[32]

    assert receptive_field(last_map, np.zeros((1, 63, 63, 3))) == 195


@pytest.mark.parametrize("size", [(62, 80), (80, 62)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 63x63, got the shape \(1, \d+, \d+, 3\)"):
        shapes_of(models.create_model("alexnet"), *size)


def test_any_number_of_dense_layers():
    model = models.create_model("alexnet", hidden_sizes=(8,), num_classes=2)
    convolutions = 61_100_840 - sum(
        a * b + b for a, b in [(9216, 4096), (4096, 4096), (4096, 1000)]
    )
    assert shapes_of(model, 63, 63).num_parameters == convolutions + 9217 * 8 + 9 * 2


@pytest.mark.parametrize("name", ["alexnet", "alexnet_2012"])
def test_dropout_is_of_training(name, fill):
    model = models.create_model(name, hidden_sizes=(64,), num_classes=3, dropout=0.5)
    images = np.random.default_rng(0).normal(size=(1, 63, 63, 3)).astype(np.float32)
    variables = fill(model, images)

    @quick.jit
    def embed(variables, images):
        options = [{"train": True, "rngs": {"dropout": jax.random.key(seed)}} for seed in (1, 2)]
        return [model.apply(variables, images, method="embed", **each) for each in (*options, {})]

    one, other, still = jax.device_get(embed(variables, images))
    assert np.abs(one - other).max() > 0
    kept = np.isclose(one, 2 * still) | (one == 0)
    # After the dense layer in the paper, before it in torchvision.
    assert kept.all() == (name == "alexnet_2012")


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_out_of_range(dropout):
    with pytest.raises(ValueError, match=rf"dropout must be in \[0, 1\), got {dropout}"):
        models.create_model("alexnet", dropout=dropout)
