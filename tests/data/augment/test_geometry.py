import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import augment
from jaxvision.data.augment import Sampling

KEYS = jax.random.split(jax.random.key(0), 2000)


def matrices(transform, height=32, width=32, keys=KEYS):
    return np.asarray(jax.jit(jax.vmap(lambda key: transform.matrix(key, height, width)))(keys))


def assert_uniform(values, low, high):
    """Kolmogorov-Smirnov: fails by chance once in a hundred million times."""
    place = np.sort((np.asarray(values, np.float64) - low) / (high - low))
    steps = np.arange(len(place) + 1) / len(place)
    distance = max(np.max(steps[1:] - place), np.max(place - steps[:-1]))
    assert distance * len(place) ** 0.5 < 3.1


def noise(height, width):
    return jax.random.uniform(jax.random.key(1), (height, width, 3))


def test_flips_of_one_image():
    image = noise(4, 5)
    np.testing.assert_array_equal(augment.flip_horizontal(image), image[:, ::-1])
    np.testing.assert_array_equal(augment.flip_vertical(image), image[::-1])


@pytest.mark.parametrize(
    ("matrix", "point", "expected"),
    [
        (augment.translation_matrix(3.0, -1.0), (0.0, 0.0), (3.0, -1.0)),
        (augment.rotation_matrix(90.0), (1.0, 0.0), (0.0, -1.0)),  # right goes up
        (augment.scaling_matrix(2.0), (1.0, 3.0), (2.0, 6.0)),
        (augment.shear_matrix(45.0, 0.0), (0.0, -1.0), (1.0, -1.0)),  # up leans right
        (augment.shear_matrix(0.0, 45.0), (1.0, 0.0), (1.0, -1.0)),  # right rises
    ],
)
def test_matrices_move_content_as_they_say(matrix, point, expected):
    np.testing.assert_allclose(augment.warp_points(jnp.array(point), matrix), expected, atol=1e-6)


@pytest.mark.parametrize(
    "matrix",
    [
        augment.rotation_matrix(77.0),
        augment.scaling_matrix(0.3),
        augment.shear_matrix(20.0, -35.0),
    ],
)
def test_centered_keeps_the_centre(matrix):
    centre = jnp.array([4.5, 2.0])
    moved = augment.warp_points(centre, augment.centered(matrix, height=5, width=10))
    np.testing.assert_allclose(moved, centre, atol=1e-5)


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_flip_happens_as_often_as_asked(direction, probability):
    flips = matrices(augment.random_flip(probability, direction=direction))
    axis = 0 if direction == "horizontal" else 1
    tolerance = 5 * (probability * (1 - probability) / len(flips)) ** 0.5
    assert abs(np.mean(flips[:, axis, axis] == -1) - probability) <= tolerance
    assert (flips[:, 1 - axis, 1 - axis] == 1).all()


@pytest.mark.parametrize(
    ("direction", "flip"),
    [("horizontal", augment.flip_horizontal), ("vertical", augment.flip_vertical)],
)
def test_flip_is_exact(direction, flip):
    image = noise(5, 8)
    flipped = augment.random_flip(1.0, direction=direction)(jax.random.key(0), image)
    np.testing.assert_array_equal(flipped, flip(image))


def test_crop_offsets_are_uniform_over_the_grid():
    offsets = matrices(augment.random_crop(padding=2))[:, :2, 2]
    assert (offsets == offsets.round()).all()
    assert np.abs(offsets).max() == 2
    counts = np.histogram2d(offsets[:, 0], offsets[:, 1], bins=np.arange(-2.5, 3))[0]
    expected = len(offsets) / 25
    assert np.abs(counts - expected).max() < 5 * expected**0.5


@pytest.mark.parametrize(
    ("boundary", "size"),
    [("constant", None), ("edge", None), ("reflect", None), ("constant", 6), ("reflect", (4, 9))],
)
def test_crop_is_a_slice_of_the_padded_image(boundary, size):
    crop = augment.random_crop(size, padding=3, sampling=Sampling(boundary=boundary))
    image, key = noise(7, 9), jax.random.key(3)
    left, top = matrices(crop, 7, 9, key[None])[0, :2, 2].astype(int) + 3
    height, width = (7, 9) if size is None else (6, 6) if size == 6 else size
    padded = jnp.pad(image, ((3, 3), (3, 3), (0, 0)), mode=boundary)
    np.testing.assert_array_equal(
        jax.jit(crop)(key, image), padded[top : top + height, left : left + width]
    )


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (32, 32, (0.08, 1.0), (3 / 4, 4 / 3)),
        (24, 48, (0.2, 0.9), (3 / 4, 4 / 3)),
        (8, 64, (0.5, 1.0), (1.0, 1.0)),  # no square of half the area fits
    ],
)
def test_resized_crop_stays_inside_with_uniform_area(height, width, scale, ratio):
    crop = augment.random_resized_crop((10, 7), scale=scale, ratio=ratio)
    drawn = matrices(crop, height, width)
    crop_width, crop_height = drawn[:, 0, 0] * 7, drawn[:, 1, 1] * 10
    left = drawn[:, 0, 2] + 0.5 - drawn[:, 0, 0] / 2
    top = drawn[:, 1, 2] + 0.5 - drawn[:, 1, 1] / 2
    assert left.min() > -1e-4
    assert top.min() > -1e-4
    assert (left + crop_width).max() < width + 1e-3
    assert (top + crop_height).max() < height + 1e-3
    assert_uniform(crop_width * crop_height / (height * width), *scale)
    aspect, fits = crop_width / crop_height, crop_width * crop_height
    low = np.clip(ratio[0], fits / height**2, width**2 / fits)
    high = np.clip(ratio[1], fits / height**2, width**2 / fits)
    assert (aspect > low * 0.999).all()
    assert (aspect < high * 1.001).all()
    spare = width - crop_width > 1
    assert_uniform((left / (width - crop_width))[spare], 0, 1)


def test_resized_crop_aspect_is_log_uniform_where_all_fit():
    drawn = matrices(augment.random_resized_crop(8, scale=(0.1, 0.4), ratio=(0.5, 2.0)))
    aspect = drawn[:, 0, 0] / drawn[:, 1, 1]
    assert_uniform(np.log(aspect), math.log(0.5), math.log(2.0))


def test_resized_crop_of_everything_is_the_image():
    image = noise(16, 16)
    whole = augment.random_resized_crop(16, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    np.testing.assert_allclose(jax.jit(whole)(jax.random.key(0), image), image, atol=1e-5)


@pytest.mark.parametrize("antialias", [True, False])
def test_resized_crop_antialias(antialias):
    crop = augment.random_resized_crop(8, scale=(1.0, 1.0), ratio=(1.0, 1.0), antialias=antialias)
    lines = jnp.zeros((64, 64, 1)).at[4::8].set(1.0)
    average = float(jax.jit(crop)(jax.random.key(0), lines)[1:-1].mean())
    assert average == pytest.approx(1 / 8 if antialias else 1 / 2, abs=1e-3)


def test_rotation_angles_are_uniform():
    drawn = matrices(augment.random_rotation(30.0))
    assert_uniform(np.degrees(np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0])), -30, 30)


def test_translations_are_uniform_in_whole_pixels():
    shifts = matrices(augment.random_translation(0.1, 0.25), height=16, width=32)[:, :2, 2]
    for axis, most in ((0, 3), (1, 4)):
        values, counts = np.unique(shifts[:, axis], return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        expected = len(shifts) / len(values)
        assert np.abs(counts - expected).max() < 5 * expected**0.5


def test_scale_is_log_uniform():
    drawn = matrices(augment.random_scale((0.5, 2.0)))
    np.testing.assert_array_equal(drawn[:, 0, 0], drawn[:, 1, 1])
    assert_uniform(np.log(1 / drawn[:, 0, 0]), math.log(0.5), math.log(2.0))


def test_shear_angles_are_uniform():
    drawn = matrices(augment.random_shear(20.0, 10.0))
    assert_uniform(np.degrees(np.arctan(drawn[:, 0, 1])), -20, 20)
    assert_uniform(np.degrees(np.arctan(drawn[:, 1, 0])), -10, 10)
    assert abs(np.corrcoef(drawn[:, 0, 1], drawn[:, 1, 0])[0, 1]) < 5 / len(drawn) ** 0.5


@pytest.mark.parametrize(
    "transform",
    [
        augment.random_flip(0.0),
        augment.random_crop(),
        augment.random_rotation(0.0),
        augment.random_translation(0.0, 0.0),
        augment.random_scale((1.0, 1.0)),
        augment.random_shear(0.0),
    ],
)
def test_no_strength_is_the_identity_bit_for_bit(transform):
    images = jnp.stack([noise(8, 9)] * 4)
    np.testing.assert_array_equal(jax.jit(transform)(jax.random.key(0), images), images)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.random_flip(1.5), "probability .* not 1.5"),
        (lambda: augment.random_flip(direction="sideways"), "unknown direction 'sideways'"),
        (lambda: augment.random_crop(padding=-1), "padding .* not -1"),
        (lambda: augment.random_crop(0), "positive height and width, not 0"),
        (lambda: augment.random_crop(9)(KEYS[0], jnp.zeros((8, 8, 1))), "9x9 from .* 8x8"),
        (lambda: augment.random_resized_crop(8, scale=(0.5, 1.5)), "scale .*1.5"),
        (lambda: augment.random_resized_crop(8, ratio=(2.0, 1.0)), "ratio .*low <= high"),
        (lambda: augment.random_rotation(-1.0), "degrees .* not -1"),
        (lambda: augment.random_translation(0.0, 1.5), "y .* not 1.5"),
        (lambda: augment.random_scale((0.0, 1.0)), "factor .*0 < low"),
        (lambda: augment.random_shear(90.0), "x_degrees .* not 90"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
