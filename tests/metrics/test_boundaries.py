"""Distances of outlines, against all pairs of pixels."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxvision import metrics

RNG = np.random.default_rng(0)


def outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask with a neighbor outside, one after another."""
    padded = np.pad(mask, 1)
    inside = np.ones_like(mask)
    for axis in range(mask.ndim):
        for shift in (-1, 1):
            moved = np.roll(padded, shift, axis)[(slice(1, -1),) * mask.ndim]
            inside &= moved
    return np.argwhere(mask & ~inside)


def masks(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    first = RNG.random(shape) < 0.3
    return first, RNG.random(shape) < 0.1


@pytest.mark.parametrize("shape", [(40,), (17, 23), (7, 9, 11)])
@pytest.mark.parametrize("percentile", [0, 50, 95, 100])
def test_distances_equal_all_pairs(shape: tuple[int, ...], percentile: float) -> None:
    first, second = masks(*shape)
    spacing = np.linspace(0.5, 2, len(shape))
    pairs = cdist(outline(first) * spacing, outline(second) * spacing)
    expected = max(np.percentile(pairs.min(1), percentile), np.percentile(pairs.min(0), percentile))
    found = metrics.hausdorff_distance(
        first, second, percentile=percentile, spacing=spacing.tolist()
    )
    assert found == pytest.approx(expected)
    assert found == metrics.hausdorff_distance(
        second, first, percentile=percentile, spacing=spacing.tolist()
    )


@pytest.mark.parametrize("tolerance", [0, 1, 1.5])
def test_scores_equal_all_pairs(tolerance: float) -> None:
    first, second = masks(17, 23)
    pairs = cdist(outline(first), outline(second))
    recall, precision = ((pairs.min(axis) <= tolerance).mean() for axis in (1, 0))
    expected = 2 * precision * recall / (precision + recall)
    found = metrics.boundary_f1(first, second, tolerance=tolerance)
    assert found == pytest.approx(expected)


def test_squares() -> None:
    truth = np.zeros((12, 12), np.uint8)
    truth[2:7, 3:8] = 1
    larger = np.zeros((12, 12), np.uint8)
    larger[1:8, 2:9] = 1
    assert metrics.hausdorff_distance(truth, larger, percentile=100) == pytest.approx(2**0.5)
    assert metrics.boundary_f1(truth, larger, tolerance=2) == 1
    assert metrics.boundary_f1(truth, larger, tolerance=0.5) == 0
    assert metrics.hausdorff_distance(truth, truth) == 0
    assert metrics.boundary_f1(truth, truth, tolerance=0) == 1


def test_empty_masks() -> None:
    empty, some = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert metrics.hausdorff_distance(empty, empty) == 0
    assert metrics.hausdorff_distance(empty, some) == np.inf
    assert metrics.hausdorff_distance(some, empty) == np.inf
    assert metrics.boundary_f1(empty, empty) == 1
    assert metrics.boundary_f1(empty, some) == metrics.boundary_f1(some, empty) == 0


def test_whole_masks_end_at_the_border() -> None:
    whole = np.ones((5, 5), bool)
    inner = np.zeros((5, 5), bool)
    inner[1:4, 1:4] = True
    assert metrics.hausdorff_distance(whole, inner, percentile=100) == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentile": 101}, "percentile must be from 0 to 100, got 101"),
        ({"spacing": [1.0]}, "a positive number for each of 2 axes"),
        ({"spacing": [1.0, 0.0]}, "a positive number for each of 2 axes"),
        ({"spacing": [1.0, float("nan")]}, "a positive number for each of 2 axes"),
    ],
)
def test_options_that_are_not_allowed(options, message) -> None:
    some = np.eye(4, dtype=bool)
    with pytest.raises(ValueError, match=message):
        metrics.hausdorff_distance(some, some, **options)
    if "spacing" in options:
        with pytest.raises(ValueError, match=message):
            metrics.boundary_f1(some, some, **options)


def test_shapes_and_tolerances_that_are_not_allowed() -> None:
    some = np.eye(4, dtype=bool)
    with pytest.raises(ValueError, match=r"one shape, .* got \(4, 4\) and \(4, 3\)"):
        metrics.boundary_f1(some, some[:, :3])
    with pytest.raises(ValueError, match="tolerance must not be negative, got -1"):
        metrics.boundary_f1(some, some, tolerance=-1)
    with pytest.raises(ValueError, match="tolerance must not be negative, got nan"):
        metrics.boundary_f1(some, some, tolerance=float("nan"))
