from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import models
from jaxvision.models.shufflenet_v2 import SplitUnit


@pytest.mark.parametrize(
    ("name", "count", "multiply_adds"),
    quick.only(
        [
            ("shufflenet_v2_x0_5", 1_366_792, 41),
            ("shufflenet_v2_x1_0", 2_278_604, 146),
            ("shufflenet_v2_x1_5", 3_503_624, 299),
            ("shufflenet_v2_x2_0", 7_393_996, 591),
        ],
        "shufflenet_v2_x1_0",
    ),
)
def test_parameters_and_table_5(name, count, multiply_adds, count_parameters, count_multiply_adds):
    model = models.create_model(name)
    assert count_parameters(model, (1, 64, 64, 3)) == count
    counted = count_multiply_adds(model, (1, 224, 224, 3)) / 1e6
    assert counted == pytest.approx(multiply_adds, rel=0.02)


def test_receptive_field(receptive_field_of):
    # 3x3 at steps of 1 and 2 (the stem, the pooling), and 4, 8 and 4 at steps that double within.
    steps = [1, 2, 4, *(8,) * 3, 8, *(16,) * 7, 16, *(32,) * 3]
    model = models.create_model("shufflenet_v2_x0_5")
    assert receptive_field_of(model) == 1 + 2 * sum(steps) == 527


def test_half_of_the_channels_go_through_unchanged():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 8))
    init = partial(SplitUnit(features=8).init_with_output, train=False)
    y, _ = jax.jit(init)(jax.random.key(1), x)
    np.testing.assert_array_equal(y[..., ::2], x[..., :4])


@pytest.mark.parametrize(
    ("small_images", "expected"),
    [
        (False, {"stride2": 24, "stride4": 24, "stride8": 116, "stride16": 232, "stride32": 1024}),
        (True, {"stride1": 24, "stride2": 116, "stride4": 232, "stride8": 1024}),
    ],
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("shufflenet_v2_x1_0", small_images=small_images)
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        jnp.zeros((1, 32, 32, 3)),
    )
    assert {key: value.shape[-1] for key, value in features.items()} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "bath"}, "unknown norm 'bath'; did you mean 'batch'"),
        ({"activation": "relu7"}, "unknown activation 'relu7'; did you mean 'relu"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        models.create_model("shufflenet_v2_x0_5", **options)
