"""U-Net's weights of pixels: closed forms, what counts as an object, and how they move."""

import pickle

import jax
import numpy as np
import pytest
import quick

from jaxvision import data
from jaxvision.data import augment

BORDER = {"w0": 10, "sigma": 5, "class_balance": False}


def test_two_points_have_the_papers_formula_around_them() -> None:
    """(0, 2) and (6, 10): distances of every pixel of the background."""
    points = np.array([[0, 2], [6, 10]])
    masks = np.zeros((3, 9, 13), bool)  # and a row of padding
    for mask, (row, column) in zip(masks, points, strict=False):
        mask[row, column] = True
    rows, columns = np.mgrid[:9, :13]
    distances = [np.hypot(rows - row, columns - column) for row, column in points]
    expected = 1 + 10 * np.exp(-(np.add(*distances) ** 2) / 50)
    expected[tuple(points.T)] = 1
    found = data.boundary_weights(masks, **BORDER)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Half-way, both are 5 away: 10 exp(-(5 + 5)^2 / 50).
    assert found[3, 6] == pytest.approx(1 + 10 * np.exp(-2))


def test_of_three_objects_the_two_nearest_count() -> None:
    """Along a row: objects end at 2, begin at 6 and end at 8, and begin at 15."""
    mask = np.array([[1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 2, 2]])
    sums = {3: 1 + 3, 4: 2 + 2, 5: 3 + 1, 9: 1 + 6, 10: 2 + 5, 11: 3 + 4, 12: 4 + 3, 14: 6 + 1}
    found = data.boundary_weights(mask, w0=4, sigma=3, class_balance=False)
    for column, total in sums.items():
        assert found[0, column] == pytest.approx(1 + 4 * np.exp(-(total**2) / 18)), column
    np.testing.assert_array_equal(found[mask > 0], 1)


def test_rectangles_as_classes_and_as_instances() -> None:
    """Two of one class that meet at a corner are two; joined along a row they are one."""
    mask = np.zeros((8, 8), np.uint8)
    mask[1:3, 1:3] = mask[3:5, 3:5] = 3
    first = np.zeros((8, 8), bool)
    first[1:3, 1:3] = True
    instances = np.stack([first, (mask == 3) & ~first])
    options = {"w0": 1, "sigma": 2}
    np.testing.assert_array_equal(
        data.boundary_weights(mask, **options), data.boundary_weights(instances, **options)
    )
    mask[3, 2] = 3
    assert data.boundary_weights(mask, **BORDER).max() == 1
    mask[3, 2] = 2  # another class is another object
    assert data.boundary_weights(mask, **BORDER).max() > 5


def test_classes_are_balanced_with_a_mean_of_one() -> None:
    mask = np.array([[0, 0, 0, 0, 0, 0, 2, 2, 255, -1]])
    found = data.boundary_weights(mask)
    expected = [8 / (2 * 6)] * 6 + [8 / (2 * 2)] * 2 + [0, 0]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    assert found[:, :8].mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.zeros((3, 4), np.uint8), 1),
        (np.ones((3, 4), bool), 1),
        (np.full((3, 4), 255, np.uint8), 0),
        (np.zeros((0, 3, 4), bool), 1),
        (np.zeros((2, 3, 4), bool), 1),
    ],
)
def test_masks_without_objects_or_without_background(mask: np.ndarray, expected: int) -> None:
    np.testing.assert_array_equal(data.boundary_weights(mask), np.full((3, 4), expected))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.zeros((4, 4)), {}, "got float64 of shape"),
        (np.zeros((2, 4, 4), np.uint8), {}, r"got uint8 of shape \(2, 4, 4\)"),
        (np.zeros((4, 4), int), {"sigma": 0}, "sigma must be positive, got 0"),
        (np.zeros((4, 4), int), {"w0": -1.0}, "not negative, got -1.0"),
    ],
)
def test_what_is_refused(mask, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        data.boundary_weights(mask, **options)


def source() -> list[dict[str, np.ndarray]]:
    masks = np.zeros((2, 6, 8), bool)
    masks[0, 1:4, 1:3] = masks[1, 2:5, 5:7] = True
    image = np.zeros((6, 8, 3), np.uint8)
    return [{"image": image, "mask": masks.any(0).astype(np.uint8), "objects": {"masks": masks}}]


@pytest.mark.parametrize("field", ["mask", "objects/masks"])
def test_a_data_set_has_them_by_a_transform(field: str) -> None:
    transform = pickle.loads(pickle.dumps(data.with_boundary_weights(field, w0=3)))
    dataset = data.from_source(
        source(), name="two", split="train", transform=transform, pad={"objects": 4}
    )
    assert dataset.fields["pixel_weight"].kind == "map"
    expected = data.boundary_weights(source()[0]["objects"]["masks"], w0=3)
    np.testing.assert_array_equal(dataset[0]["pixel_weight"], expected)
    with pytest.raises(data.DatasetError, match="unknown field 'masc'"):
        data.with_boundary_weights("masc")(source()[0])


def test_weights_move_like_their_image_and_photometry_leaves_them() -> None:
    """Between pixels they are interpolated as an image is, and 0 beyond the border."""
    weights = np.random.default_rng(0).uniform(1, 9, (4, 9, 12)).astype(np.float32)
    # The first channel holds the weights; the fill of the image is not theirs.
    image = np.concatenate([weights[..., None] / 9, np.zeros((4, 9, 12, 2), np.float32)], -1)
    gray, black = (augment.Sampling(fill=fill) for fill in ((0.5, 0.4, 0.3), 0.0))

    def moved(key, image, weights):
        def turn(sampling):
            turn = augment.random_rotation(60.0, sampling=sampling)
            cut = augment.random_crop((7, 8), padding=2, sampling=sampling)
            return augment.chain(turn, cut)(key, {"image": image, "pixel_weight": weights})

        erase = augment.random_erasing(1.0)
        batch = {"image": image, "pixel_weight": weights.astype(np.float16)}
        return turn(gray), turn(black), erase(key, batch), augment.random_flip(1.0)(key, batch)

    filled, plain, erased, flipped = jax.device_get(
        quick.jit(moved)(jax.random.key(0), image, weights)
    )
    np.testing.assert_allclose(plain["pixel_weight"], 9 * plain["image"][..., 0], rtol=1e-5)
    np.testing.assert_array_equal(filled["pixel_weight"], plain["pixel_weight"])
    assert (filled["image"] != plain["image"]).any()
    assert (plain["pixel_weight"] == 0).any()
    half = weights.astype(np.float16)
    np.testing.assert_array_equal(erased["pixel_weight"], half)
    np.testing.assert_array_equal(flipped["pixel_weight"], half[:, :, ::-1])
    assert flipped["pixel_weight"].dtype == np.float16
    with pytest.raises(TypeError, match="a map must be floating, and 'pixel_weight' is int"):
        augment.random_flip()(
            jax.random.key(0), {"image": image, "pixel_weight": weights.astype(np.int32)}
        )
