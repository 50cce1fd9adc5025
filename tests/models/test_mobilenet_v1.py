import itertools

import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models


def by_hand(width):
    """Parameters of the paper's Table 1 for 1000 classes, BatchNorm's two per channel included."""
    channels = [width * c // 4 for c in (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)]
    total = 27 * channels[0] + 2 * channels[0]
    for before, after in itertools.pairwise(channels):
        total += 9 * before + 2 * before + before * after + 2 * after
    return total + channels[-1] * 1000 + 1000


@pytest.mark.parametrize(
    ("width_multiplier", "count", "multiply_adds"),
    quick.only(
        [(1.0, 4_231_976, 569), (0.75, 2_585_560, 325), (0.5, 1_331_592, 149), (0.25, 470_072, 41)],
        1.0,
        slow=[0.25],
    ),
)
def test_parameters_and_table_6(width_multiplier, count, multiply_adds):
    model = models.create_model("mobilenet_v1", width_multiplier=width_multiplier)
    whole = models.summary(model, (224, 224, 3), show=False)
    assert whole.num_parameters == by_hand(int(4 * width_multiplier)) == count
    assert whole.multiply_adds / 1e6 == pytest.approx(multiply_adds, abs=0.6)


@pytest.mark.release
def test_parameters_of_a_width_that_timm_has():
    model = models.create_model("mobilenet_v1", width_multiplier=1.25)
    assert shapes_of(model, 64, 64).num_parameters == by_hand(5) == 6_270_840


def test_receptive_field(receptive_field_of):
    # Araujo et al., Computing receptive fields of convolutional neural networks, Distill, 2019.
    assert receptive_field_of(models.create_model("mobilenet_v1")) == 315


@pytest.mark.parametrize(
    ("small_images", "expected"),
    # Parameters and multiply-adds tell of the other channels too.
    quick.only(
        [
            (
                False,
                {2: 64, 4: 128, 8: 256, 16: 512, 32: 1024},
            ),
            (True, {1: 128, 2: 256, 4: 512, 8: 1024}),
        ],
        True,
    ),
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("mobilenet_v1", small_images=small_images)
    maps = shapes_of(model, 32, 32).maps
    assert {stride: size[-1] for stride, size in maps.items()} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width_multiplier": 0.0}, "width_multiplier must be positive, got 0.0"),
        ({"norm": "bath"}, "unknown norm 'bath'; did you mean 'batch'"),
        ({"activation": "relu7"}, "unknown activation 'relu7'; did you mean 'relu"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        models.create_model("mobilenet_v1", **options)


def test_norm_and_activation_are_those_asked_for():
    model = models.create_model(
        "mobilenet_v1", norm="group", activation="tanh", width_multiplier=0.25
    )
    jaxpr, (_, variables) = jax.make_jaxpr(model.init_with_output, return_shape=True)(
        jax.random.key(0), np.zeros((1, 32, 32, 3))
    )
    assert set(variables) == {"params"}
    assert str(jaxpr).count(" tanh ") == 27
    assert "relu6" not in str(jaxpr)
