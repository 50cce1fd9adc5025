import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.data import augment

COUNT = 2000


def run(transform, images):
    return jax.device_get(quick.jit(transform)(jax.random.key(0), images))


def erased(transform, shape=(20, 24, 1), count=COUNT):
    """Bounds of what one call has erased of each of many white images, and whether it did."""
    gone = (run(transform, np.ones((count, *shape), np.float32)) != 1).any(axis=-1)
    rows, columns = gone.any(axis=2), gone.any(axis=1)
    top, left = rows.argmax(axis=1), columns.argmax(axis=1)
    height, width = rows.sum(axis=1), columns.sum(axis=1)
    np.testing.assert_array_equal(gone.sum(axis=(1, 2)), height * width)  # full rectangles
    return top, left, height, width, gone.any(axis=(1, 2))


def test_rectangles_have_the_area_and_shape_asked_for():
    top, left, height, width, happened = erased(
        augment.random_erasing(1.0, scale=(0.1, 0.3), ratio=(0.5, 2.0))
    )
    assert happened.all()
    area = height * width / (20 * 24)
    assert 0.07 < area.min() < 0.12
    assert 0.28 < area.max() < 0.34
    assert abs(area.mean() - 0.2) < 5 * area.std() / COUNT**0.5 + 0.003  # rounding to pixels
    assert 0.4 < (width / height).min() < 0.6
    assert 1.7 < (width / height).max() < 2.4
    for start, side, length in ((top, height, 20), (left, width, 24)):
        assert (start + side).max() == length
        place = start / np.maximum(length - side, 1)
        assert abs(place.mean() - 0.5) < 5 * place.std() / COUNT**0.5


@pytest.mark.parametrize("probability", [0.0, 0.25])
def test_frequency(probability):
    *_, happened = erased(augment.random_erasing(probability))
    tolerance = 5 * (probability * (1 - probability) / COUNT) ** 0.5
    assert abs(happened.mean() - probability) <= tolerance


@pytest.mark.parametrize("ratio", [(0.05, 0.05), (20.0, 20.0)])
def test_shapes_that_do_not_fit_become_the_nearest_that_do(ratio):
    _, _, height, width, happened = erased(
        augment.random_erasing(1.0, scale=(0.5, 0.5), ratio=ratio), shape=(16, 16, 1), count=50
    )
    assert happened.all()
    assert set(zip(height, width, strict=True)) == {(16, 8) if ratio[0] < 1 else (8, 16)}


@pytest.mark.parametrize(("value", "dtype"), [(0.5, jnp.bfloat16), ((0.25, 0.5, 0.75), np.float32)])
def test_values(value, dtype):
    result = run(augment.random_erasing(1.0, value=value), np.zeros((8, 12, 12, 3), dtype))
    assert result.dtype == dtype
    changed = result[(result != 0).any(axis=-1)]
    assert len(changed) > 8
    np.testing.assert_array_equal(changed, np.broadcast_to(dtype(value), changed.shape))


def test_normal_values():
    result = run(
        augment.random_erasing(1.0, value="normal"), np.full((200, 16, 16, 2), 9, np.float32)
    )
    drawn = result[result != 9]
    assert abs(drawn.mean()) < 5 / len(drawn) ** 0.5
    assert abs(drawn.std() - 1) < 5 / (2 * len(drawn)) ** 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.random_erasing(-1.0), "probability .* not -1"),
        (lambda: augment.random_erasing(scale=(0.0, 0.5)), "scale"),
        (lambda: augment.random_erasing(ratio=(1.0, 0.5)), "ratio"),
        (lambda: augment.random_erasing(value="norm"), "did you mean 'normal'"),
        (
            lambda: run(augment.random_erasing(value=(0.0, 1.0)), np.zeros((4, 4, 3), np.float32)),
            "2 numbers for an image of 3 channels",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
