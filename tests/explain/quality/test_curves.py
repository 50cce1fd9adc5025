import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.explain import quality

WEIGHTS = np.random.default_rng(1).normal(size=(7, 5, 3)).astype(np.float32)
IMAGES = np.random.default_rng(2).normal(size=(3, 7, 5, 3)).astype(np.float32)


def linear(x):
    return jnp.stack([(x * WEIGHTS).sum(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3))], axis=1)


def test_curves_of_a_linear_function_are_sums_of_its_contributions() -> None:
    maps = IMAGES * WEIGHTS
    delete = quick.jit(lambda x, maps: quality.deletion(linear, x, maps, 0))
    insert = quick.jit(lambda x, maps: quality.insertion(linear, x, maps, 0))
    contributions = -np.sort(-maps.sum(axis=3).reshape(3, -1), axis=1)
    inserted = np.cumsum(np.pad(contributions, ((0, 0), (1, 0))), axis=1)
    deleted, shown = delete(IMAGES, maps), insert(IMAGES, maps)
    np.testing.assert_allclose(shown.scores, inserted, atol=1e-4)
    np.testing.assert_allclose(deleted.scores, inserted[:, -1:] - inserted, atol=1e-4)
    np.testing.assert_allclose(shown.share, np.arange(36) / 35, rtol=1e-6)
    areas = np.trapezoid(inserted, dx=1 / 35, axis=1)
    np.testing.assert_allclose(shown.area, areas, rtol=1e-4)
    np.testing.assert_allclose(deleted.area, inserted[:, -1] - areas, atol=1e-4)
    # No order is better for a linear function.
    worse = delete(IMAGES, np.roll(maps, 1, axis=1))
    assert (worse.area > deleted.area).all()


def test_curves_equal_those_of_quantus(fixture, network) -> None:
    f, images, maps, labels = network
    curve = quick.jit(
        lambda *args: quality.deletion(f, *args, baseline=0.25, steps=10, batch_size=9)
    )(images, maps, labels)
    expected = fixture["faithfulness"]["pixel_flipping"]
    np.testing.assert_allclose(curve.scores[:, 1:], expected, atol=1e-5)
    np.testing.assert_allclose(curve.scores[:, 0], f(images)[np.arange(3), labels], atol=1e-5)


def test_pixels_of_equal_relevance_go_in_order_and_maps_may_have_one_channel() -> None:
    images = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1) * np.ones(2, np.float32)
    f = quick.jit(lambda x, maps: quality.deletion(lambda x: x.sum(axis=(1, 2)), x, maps, 1))
    found = f(images, np.ones((1, 2, 3, 1), np.float32))
    assert found.scores.tolist() == [[15, 15, 14, 12, 9, 5, 0]]


def test_rows_with_nan_and_their_neighbors() -> None:
    maps = IMAGES * WEIGHTS
    maps[1, 2, 3, 0] = np.nan
    curve = quick.jit(lambda x, maps: quality.insertion(linear, x, maps, steps=3))(IMAGES, maps)
    assert curve.scores.shape == (3, 4)
    assert np.isnan(curve.area).tolist() == [False, True, False]
    assert np.isnan(curve.scores[1]).all()


def test_empty_batches_and_half_precision() -> None:
    delete = quick.jit(lambda x, maps: quality.deletion(linear, x, maps, steps=2))
    half = IMAGES[:1].astype(jnp.bfloat16)
    curve = delete(half, half)
    assert curve.scores.dtype == jnp.float32
    assert abs(curve.scores[0, -1]) < 1e-6
    empty = delete(IMAGES[:0], IMAGES[:0])
    assert (empty.scores.shape, empty.area.shape) == ((0, 3), (0,))


def test_in_float64() -> None:
    with jax.enable_x64(True):
        images = IMAGES.astype(np.float64)
        curve = quick.jit(
            lambda x: quality.deletion(lambda x: x.sum(axis=(1, 2)), x, x, 2, steps=1)
        )(images)
        assert curve.scores.dtype == np.float64
        np.testing.assert_allclose(curve.scores[:, 0], images[..., 2].sum(axis=(1, 2)), rtol=1e-12)


def test_a_blurred_image_keeps_its_mean() -> None:
    spot = np.zeros((2, 31, 31, 3), np.float32)
    spot[:, 15, 15] = 1
    found = np.asarray(quick.jit(lambda x: quality.blurred(x, 2.0))(spot))
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(found[0], found[0].transpose(1, 0, 2), rtol=1e-5)
    assert found.max() < 0.05


@pytest.mark.parametrize(
    ("images", "maps", "options", "error", "message"),
    [
        (IMAGES, IMAGES[:2], {}, ValueError, r"images' shape \(3, 7, 5, 3\).*got \(2, 7, 5, 3\)"),
        (IMAGES, IMAGES[..., :2], {}, ValueError, r"or one channel, got \(3, 7, 5, 2\)"),
        (IMAGES, IMAGES[..., 0], {}, ValueError, r"maps must have the shape.*got \(3, 7, 5\)"),
        (IMAGES, IMAGES.astype(int), {}, TypeError, "maps must be floating point, got int64"),
        (IMAGES.astype(int), IMAGES, {}, TypeError, "images must be floating point, got int64"),
        (IMAGES, IMAGES, {"steps": 0}, ValueError, "steps must be a whole number"),
        (IMAGES, IMAGES, {"batch_size": 0}, ValueError, "batch_size must be 1 or more, got 0"),
        (IMAGES, IMAGES, {"baseline": np.zeros(7)}, ValueError, r"baseline must be a number"),
        (IMAGES, IMAGES, {"target": 2}, ValueError, "class from 0 to 1, got 2"),
    ],
)
def test_what_cannot_be(images, maps, options, error, message, unchecked) -> None:
    with pytest.raises(error, match=message):
        quality.deletion(lambda x: np.zeros((3, 2)), images, maps, **options)
