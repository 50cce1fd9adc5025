import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models import layers
from jaxvision.models.squeezenet import Fire


@pytest.mark.parametrize(
    ("name", "count"), [("squeezenet1_0", 1_248_424), ("squeezenet1_1", 1_235_496)]
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 227, 227).num_parameters == count


def test_maps_of_table_1():
    # The table says 224x224, of which an unpadded stem does not leave its 111x111.
    assert shapes_of(models.create_model("squeezenet1_0"), 227, 227).maps == {
        2: (111, 111, 96),
        4: (55, 55, 256),
        8: (27, 27, 512),
        16: (13, 13, 512),
    }


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_small_images_keep_their_size_at_first(name):
    traced = shapes_of(models.create_model(name, small_images=True), 32, 32)
    sizes = {stride: size[0] for stride, size in traced.maps.items()}
    assert sizes == {1: 32, 2: 16, 4: 8}


@pytest.mark.parametrize(("name", "least"), [("squeezenet1_0", 21), ("squeezenet1_1", 17)])
def test_images_that_are_too_small(name, least):
    model = models.create_model(name)
    assert shapes_of(model, least, least).logits == (1, 1000)
    with pytest.raises(ValueError, match=f"at least {least}x{least}, got the shape"):
        shapes_of(model, least, least - 1)


def test_fire(fill):
    layer = Fire(narrow=3)

    @quick.jit
    def calls(variables, x, squeezed):
        expand3 = {"params": variables["params"]["expand3"]}
        return layer.apply(variables, x), layers.conv(12, 3).apply(expand3, squeezed)

    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    variables = fill(layer, x)
    params = variables["params"]
    squeezed = np.maximum(x @ params["squeeze"]["kernel"][0, 0] + params["squeeze"]["bias"], 0)
    ones = squeezed @ params["expand1"]["kernel"][0, 0] + params["expand1"]["bias"]
    y, threes = calls(variables, x, squeezed)
    expected = np.maximum(np.concatenate([ones, threes], axis=-1), 0)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_bypass_adds_the_input_of_every_other_module(fill):
    # With zero kernels and biases, only what is added remains.
    images = np.random.default_rng(0).normal(size=(1, 33, 33, 3)).astype(np.float32)
    plain, added = (models.create_model("squeezenet1_1", bypass=bypass) for bypass in (False, True))
    variables = fill(plain, images)
    for name in ("fire3", "fire5", "fire7", "fire9"):
        variables["params"][name] = jax.tree.map(np.zeros_like, variables["params"][name])

    @quick.jit
    def maps(variables, images):
        return [model.apply(variables, images, method="features") for model in (plain, added)]

    without, with_bypass = jax.device_get(maps(variables, images))
    assert not without[4].any()
    assert all(value.any() for value in with_bypass.values())


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("squeezenet1_0", dropout=1.0)
