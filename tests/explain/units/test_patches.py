import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import explain
from jaxvision.explain import FieldGrid

PATTERN = np.array([[1, -1, 1], [-1, 2, -1], [1, -1, 1]], np.float32)


def detect(x):
    """Two channels: the planted pattern, and its negative; stride 2, padding 1."""
    kernel = jnp.stack([PATTERN, -PATTERN], axis=-1)[:, :, None]
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def planted():
    """Noise, with the pattern of several strengths around pixels that units are at."""
    images = np.random.default_rng(0).normal(scale=0.05, size=(10, 12, 12, 1)).astype(np.float32)
    places = {7: (4, 6, 3.0), 1: (2, 2, 2.0), 4: (0, 10, 1.5)}  # the last is cut by the top
    for index, (row, column, strength) in places.items():
        padded = np.pad(images[index, :, :, 0], 1)
        padded[row : row + 3, column : column + 3] += strength * PATTERN
        images[index, :, :, 0] = padded[1:-1, 1:-1]
    return images, places


def test_planted_patterns_are_found_in_a_stream_and_cropped_by_their_field() -> None:
    images, places = planted()
    grid = explain.field_grid(detect, (12, 12, 1))
    assert grid == FieldGrid((3, 3), (2, 2), (-1, -1))
    batches = (images[i : i + 4] for i in range(0, 10, 4))
    found = explain.strongest_patches(detect, batches, grid, channels=[0], count=3)
    assert found.indices.tolist() == [[7, 1, 4]]
    assert (2 * found.units).tolist() == [[list(place[:2]) for place in places.values()]]
    assert found.images.shape == (1, 3, 3, 3, 1)
    for rank, (row, column, _) in enumerate(places.values()):
        padded = np.pad(images[found.indices[0, rank], :, :, 0], 1)
        expected = padded[row : row + 3, column : column + 3]
        np.testing.assert_array_equal(found.images[0, rank, :, :, 0], expected)
        np.testing.assert_allclose(found.responses[0, rank], (expected * PATTERN).sum(), rtol=1e-5)


def test_the_batches_do_not_matter_and_what_is_missing_is_marked() -> None:
    images, _ = planted()
    grid = FieldGrid((3, 3), (2, 2), (-1, -1))
    whole = explain.strongest_patches(detect, [images], grid, count=12)
    filled = {"image": images[[5, 0, 6, 7, 8, 9, 7]], "weight": np.array([1.0, 0, 1, 1, 1, 1, 0])}
    parts = explain.strongest_patches(detect, [images[:0], images[:5], filled], grid, count=12)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sorted(whole.indices[0, :10]) == list(range(10))
    assert (whole.indices[:, 10:] == -1).all()
    assert np.isneginf(whole.responses[:, 10:]).all()
    assert (np.diff(whole.responses[:, :10]) <= 0).all()


def test_patches_have_the_type_of_the_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    grid = FieldGrid((2, 2), (2, 2), (0, 0))
    found = explain.strongest_patches(
        lambda x: (x[:, ::2, ::2] / 255).astype("bfloat16"), [images], grid, count=2
    )
    assert (found.images.dtype, found.images.shape) == (np.uint8, (3, 2, 2, 2, 3))


@pytest.mark.parametrize(
    ("f", "options", "message"),
    [
        (lambda x: x.mean((1, 2)), {}, r"maps .*got \(2, 1\)"),
        (lambda x: x, {"channels": [1]}, r"some of 0 to 0, got \[1\]"),
        (lambda x: x, {"channels": []}, r"got \[\]"),
        (lambda x: x, {"count": 0}, "count must be"),
    ],
)
def test_wrong_inputs_are_named(f, options, message) -> None:
    grid = FieldGrid((1, 1), (1, 1), (0, 0))
    with pytest.raises(ValueError, match=message):
        explain.strongest_patches(f, [np.ones((2, 4, 4, 1), np.float32)], grid, **options)


def test_without_images_there_is_nothing() -> None:
    with pytest.raises(ValueError, match="no images"):
        explain.strongest_patches(detect, [], FieldGrid((3, 3), (2, 2), (-1, -1)))
