import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from attribution_nets import captum, inputs, net

from jaxvision import explain
from jaxvision.explain.perturbation import random_mask

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).normal(size=(2, 7, 6, 2)).astype(np.float32)


def test_occlusion_equals_captum() -> None:
    images, baseline, target = inputs()
    found = quick.jit(
        lambda x, b: explain.occlusion(
            net("conv"), x, target, window=(3, 2), stride=(2, 1), baseline=b, batch_size=7
        )
    )(images, baseline)
    expected = captum()["conv/occlusion"]  # equal in both channels
    np.testing.assert_allclose(found.map, expected[..., :1], rtol=1e-3, atol=1e-5)
    assert found.holds.all()


def test_occlusion_of_linear_functions() -> None:
    weights = np.random.default_rng(1).normal(size=(7, 6, 2)).astype(np.float32)

    def f(x):
        return (x * weights).sum(axis=(1, 2, 3), keepdims=True)[..., 0, 0] + 3

    @quick.jit
    def found(x):
        return (
            explain.occlusion(f, x, window=1, baseline=0.5).map,
            explain.occlusion(f, x, window=(7, 6), stride=7 - 1).map,
            explain.occlusion(f, x, window=100).map,
            explain.occlusion(f, x[:0], window=4).map,
        )

    pixels, whole, larger, empty = found(IMAGES)
    expected = ((IMAGES - 0.5) * weights).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(pixels, expected, atol=1e-5)
    total = (IMAGES * weights).sum(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(whole, np.broadcast_to(total, whole.shape), rtol=1e-4)
    np.testing.assert_allclose(larger, whole, rtol=1e-5)
    assert empty.shape == (0, 7, 6, 1)


def test_masks_of_rise() -> None:
    @quick.jit
    def masks(keys):
        return jax.vmap(lambda key: random_mask(key, (7, 6), (3, 2), 0.25))(keys)

    found = np.asarray(masks(jax.random.split(KEY, 4000)))
    assert found.min() == 0
    assert found.max() == 1
    np.testing.assert_allclose(found.mean(axis=0), 0.25, atol=0.03)
    neighbors = np.corrcoef(found[:, 3, 2], found[:, 3, 3])[0, 1]
    distant = np.corrcoef(found[:, 0, 0], found[:, 6, 5])[0, 1]
    assert neighbors > 0.8
    assert abs(distant) < 0.1


def test_rise_is_the_mean_score_while_a_pixel_is_shown() -> None:
    images, baseline, target = inputs()
    f = net("conv")

    @quick.jit
    def found(x, b):
        options = {"key": KEY, "masks": 50, "grid": 3, "visible": 0.4, "baseline": b}
        return explain.rise(f, x, target, batch_size=24, **options)

    @quick.jit
    def expected(x, b):
        masks = jax.vmap(
            lambda number: random_mask(jax.random.fold_in(KEY, number), (7, 6), (3, 3), 0.4)
        )(jnp.arange(50))[:, None, :, :, None]
        scores = jax.vmap(f)(x * masks + b * (1 - masks))[:, np.arange(3), target]
        weighted = scores[..., None, None, None] * masks / 0.4
        return weighted.mean(axis=0), scores.mean(axis=0), masks.mean(axis=0)

    estimate = found(images, baseline)
    paper, mean, shown = expected(images, baseline)
    centered = paper - np.asarray(mean)[:, None, None, None] * shown / 0.4
    np.testing.assert_allclose(estimate.map, centered, rtol=1e-3, atol=1e-5)
    assert estimate.map.shape == (3, 7, 6, 1)
    assert (estimate.standard_error > 0).all()


@pytest.mark.slow
def test_standard_errors_of_rise() -> None:
    images, _, target = inputs()

    @quick.jit
    def found(keys):
        return jax.lax.map(
            lambda key: explain.rise(net("conv"), images, target, key=key, masks=200, grid=3), keys
        )

    runs = found(jax.random.split(KEY, 200))
    spread = np.std(runs.map, axis=0)
    np.testing.assert_allclose(np.mean(runs.standard_error, axis=0), spread, rtol=0.25)
    low, high = runs.band(0.95)
    is_inside = (low <= runs.map.mean(axis=0)) & (runs.map.mean(axis=0) <= high)
    assert 0.92 < is_inside.mean() < 0.98


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtypes(dtype) -> None:
    with jax.enable_x64(dtype == "float64"):

        @quick.jit
        def found(x):
            def f(y):
                return y.mean(axis=(1, 2))

            return (
                explain.occlusion(f, x, 0, window=3).map,
                explain.rise(f, x, 0, key=KEY, masks=8).map,
            )

        maps = found(jnp.asarray(IMAGES, dtype))
    assert all(np.isfinite(each).all() for each in maps)
    assert maps[0].dtype == ("float64" if dtype == "float64" else "float32")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be a positive height and width, got 0"),
        ({"window": (2, 3), "stride": (2, 4)}, r"at most the window \(2, 3\), got \(2, 4\)"),
        ({"window": 2, "baseline": np.ones(3)}, r"broadcast to the images' shape"),
        ({"window": 2, "batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_wrong_windows(options, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        explain.occlusion(lambda x: x.mean(axis=(1, 2)), IMAGES, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"visible": 1.0}, r"visible must be between 0 and 1, got 1\.0"),
        ({"masks": 1}, "2 samples or more, got 1"),
        ({"grid": (3, 0)}, r"grid must be a positive height and width, got \(3, 0\)"),
    ],
)
def test_wrong_masks(options, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        explain.rise(lambda x: x.mean(axis=(1, 2)), IMAGES, key=KEY, **options)
