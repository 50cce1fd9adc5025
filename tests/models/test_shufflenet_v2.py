from functools import partial

import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

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
        slow=["shufflenet_v2_x2_0"],
    ),
)
def test_parameters_and_table_5(name, count, multiply_adds):
    whole = models.summary(models.create_model(name), (224, 224, 3), show=False)
    assert whole.num_parameters == count
    assert whole.multiply_adds / 1e6 == pytest.approx(multiply_adds, rel=0.02)


@pytest.mark.slow  # test_torch_zoo.py tells the windows by logits.
def test_receptive_field(receptive_field_of):
    # 3x3 at steps of 1 and 2 (the stem, the pooling), and 4, 8 and 4 at steps that double within.
    steps = [1, 2, 4, *(8,) * 3, 8, *(16,) * 7, 16, *(32,) * 3]
    model = models.create_model("shufflenet_v2_x0_5")
    assert receptive_field_of(model) == 1 + 2 * sum(steps) == 527


def test_half_of_the_channels_go_through_unchanged():
    start = partial(SplitUnit(features=8).init_with_output, train=False)
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 8)).astype(np.float32)
    y = np.asarray(quick.jit(lambda x: start(jax.random.key(1), x)[0])(x))
    np.testing.assert_array_equal(y[..., ::2], x[..., :4])


@pytest.mark.parametrize(
    ("small_images", "expected"),
    # Parameters and multiply-adds tell of the other channels too.
    quick.only(
        [
            (
                False,
                {2: 24, 4: 24, 8: 116, 16: 232, 32: 1024},
            ),
            (True, {1: 24, 2: 116, 4: 232, 8: 1024}),
        ],
        True,
    ),
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("shufflenet_v2_x1_0", small_images=small_images)
    maps = shapes_of(model, 32, 32).maps
    assert {stride: size[-1] for stride, size in maps.items()} == expected


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
