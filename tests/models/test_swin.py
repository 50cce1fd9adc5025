import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.swin import PatchMerging, SwinBlock


def shallow(**options):
    return models.create_model("swin_t", **options).clone(stage_sizes=(1, 1, 1, 1))


def test_parameters():
    assert shapes_of(models.create_model("swin_t"), 64, 64).num_parameters == 28_288_354


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {},
            {
                4: (8, 11, 96),
                8: (4, 6, 192),
                16: (2, 3, 384),
                32: (1, 2, 768),
            },
        ),
        (
            {"small_images": True},
            {
                2: (16, 23, 96),
                4: (8, 12, 192),
                8: (4, 6, 384),
                16: (2, 3, 768),
            },
        ),
    ],
)
def test_maps(options, expected):
    assert shapes_of(shallow(**options), 33, 47).maps == expected


def test_images_that_are_too_small():
    with pytest.raises(ValueError, match=r"images of at least 4x4, got the shape \(1, 3, 8, 3\)"):
        shapes_of(shallow(), 3, 8)
    assert shapes_of(shallow(), 4, 4).maps[32] == (1, 1, 768)


@pytest.mark.parametrize(
    ("shifted", "windows"),
    [
        (False, {(5, 5): ((4, 8), (4, 8))}),
        (
            True,
            {
                (5, 5): ((2, 6), (2, 6)),
                (0, 0): ((0, 2), (0, 2)),
                (7, 3): ((6, 8), (2, 6)),
                (7, 8): ((6, 8), (6, 9)),  # windows are completed on the right: 8 x 12
            },
        ),
    ],
)
def test_pixels_see_their_window(shifted, windows):
    layer = SwinBlock(num_heads=2, window=4, shifted=shifted)

    @quick.jit
    def gradients(x):
        variables = layer.init(jax.random.key(1), x, train=False)

        def pixel(x, row, column):
            return layer.apply(variables, x, train=False)[0, row, column].sum()

        return jax.vmap(jax.grad(pixel), in_axes=(None, 0, 0))(x, *np.transpose([*windows]))

    x = np.random.default_rng(0).normal(size=(1, 8, 9, 4)).astype(np.float32)
    for (place, (rows, columns)), gradient in zip(windows.items(), gradients(x), strict=True):
        expected = np.zeros((8, 9), bool)
        expected[slice(*rows), slice(*columns)] = True
        seen = np.abs(gradient[0]).max(axis=-1) > 1e-7
        np.testing.assert_array_equal(seen, expected, err_msg=f"of {place}")


def test_a_window_that_covers_all_is_not_shifted():
    plain, shifted = (SwinBlock(num_heads=2, window=4, shifted=each) for each in (False, True))

    @quick.jit
    def calls(x):
        y, variables = plain.init_with_output(jax.random.key(1), x, train=False)
        return y, shifted.apply(variables, x, train=False)

    y, other = calls(np.random.default_rng(0).normal(size=(2, 4, 3, 8)))
    np.testing.assert_array_equal(y, other)


def test_merging_takes_2x2_pixels():
    layer = PatchMerging()
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    y, variables = jax.device_get(
        quick.jit(lambda x: layer.init_with_output(jax.random.key(1), x))(x)
    )
    params = variables["params"]
    assert y.shape == (1, 2, 2, 4)
    four = np.concatenate([x[0, 0, 2], x[0, 1, 2], x[0, 0, 3], x[0, 1, 3]])
    four = (four - four.mean()) / np.sqrt(four.var() + 1e-5)
    np.testing.assert_allclose(y[0, 0, 1], four @ params["dense"]["kernel"], atol=1e-5)
    assert "bias" not in params["dense"]


@pytest.mark.parametrize("option", ["dropout", "attention_dropout", "stochastic_depth"])
def test_rates_that_are_refused(option):
    with pytest.raises(ValueError, match=rf"{option} must be in \[0, 1\), got -0.5"):
        models.create_model("swin_t", **{option: -0.5})
