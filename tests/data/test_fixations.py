"""Synthetic fixations: the law by another formula, draws that follow it, and how they move."""

import pickle

import jax
import numpy as np
import pytest
import quick
from scipy import stats

from jaxvision import data
from jaxvision.data import augment

SIZE = (10, 14)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Two objects on a gray background, and a row of padding."""
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 1:4, 2:7] = True
    masks[1, 6:9, 9:11] = True
    image = np.full((*SIZE, 3), 100, np.uint8)
    image[masks[0]], image[masks[1]] = (200, 60, 30), (90, 110, 140)
    return image, masks


def normal(mean, covariance) -> np.ndarray:
    """A normal distribution over the pixels, as SciPy computes it."""
    pixels = np.moveaxis(np.indices(SIZE), 0, -1)
    values = stats.multivariate_normal(mean, covariance).pdf(pixels)
    return values / values.sum()


def test_the_density_is_the_formula() -> None:
    image, masks = scene()
    law = data.Observers(
        center=0.2, uniform=0.3, contrast_power=1.5, size_power=0.5, spread=0.1, center_spread=0.3
    )
    colors = np.array([[200, 60, 30], [90, 110, 140], [100, 100, 100]]) / 255
    areas = np.array([15, 6, 10 * 14 - 21])
    apart = [[np.linalg.norm(a - b) for b in colors] for a in colors]
    contrast = [
        (apart[0][1] * 6 + apart[0][2] * areas[2]) / (6 + areas[2]),
        (apart[1][0] * 15 + apart[1][2] * areas[2]) / (15 + areas[2]),
    ]
    weights = np.array(contrast) ** 1.5 * areas[:2] ** 0.5
    weights /= weights.sum()
    np.testing.assert_allclose(law.weights(image, masks[:2]), weights, rtol=1e-12)
    # A rectangle of n pixels along an axis has the variance (n^2 - 1) / 12 there.
    objects = [
        normal((2, 4), np.diag([8 / 12 + 1, 24 / 12 + 1])),
        normal((7, 9.5), np.diag([8 / 12 + 1, 3 / 12 + 1])),
    ]
    expected = 0.5 * (weights[0] * objects[0] + weights[1] * objects[1])
    expected += 0.2 * normal((4.5, 6.5), np.diag([3.0**2, 4.2**2])) + 0.3 / 140
    found = law.density(image, masks)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(law.density(image / 255, masks), found)


def test_a_turned_object_has_its_covariance() -> None:
    """A diagonal of pixels: all variance lies along it."""
    mask = np.zeros((1, *SIZE), bool)
    mask[0, np.arange(2, 7), np.arange(4, 9)] = True
    law = data.Observers(center=0, uniform=1e-12, spread=0.05)
    found = law.density(np.where(mask[0, ..., None], 1.0, 0.0), mask)
    np.testing.assert_allclose(found, normal((4, 6), [[2.25, 2], [2, 2.25]]), rtol=1e-5, atol=1e-9)


def test_scenes_without_objects_or_without_contrast() -> None:
    image, masks = scene()
    law = data.Observers(center=0.1, uniform=0.3)
    empty = law.density(image, np.zeros((2, *SIZE), bool))
    middle = normal((4.5, 6.5), np.diag([2.5**2, 3.5**2]))
    np.testing.assert_allclose(empty, 0.25 * middle + 0.75 / 140, rtol=1e-6)
    np.testing.assert_array_equal(law.weights(np.zeros((*SIZE, 1)), masks[:2]), [0.5, 0.5])
    everything = np.ones((1, *SIZE), bool)
    np.testing.assert_array_equal(law.weights(image, everything), [1])


def test_draws_follow_the_density() -> None:
    density = np.random.default_rng(0).gamma(0.5, size=(5, 7))
    density[2, 3] = density[0, 0] = density[-1, -1] = 0
    places = data.draw_fixations(density, 20_000, (3, 4)).astype(int)
    counts = np.zeros((5, 7))
    np.add.at(counts, (places[:, 1], places[:, 0]), 1)
    assert not counts[density == 0].any()
    seen = density > 0
    expected = 20_000 * density[seen] / density.sum()
    assert stats.chisquare(counts[seen], expected).pvalue > 0.01
    same, other = (data.draw_fixations(density, 20_000, (3, key)).astype(int) for key in (4, 5))
    np.testing.assert_array_equal(same, places)
    assert (other != places).any(axis=1).mean() > 0.5


@pytest.mark.usefixtures("unchecked")
def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="spread must be finite and positive, got 0"):
        data.Observers(spread=0)
    with pytest.raises(ValueError, match="contrast_power must be finite and not negative, got -1"):
        data.Observers(contrast_power=-1)
    with pytest.raises(ValueError, match=r"sum must be in \(0, 1\], got 0.7 and 0.4"):
        data.Observers(center=0.7, uniform=0.4)
    image, masks = scene()
    with pytest.raises(ValueError, match=r"size of the image, \(10, 14\), and have \(9, 14\)"):
        data.Observers().density(image, masks[:, 1:])
    with pytest.raises(ValueError, match="not 0 everywhere, got values from 0"):
        data.draw_fixations(np.zeros((2, 2)), 1, (0, 0))
    with pytest.raises(ValueError, match="count"):
        data.with_fixations(count=0)
    with pytest.raises(data.DatasetError, match="unknown field 'masks'"):
        data.with_fixations(field="masks")({"image": image})


def source(copies: int = 2) -> list[dict]:
    image, masks = scene()
    example = {"image": image, "objects": {"masks": masks}}
    return [example] * copies + [{**example, "image": image + np.uint8(1)}]


def test_a_data_set_has_them_by_a_transform() -> None:
    """The same image has the same fixations wherever it is, and another image has others."""
    transform = pickle.loads(pickle.dumps(data.with_fixations(count=7, seed=2)))
    dataset = data.from_source(source(), name="three", split="train", transform=transform)
    assert dataset.fields["fixation_density"].kind == "map"
    assert dataset.fields["fixations"].kind == "points"
    first, again, other = (dataset[i] for i in range(3))
    np.testing.assert_array_equal(first["fixation_density"], data.Observers().density(*scene()))
    np.testing.assert_array_equal(first["fixations"], again["fixations"])
    assert (first["fixations"] != other["fixations"]).any()
    assert first["fixations"].shape == (7, 2)
    another = data.with_fixations(count=7, seed=3)({"image": first["image"], "objects/masks": []})
    assert (another["fixations"] != first["fixations"]).any()


def test_they_move_with_their_image() -> None:
    """After flips, each fixation has the density that it had; a crop marks those outside."""
    transform = data.with_fixations(count=40)
    dataset = data.from_source(source(), name="three", split="train", transform=transform)
    batch = next(dataset.batches(3, shuffle=False))
    batch["image"] = batch["image"] / np.float32(255)

    def move(batch):
        key = jax.random.key(0)
        flip = augment.chain(
            augment.random_flip(1.0), augment.random_flip(1.0, direction="vertical")
        )
        return flip(key, batch), augment.random_crop((5, 6))(key, batch)

    flipped, cut = jax.device_get(quick.jit(move)(batch))
    before, after = (
        each["fixation_density"][np.arange(3)[:, None], *places(each)] for each in (batch, flipped)
    )
    np.testing.assert_array_equal(before, after)
    assert (flipped["fixations"] != batch["fixations"]).any(axis=2).mean() > 0.9
    rows, columns = places(cut)
    inside = (rows >= 0) & (rows < 5) & (columns >= 0) & (columns < 6)
    np.testing.assert_array_equal(cut["fixations_valid"], inside)
    assert 0 < inside.mean() < 1
    # The crop copies pixels: a window of the density, whose sum is below 1.
    assert (cut["fixation_density"].sum(axis=(1, 2)) < 1).all()


def places(batch) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.moveaxis(np.round(batch["fixations"]).astype(int), -1, 0)
    return rows, columns
