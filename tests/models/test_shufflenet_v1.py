from functools import partial

import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.shufflenet_v1 import ShuffleNetV1, ShuffleUnit

CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}


def by_hand(groups):
    """Parameters of the paper's Table 1 for 1000 classes, BatchNorm's two per channel included."""
    total, before = 27 * 24 + 2 * 24, 24
    for stage, num_units in enumerate((4, 8, 4)):
        after = CHANNELS[groups] * 2**stage
        for i in range(num_units):
            narrow, residual = after // 4, after - before if i == 0 else after
            first_groups = 1 if (stage, i) == (0, 0) else groups
            total += before * narrow // first_groups + 9 * narrow + narrow * residual // groups
            total += 2 * narrow + 2 * narrow + 2 * residual
            before = after
    return total + before * 1000 + 1000


@pytest.mark.parametrize(
    ("groups", "count", "multiply_adds"),
    quick.only(
        [
            (1, 1_531_936, 143),
            (2, 1_733_848, 140),
            (3, 1_865_728, 137),
            (4, 1_968_344, 133),
            (8, 2_434_768, 137),
        ],
        3,
        slow=[8],
    ),
)
def test_parameters_and_table_1(groups, count, multiply_adds):
    model = models.create_model(f"shufflenet_v1_g{groups}")
    whole = models.summary(model, (224, 224, 3), show=False)
    assert whole.num_parameters == by_hand(groups) == count
    assert whole.multiply_adds / 1e6 == pytest.approx(multiply_adds, rel=0.02)


def test_shuffled_groups_see_each_other():
    # A channel of the input reaches one group of the first convolution, whose channels the shuffle
    # deals out to all groups of the last.
    layer = ShuffleUnit(features=24, groups=2, activation="tanh")

    @quick.jit
    def jacobian(x):
        variables = layer.init(jax.random.key(0), x, train=False)
        return jax.jacobian(lambda x: layer.apply(variables, x, train=False)[0, 1, 1])(x)

    touched = np.asarray(jacobian(np.ones((1, 3, 3, 24), np.float32)))[1:, 0, 1, 1, 0]
    assert (touched[:11] != 0).any()
    assert (touched[11:] != 0).any()


def test_a_unit_with_a_stride_has_the_averages_in_front():
    start = partial(ShuffleUnit(features=48, groups=3, stride=2).init_with_output, train=False)
    x = np.random.default_rng(0).random((1, 6, 6, 24), np.float32)
    y = np.asarray(quick.jit(lambda x: start(jax.random.key(1), x)[0])(x))
    assert y.shape == (1, 3, 3, 48)
    np.testing.assert_allclose(y[0, 1, 1, :24], x[0, 1:4, 1:4].mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(y[0, 0, 0, :24], x[0, :2, :2].sum((0, 1)) / 9, rtol=1e-6)


@pytest.mark.parametrize(
    ("small_images", "expected"),
    # Parameters and multiply-adds tell of the other channels too.
    quick.only(
        [
            (
                False,
                {2: 24, 4: 24, 8: 240, 16: 480, 32: 960},
            ),
            (True, {1: 24, 2: 240, 4: 480, 8: 960}),
        ],
        True,
    ),
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("shufflenet_v1_g3", small_images=small_images)
    maps = shapes_of(model, 32, 32).maps
    assert {stride: size[-1] for stride, size in maps.items()} == expected


def test_groups_that_the_paper_lacks_are_refused():
    with pytest.raises(ValueError, match="groups must be one of 1, 2, 3, 4, 8, got 5"):
        ShuffleNetV1(groups=5)


def test_there_are_no_weights():
    with pytest.raises(models.WeightsError, match="exists in neither torchvision nor timm"):
        models.save_weights(models.create_model("shufflenet_v1_g1"), {}, "x.safetensors")
