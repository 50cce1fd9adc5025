import pytest
import quick
from traced import shapes_of

from jaxvision import models

COUNTS = {
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
}
TABLE_2 = {"efficientnet_b0": 0.39, "efficientnet_b3": 1.8}


@pytest.mark.parametrize(("name", "multiply_adds"), quick.only(TABLE_2.items(), "efficientnet_b0"))
def test_parameters_and_multiply_adds_of_table_2(name, multiply_adds):
    model = models.create_model(name)
    size = model.default_image_size
    whole = models.summary(model, (size, size, 3), show=False)
    assert whole.num_parameters == COUNTS[name]
    assert whole.multiply_adds / 1e9 == pytest.approx(multiply_adds, rel=0.04)


# test_torch_zoo.py holds them to the shapes of torchvision and timm.
@pytest.mark.release
@pytest.mark.parametrize("name", [name for name in COUNTS if name not in TABLE_2])
def test_parameters(name):
    assert shapes_of(models.create_model(name), 64, 64).num_parameters == COUNTS[name]


def test_sizes_of_images():
    sizes = [models.create_model(name).default_image_size for name in COUNTS]
    assert sizes == [224, 240, 260, 300, 380, 456, 528, 600]


def test_defaults_of_a_size_may_be_changed():
    assert models.create_model("efficientnet_b0").dropout == 0.2
    large = models.create_model("efficientnet_b7")
    assert (large.dropout, large.epsilon, large.momentum) == (0.5, 1e-3, 0.99)
    assert models.create_model("efficientnet_b5", epsilon=1e-5).epsilon == 1e-5
    assert models.describe(large)["dropout"] == 0.5


def test_stochastic_depth_rises_from_block_to_block():
    model = models.create_model("efficientnet_b0", stochastic_depth=0.2)
    rates = [spec.drop_rate for stage in model.stages() for spec in stage]
    assert rates == pytest.approx([0.2 * i / 16 for i in range(16)])


@pytest.mark.parametrize(
    ("small_images", "expected"),
    [
        (False, {2: 16, 4: 24, 8: 40, 16: 112, 32: 1280}),
        (True, {1: 24, 2: 40, 4: 112, 8: 1280}),
    ],
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("efficientnet_b0", small_images=small_images)
    maps = shapes_of(model.clone(depth_multiplier=0.1), 32, 32).maps  # one block a stage
    assert {stride: size[-1] for stride, size in maps.items()} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stochastic_depth": 1.0}, r"stochastic_depth must be in \[0, 1\), got 1.0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"activation": "sillu"}, "unknown activation 'sillu'; did you mean 'silu'"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        models.create_model("efficientnet_b0", **options)
