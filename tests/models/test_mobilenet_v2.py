import pytest
import quick
from traced import shapes_of

from jaxvision import models


@pytest.mark.parametrize(
    ("width_multiplier", "count", "multiply_adds"),
    quick.only([(1.0, 3_504_872, 300), (1.4, 6_108_776, 585)], 1.0),
)
def test_parameters_and_table_4(width_multiplier, count, multiply_adds):
    # The counts are torchvision's and timm's.
    model = models.create_model("mobilenet_v2", width_multiplier=width_multiplier)
    whole = models.summary(model, (224, 224, 3), show=False)
    assert whole.num_parameters == count
    assert whole.multiply_adds / 1e6 == pytest.approx(multiply_adds, rel=0.01)


def test_receptive_field(receptive_field_of):
    # Table 2 by the recurrence of Araujo et al., Computing receptive fields, Distill, 2019.
    assert receptive_field_of(models.create_model("mobilenet_v2")) == 491


@pytest.mark.release
@pytest.mark.parametrize(
    ("width_multiplier", "count"),
    [(0.35, 1_677_128), (0.5, 1_968_680), (0.75, 2_636_424)],
)
def test_parameters_of_other_widths(width_multiplier, count):
    model = models.create_model("mobilenet_v2", width_multiplier=width_multiplier)
    assert shapes_of(model, 64, 64).num_parameters == count


@pytest.mark.parametrize(
    ("small_images", "expected"),
    # Parameters and multiply-adds tell of the other channels too.
    quick.only(
        [
            (
                False,
                {2: 16, 4: 24, 8: 32, 16: 96, 32: 1280},
            ),
            (True, {1: 24, 2: 32, 4: 96, 8: 1280}),
        ],
        True,
    ),
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("mobilenet_v2", small_images=small_images)
    maps = shapes_of(model, 32, 32).maps
    assert {stride: size[-1] for stride, size in maps.items()} == expected
    assert maps[8][:2] == (4, 4)


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
