import jax
import jax.numpy as jnp
import pytest
import quick

from jaxvision import models


@pytest.mark.parametrize(
    ("width_multiplier", "count", "multiply_adds"),
    quick.only([(1.0, 3_504_872, 300), (1.4, 6_108_776, 585)], 1.0),
)
def test_parameters_and_table_4(
    width_multiplier, count, multiply_adds, count_parameters, count_multiply_adds
):
    # The counts are torchvision's and timm's.
    model = models.create_model("mobilenet_v2", width_multiplier=width_multiplier)
    assert count_parameters(model, (1, 64, 64, 3)) == count
    counted = count_multiply_adds(model, (1, 224, 224, 3)) / 1e6
    assert counted == pytest.approx(multiply_adds, rel=0.01)


def test_receptive_field(receptive_field_of):
    # Table 2 by the recurrence of Araujo et al., Computing receptive fields, Distill, 2019.
    assert receptive_field_of(models.create_model("mobilenet_v2")) == 491


@pytest.mark.parametrize(
    ("width_multiplier", "count"),
    quick.only([(0.35, 1_677_128), (0.5, 1_968_680), (0.75, 2_636_424)], 0.5),
)
def test_parameters_of_other_widths(width_multiplier, count, count_parameters):
    model = models.create_model("mobilenet_v2", width_multiplier=width_multiplier)
    assert count_parameters(model, (1, 64, 64, 3)) == count


@pytest.mark.parametrize(
    ("small_images", "expected"),
    [
        (False, {"stride2": 16, "stride4": 24, "stride8": 32, "stride16": 96, "stride32": 1280}),
        (True, {"stride1": 24, "stride2": 32, "stride4": 96, "stride8": 1280}),
    ],
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("mobilenet_v2", small_images=small_images)
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        jnp.zeros((1, 32, 32, 3)),
    )
    assert {key: value.shape[-1] for key, value in features.items()} == expected
    assert features["stride8"].shape[1:3] == (4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width_multiplier": -1.0}, "width_multiplier must be positive, got -1.0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"norm": "bath"}, "unknown norm 'bath'; did you mean 'batch'"),
        ({"activation": "relu7"}, "unknown activation 'relu7'; did you mean 'relu"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        models.create_model("mobilenet_v2", **options)
