import jax
import jax.numpy as jnp
import pytest
import quick

from jaxvision import models


@pytest.mark.parametrize(
    ("name", "count", "size"),
    quick.only(
        [
            ("efficientnet_b0", 5_288_548, 224),
            ("efficientnet_b1", 7_794_184, 240),
            ("efficientnet_b2", 9_109_994, 260),
            ("efficientnet_b3", 12_233_232, 300),
            ("efficientnet_b4", 19_341_616, 380),
            ("efficientnet_b5", 30_389_784, 456),
            ("efficientnet_b6", 43_040_704, 528),
            ("efficientnet_b7", 66_347_960, 600),
        ],
        "efficientnet_b0",
        "efficientnet_b1",
    ),
)
def test_parameters_and_sizes(name, count, size, count_parameters):
    model = models.create_model(name)
    assert count_parameters(model, (1, 64, 64, 3)) == count
    assert model.default_image_size == size


@pytest.mark.parametrize(
    ("name", "multiply_adds"), [("efficientnet_b0", 0.39), ("efficientnet_b3", 1.8)]
)
def test_multiply_adds_of_table_2(name, multiply_adds, count_multiply_adds):
    model = models.create_model(name)
    size = model.default_image_size
    counted = count_multiply_adds(model, (1, size, size, 3)) / 1e9
    assert counted == pytest.approx(multiply_adds, rel=0.04)


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
        (False, {"stride2": 16, "stride4": 24, "stride8": 40, "stride16": 112, "stride32": 1280}),
        (True, {"stride1": 24, "stride2": 40, "stride4": 112, "stride8": 1280}),
    ],
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("efficientnet_b0", small_images=small_images)
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        jnp.zeros((1, 32, 32, 3)),
    )
    assert {key: value.shape[-1] for key, value in features.items()} == expected


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
