import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models import layers
from jaxvision.models.squeezenet import Fire

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "count"), [("squeezenet1_0", 1_248_424), ("squeezenet1_1", 1_235_496)]
)
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 64, 64, 3)) == count


def test_maps_of_table_1():
    model = models.create_model("squeezenet1_0")
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        KEY,
        jnp.zeros((1, 227, 227, 3)),
    )
    # The table says 224x224, of which an unpadded stem does not leave its 111x111.
    assert {key: value.shape[1:] for key, value in features.items()} == {
        "stride2": (111, 111, 96),
        "stride4": (55, 55, 256),
        "stride8": (27, 27, 512),
        "stride16": (13, 13, 512),
    }


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_small_images_keep_their_size_at_first(name):
    model = models.create_model(name, small_images=True)
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        KEY,
        jnp.zeros((1, 32, 32, 3)),
    )
    sizes = {key: value.shape[1] for key, value in features.items()}
    assert sizes == {"stride1": 32, "stride2": 16, "stride4": 8}


@pytest.mark.parametrize(("name", "least"), [("squeezenet1_0", 21), ("squeezenet1_1", 17)])
def test_images_that_are_too_small(name, least):
    model = models.create_model(name)
    logits, _ = jax.eval_shape(model.init_with_output, KEY, jnp.zeros((1, least, least, 3)))
    assert logits.shape == (1, 1000)
    with pytest.raises(ValueError, match=f"at least {least}x{least}, got the shape"):
        model.init(KEY, jnp.zeros((1, least, least - 1, 3)))


def test_fire():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    y, variables = jax.jit(Fire(narrow=3).init_with_output)(KEY, x)
    params = variables["params"]
    squeezed = np.maximum(x @ params["squeeze"]["kernel"][0, 0] + params["squeeze"]["bias"], 0)
    ones = squeezed @ params["expand1"]["kernel"][0, 0] + params["expand1"]["bias"]
    threes = layers.conv(12, 3).apply({"params": params["expand3"]}, squeezed)
    expected = np.maximum(np.concatenate([ones, threes], axis=-1), 0)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_bypass_adds_the_input_of_every_other_module(fill):
    # With zero kernels and biases, only what is added remains.
    images = jax.random.normal(KEY, (1, 33, 33, 3))
    plain, added = (models.create_model("squeezenet1_1", bypass=bypass) for bypass in (False, True))
    variables = fill(plain, images)
    for name in ("fire3", "fire5", "fire7", "fire9"):
        variables["params"][name] = jax.tree.map(jnp.zeros_like, variables["params"][name])

    @jax.jit
    def maps(images):
        return [model.apply(variables, images, method="features") for model in (plain, added)]

    without, with_bypass = maps(images)
    assert not without["stride4"].any()
    assert all(value.any() for value in with_bypass.values())


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("squeezenet1_0", dropout=1.0)
