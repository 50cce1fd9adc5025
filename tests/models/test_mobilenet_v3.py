import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models


@pytest.mark.parametrize(
    ("name", "count", "multiply_adds"),
    quick.only(
        [("mobilenet_v3_large", 5_483_032, 219), ("mobilenet_v3_small", 2_542_856, 56)],
        "mobilenet_v3_small",
    ),
)
def test_parameters_and_table_3(name, count, multiply_adds):
    whole = models.summary(models.create_model(name), (224, 224, 3), show=False)
    assert whole.num_parameters == count
    assert whole.multiply_adds / 1e6 == pytest.approx(multiply_adds, rel=0.02)


@pytest.mark.parametrize(
    ("name", "width_multiplier", "count"),
    quick.only(
        [("mobilenet_v3_small", 0.5, 917_264), ("mobilenet_v3_large", 0.75, 3_377_576)],
        slow=["mobilenet_v3_small"],
    ),
)
def test_parameters_of_other_widths(name, width_multiplier, count):
    # torchvision's, by `_mobilenet_v3_conf(name, width_mult=...)`.
    model = models.create_model(name, width_multiplier=width_multiplier)
    assert shapes_of(model, 64, 64).num_parameters == count


@pytest.mark.parametrize(
    ("small_images", "expected"),
    [
        (False, {2: 16, 4: 16, 8: 24, 16: 48, 32: 576}),
        (True, {1: 16, 2: 24, 4: 48, 8: 576}),
    ],
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("mobilenet_v3_small", small_images=small_images)
    shallow = model.clone(rows=tuple(rows[:1] for rows in model.rows))
    traced = shapes_of(shallow, 32, 32)
    assert {stride: size[-1] for stride, size in traced.maps.items()} == expected
    assert traced.variables["params"]["head"]["kernel"].shape == (1024, 1000)


@pytest.mark.parametrize(
    ("name", "count"),
    quick.only([("mobilenet_v3_small", 8), ("mobilenet_v3_large", 9)], "mobilenet_v3_small"),
)
def test_where_h_swish_is(name, count):
    # Twice in each of its blocks, which are the last, and in the stem, in `last` and in `hidden`.
    model = models.create_model(name)
    specs = [spec for stage in model.stages() for spec in stage]
    activations = [spec.activation for spec in specs]
    assert activations == ["relu"] * (len(specs) - count) + ["hard_swish"] * count
    jaxpr = jax.make_jaxpr(model.init_with_output)(jax.random.key(0), np.zeros((1, 32, 32, 3)))
    assert str(jaxpr).count("name=hard_silu") == 2 * count + 3


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
