import jax
import jax.numpy as jnp
import pytest

from jaxvision import models


@pytest.mark.parametrize(
    ("name", "count", "multiply_adds"),
    [("mobilenet_v3_large", 5_483_032, 219), ("mobilenet_v3_small", 2_542_856, 56)],
)
def test_parameters_and_table_3(name, count, multiply_adds, count_parameters, count_multiply_adds):
    model = models.create_model(name)
    assert count_parameters(model, (1, 64, 64, 3)) == count
    counted = count_multiply_adds(model, (1, 224, 224, 3)) / 1e6
    assert counted == pytest.approx(multiply_adds, rel=0.02)


@pytest.mark.parametrize(
    ("name", "width_multiplier", "count"),
    [("mobilenet_v3_large", 0.75, 3_377_576), ("mobilenet_v3_small", 0.5, 917_264)],
)
def test_parameters_of_other_widths(name, width_multiplier, count, count_parameters):
    # torchvision's, by `_mobilenet_v3_conf(name, width_mult=...)`.
    model = models.create_model(name, width_multiplier=width_multiplier)
    assert count_parameters(model, (1, 64, 64, 3)) == count


@pytest.mark.parametrize(
    ("small_images", "expected"),
    [
        (False, {"stride2": 16, "stride4": 16, "stride8": 24, "stride16": 48, "stride32": 576}),
        (True, {"stride1": 16, "stride2": 24, "stride4": 48, "stride8": 576}),
    ],
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("mobilenet_v3_small", small_images=small_images)

    def calls(module, x):
        return module.features(x), module.embed(x)

    (features, vector), _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method=calls),
        jax.random.key(0),
        jnp.zeros((1, 32, 32, 3)),
    )
    assert {key: value.shape[-1] for key, value in features.items()} == expected
    assert vector.shape == (1, 1024)


@pytest.mark.parametrize(("name", "count"), [("mobilenet_v3_large", 9), ("mobilenet_v3_small", 8)])
def test_where_h_swish_is(name, count):
    # Twice in each of its blocks, which are the last, and in the stem, in `last` and in `hidden`.
    model = models.create_model(name)
    specs = [spec for stage in model.stages() for spec in stage]
    activations = [spec.activation for spec in specs]
    assert activations == ["relu"] * (len(specs) - count) + ["hard_swish"] * count
    images = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    jaxpr = str(jax.make_jaxpr(model.apply)(variables, images))
    assert jaxpr.count("name=hard_silu") == 2 * count + 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width_multiplier": 0.0}, "width_multiplier must be positive, got 0.0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
        ({"norm": "bath"}, "unknown norm 'bath'; did you mean 'batch'"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        models.create_model("mobilenet_v3_small", **options)
