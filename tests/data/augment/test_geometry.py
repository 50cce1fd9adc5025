import math

import jax
import numpy as np
import pytest
import quick

from jaxvision.data import augment
from jaxvision.data.augment import Sampling

COUNT = 2000


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def matrices(transform, height=32, width=32):
    """The matrices of many draws."""

    def drawn(key):
        keys = jax.random.split(key, COUNT)
        return jax.vmap(lambda key: transform.matrix(key, height, width))(keys)

    return run(drawn, jax.random.key(0))


def assert_uniform(values, low, high):
    """Kolmogorov-Smirnov: fails by chance once in a hundred million times."""
    place = np.sort((np.asarray(values, np.float64) - low) / (high - low))
    steps = np.arange(len(place) + 1) / len(place)
    distance = max(np.max(steps[1:] - place), np.max(place - steps[:-1]))
    assert distance * len(place) ** 0.5 < 3.1


def noise(height, width):
    return np.random.default_rng(1).uniform(size=(height, width, 3)).astype(np.float32)


def test_flips_of_one_image():
    image = noise(4, 5)
    functions = (augment.flip_horizontal, augment.flip_vertical)
    across, down = run(lambda image: [flip(image) for flip in functions], image)
    np.testing.assert_array_equal(across, image[:, ::-1])
    np.testing.assert_array_equal(down, image[::-1])


def test_matrices_move_content_as_they_say():
    def moved(points):
        made = (
            augment.translation_matrix(3.0, -1.0),
            augment.rotation_matrix(90.0),  # right goes up
            augment.scaling_matrix(2.0),
            augment.shear_matrix(45.0, 0.0),  # up leans right
            augment.shear_matrix(0.0, 45.0),  # right rises
        )
        return [augment.warp_points(*pair) for pair in zip(points, made, strict=True)]

    points = np.float32([(0, 0), (1, 0), (1, 3), (0, -1), (1, 0)])
    expected = [(3, -1), (0, -1), (2, 6), (1, -1), (1, -1)]
    np.testing.assert_allclose(run(moved, points), expected, atol=1e-6)


def test_centered_keeps_the_center():
    def moved(center):
        made = (
            augment.rotation_matrix(77.0),
            augment.scaling_matrix(0.3),
            augment.shear_matrix(20.0, -35.0),
        )
        return [augment.warp_points(center, augment.centered(each, 5, 10)) for each in made]

    center = np.float32([4.5, 2.0])
    np.testing.assert_allclose(run(moved, center), [center] * 3, atol=1e-5)


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 0), ("vertical", 1)])
def test_flip_happens_as_often_as_asked(direction, axis):
    probabilities = (0.0, 0.3, 0.5, 1.0)

    def drawn(key):
        flips = [augment.random_flip(each, direction=direction) for each in probabilities]
        matrices = jax.vmap(lambda key: [flip.matrix(key, 32, 32) for flip in flips])
        return matrices(jax.random.split(key, COUNT))

    for probability, flips in zip(probabilities, run(drawn, jax.random.key(0)), strict=True):
        tolerance = 5 * (probability * (1 - probability) / COUNT) ** 0.5
        share = np.mean(flips[:, axis, axis] == -1)
        assert abs(share - probability) <= tolerance, probability
        assert (flips[:, 1 - axis, 1 - axis] == 1).all()


def test_flip_is_exact():
    def flipped(key, image):
        directions = ("horizontal", "vertical")
        return [augment.random_flip(1.0, direction=each)(key, image) for each in directions]

    image = noise(5, 8)
    across, down = run(flipped, jax.random.key(0), image)
    np.testing.assert_array_equal(across, image[:, ::-1])
    np.testing.assert_array_equal(down, image[::-1])


def test_a_diagonal_flip_swaps_rows_and_columns():
    image = noise(6, 6)
    flip = augment.random_flip(1.0, direction="diagonal")
    swapped = run(lambda key, image: flip(key, image), jax.random.key(0), image)
    np.testing.assert_array_equal(swapped, image.swapaxes(0, 1))
    with pytest.raises(ValueError, match="a diagonal flip needs square images, got 5x8"):
        jax.eval_shape(flip, jax.random.key(0), noise(5, 8))


def test_crop_offsets_are_uniform_over_the_grid():
    offsets = matrices(augment.random_crop(padding=2))[:, :2, 2]
    assert (offsets == offsets.round()).all()
    assert np.abs(offsets).max() == 2
    counts = np.histogram2d(offsets[:, 0], offsets[:, 1], bins=np.arange(-2.5, 3))[0]
    expected = len(offsets) / 25
    assert np.abs(counts - expected).max() < 5 * expected**0.5


def test_crop_is_a_slice_of_the_padded_image():
    cases = [("constant", None), ("edge", 6), ("reflect", (4, 9))]

    def cropped(key, image):
        crops = [
            augment.random_crop(size, padding=3, sampling=Sampling(boundary=boundary))
            for boundary, size in cases
        ]
        return [(crop(key, image), crop.matrix(key, 7, 9)) for crop in crops]

    image = noise(7, 9)
    results = run(cropped, jax.random.key(3), image)
    for (boundary, size), (result, matrix) in zip(cases, results, strict=True):
        left, top = matrix[:2, 2].astype(int) + 3
        height, width = (7, 9) if size is None else (6, 6) if size == 6 else size
        padded = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode=boundary)
        expected = padded[top : top + height, left : left + width]
        np.testing.assert_array_equal(result, expected, f"{boundary} {size}")


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
    np.testing.assert_allclose(run(whole, jax.random.key(0), image), image, atol=1e-5)


def test_resized_crop_antialias():
    def cropped(key, lines):
        whole = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
        return [
            augment.random_resized_crop(8, antialias=antialias, **whole)(key, lines)
            for antialias in (True, False)
        ]

    lines = np.zeros((64, 64, 1), np.float32)
    lines[4::8] = 1
    smooth, plain = run(cropped, jax.random.key(0), lines)
    assert smooth[1:-1].mean() == pytest.approx(1 / 8, abs=1e-3)
    assert plain[1:-1].mean() == pytest.approx(1 / 2, abs=1e-3)


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


def test_no_strength_moves_nothing():
    transforms = (
        augment.random_flip(0.0),
        augment.random_crop(),
        augment.random_rotation(0.0),
        augment.random_translation(0.0, 0.0),
        augment.random_scale((1.0, 1.0)),
        augment.random_shear(0.0),
    )
    # A warp by this matrix copies images bit for bit, see test_warp.py.
    made = run(lambda key: [each.matrix(key, 8, 9) for each in transforms], jax.random.key(0))
    np.testing.assert_array_equal(made, [np.eye(3)] * len(transforms))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.random_flip(1.5), "probability .* not 1.5"),
        (lambda: augment.random_flip(direction="sideways"), "unknown direction 'sideways'"),
        (lambda: augment.random_crop(padding=-1), "padding .* not -1"),
        (lambda: augment.random_crop(0), "positive height and width, not 0"),
        (lambda: matrices(augment.random_crop(9), 8, 8), "9x9 from .* 8x8"),
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
