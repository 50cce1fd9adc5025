import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models.mixer import MixerBlock


def test_parameters(count_parameters):
    model = models.create_model("mixer_b_16")
    assert count_parameters(model, (1, 224, 224, 3)) == 59_880_472


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({}, 33, {"stride16": (1, 3, 3, 768)}),
        ({"small_images": True}, 32, {"stride4": (1, 8, 8, 768)}),
    ],
)
def test_maps(options, size, expected):
    model = models.create_model("mixer_b_16", **options)
    maps, _ = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, method="features"),
        jnp.zeros((1, size, size, 3)),
    )
    assert {stride: value.shape for stride, value in maps.items()} == expected


def test_a_block_mixes_patches_then_channels():
    layer = MixerBlock(hidden_patches=3, hidden_channels=7, activation="identity")
    x = jax.random.normal(jax.random.key(0), (2, 4, 6))
    variables = layer.init(jax.random.key(1), x, train=False)
    p = variables["params"]

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)

    patches = p["mlp_patches"]["dense1"]["kernel"] @ p["mlp_patches"]["dense2"]["kernel"]
    y = x + jnp.einsum("bpc,pq->bqc", norm(x), patches)
    channels = p["mlp_channels"]["dense1"]["kernel"] @ p["mlp_channels"]["dense2"]["kernel"]
    y = y + norm(y) @ channels
    np.testing.assert_allclose(layer.apply(variables, x, train=False), y, atol=1e-5)


def test_another_number_of_patches_is_refused():
    model = models.create_model("mixer_b_16", num_classes=5)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    jax.eval_shape(model.apply, variables, jnp.zeros((1, 49, 64, 3)))
    message = "initialized for 16 patches, and these images have 3x4"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model.apply, variables, jnp.zeros((1, 48, 64, 3)))


@pytest.mark.parametrize("option", ["dropout", "stochastic_depth"])
def test_rates_that_are_refused(option):
    with pytest.raises(ValueError, match=rf"{option} must be in \[0, 1\), got 1"):
        models.create_model("mixer_b_16", **{option: 1.0})
