import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.mixer import MixerBlock


def shallow(**options):
    return models.create_model("mixer_b_16", **options).clone(num_blocks=1)


def test_parameters():
    assert shapes_of(models.create_model("mixer_b_16"), 224, 224).num_parameters == 59_880_472


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({}, 33, {16: (3, 3, 768)}),
        ({"small_images": True}, 32, {4: (8, 8, 768)}),
    ],
)
def test_maps(options, size, expected):
    assert shapes_of(shallow(**options), size, size).maps == expected


def test_a_block_mixes_patches_then_channels():
    layer = MixerBlock(hidden_patches=3, hidden_channels=7, activation="identity")

    @quick.jit
    def start(x):
        return layer.init_with_output(jax.random.key(1), x, train=False)

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)

    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    y, variables = jax.device_get(start(x))
    p = variables["params"]
    patches = p["mlp_patches"]["dense1"]["kernel"] @ p["mlp_patches"]["dense2"]["kernel"]
    expected = x + np.einsum("bpc,pq->bqc", norm(x), patches)
    channels = p["mlp_channels"]["dense1"]["kernel"] @ p["mlp_channels"]["dense2"]["kernel"]
    expected = expected + norm(expected) @ channels
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_another_number_of_patches_is_refused():
    model = shallow(num_classes=5)
    variables = shapes_of(model, 64, 64).variables
    jax.eval_shape(model.apply, variables, np.zeros((1, 49, 64, 3)))
    message = "initialized for 16 patches, and these images have 3x4"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model.apply, variables, np.zeros((1, 48, 64, 3)))


@pytest.mark.parametrize("option", ["dropout", "stochastic_depth"])
def test_rates_that_are_refused(option):
    with pytest.raises(ValueError, match=rf"{option} must be in \[0, 1\), got 1"):
        models.create_model("mixer_b_16", **{option: 1.0})
