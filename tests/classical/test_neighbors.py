"""Nearest neighbors against distances in float64, and votes against scikit-learn's."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxvision import classical
from jaxvision.classical import neighbors


def draw(count: int, seed: int, features: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, features)).astype(np.float32)


def distances(queries: np.ndarray, references: np.ndarray, metric: str) -> np.ndarray:
    first, second = queries.astype(np.float64)[:, None], references.astype(np.float64)
    if metric == "l1":
        return np.abs(first - second).sum(-1)
    if metric == "l2":
        return np.sqrt(np.square(first - second).sum(-1))
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return 1 - (first * second).sum(-1) / np.where(lengths == 0, 1, lengths)


@pytest.mark.parametrize("metric", ["l2", "l1", "cosine"])
@pytest.mark.parametrize("block", [2**24, 100])
def test_they_are_those_of_all_distances(metric, block, monkeypatch) -> None:
    monkeypatch.setattr(neighbors, "_BLOCK_NUMBERS", block)
    neighbors.nearest_neighbors.clear_cache()
    queries, references = draw(23, 0), draw(37, 1) + 100 * (metric == "l2")
    references[3] = 0
    queries[7] = 0
    found = classical.nearest_neighbors(queries, references, 4, metric=metric)
    expected = distances(queries, references, metric)
    order = np.argsort(expected, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(found.indices[:7], order[:7])
    np.testing.assert_array_equal(found.indices[8:], order[8:])
    near = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_allclose(found.distances, near, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", ["l2", "l1", "cosine"])
def test_among_many_references_ties_are_kept_in_order(metric) -> None:
    rng = np.random.default_rng(0)
    queries, references = (rng.integers(0, 4, (count, 3)).astype(np.float32) for count in (9, 1003))
    found = classical.nearest_neighbors(queries, references, 7, metric=metric)
    if metric == "cosine":  # angles that are equal differ by rounding
        near = np.sort(distances(queries, references, metric), axis=1)[:, :7]
        np.testing.assert_allclose(found.distances, near, atol=1e-6)
        return
    order = np.argsort(distances(queries, references, metric), axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(found.indices, order)


def test_shapes_must_fit(unchecked) -> None:
    with pytest.raises(ValueError, match=r"as many features, got the shapes \(3, 2\) and \(3, 4\)"):
        classical.nearest_neighbors(np.ones((3, 2)), np.ones((3, 4)), 1)


def test_far_from_the_origin_nothing_cancels() -> None:
    points = draw(50, 0) * 1e-2 + 1000
    found = classical.nearest_neighbors(points, points, 3)
    expected = np.sort(distances(points, points, "l2"), axis=1)[:, :3]
    np.testing.assert_allclose(found.distances, expected, atol=2e-4)
    np.testing.assert_array_equal(found.distances[:, 0], 0)


def test_equally_near_ones_come_in_their_order_and_groups_are_left_out() -> None:
    points = np.array([[0.0], [1.0], [1.0], [-1.0], [0.0]], np.float32)
    found = classical.nearest_neighbors(points[:1], points, 5)
    assert found.indices.tolist() == [[0, 4, 1, 2, 3]]
    groups = np.array([0, 1, 0, 1, 0])
    found = classical.nearest_neighbors(
        points[:2], points, 4, query_groups=groups[:2], reference_groups=groups
    )
    assert found.indices[:, :2].tolist() == [[1, 3], [2, 0]]
    assert np.isinf(found.distances).tolist() == [[False, False, True, True], [False] * 3 + [True]]
    assert classical.nearest_neighbors(points[:0], points, 2).indices.shape == (0, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 4}, "k must be at most the number of references, 3, got 4"),
        ({"k": 0}, "k must be"),
        ({"k": 1, "metric": "l3"}, "unknown metric 'l3'"),
        ({"k": 1, "query_groups": np.zeros(2, int)}, "must be given together"),
    ],
)
def test_what_is_refused(options, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        classical.nearest_neighbors(draw(2, 0), draw(3, 1), **options)


def test_accuracies_on_digits() -> None:
    """scikit-learn's KNeighborsClassifier has these by cross_val_score with five folds."""
    points, labels = load_digits(return_X_y=True)
    folds = classical.stratified_folds(labels, 5)
    found = classical.knn_accuracies(points.astype(np.float32), labels, [1, 3, 5], folds)
    np.testing.assert_allclose(found.mean(axis=0), [0.96439, 0.96662, 0.96273], atol=5e-6)


def test_of_equally_many_votes_the_smallest_class_wins() -> None:
    points = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    labels = np.array([2, 1, 1, 2])
    for k, winner in ((1, 2), (2, 1), (3, 1), (4, 1)):
        assert classical.knn_classify(
            np.zeros((1, 1), np.float32), points, labels, k, num_classes=3
        ).tolist() == [winner]
    with pytest.raises(ValueError, match="leaves 2 points, fewer than 3"):
        classical.knn_accuracies(points, labels, [1, 3], np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="ks and points must not be empty"):
        classical.knn_accuracies(points, labels, [], np.array([0, 1, 0, 1]))
