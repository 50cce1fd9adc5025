"""Measures of embeddings against scikit-learn's, and against their definitions."""

import numpy as np
import pytest
import sklearn.manifold
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from jaxvision import metrics
from jaxvision.metrics import _distances


@pytest.fixture
def pair():
    points = load_iris().data + np.random.default_rng(0).normal(0, 1e-3, (150, 4))
    return points, PCA(1).fit_transform(points)


@pytest.mark.parametrize("k", [1, 5, 10, 30])
@pytest.mark.parametrize("block", [2**22, 1000])
def test_trustworthiness_is_that_of_scikit_learn(k, block, pair, monkeypatch) -> None:
    monkeypatch.setattr(_distances, "_BLOCK", block)
    points, embedding = pair
    expected = sklearn.manifold.trustworthiness(points, embedding, n_neighbors=k)
    assert metrics.trustworthiness(points, embedding, k=k) == pytest.approx(expected, abs=1e-12)
    expected = sklearn.manifold.trustworthiness(embedding, points, n_neighbors=k)
    assert metrics.continuity(points, embedding, k=k) == pytest.approx(expected, abs=1e-12)


def test_preserved_neighbors_are_counted(pair) -> None:
    points, embedding = pair
    near, shown = (
        NearestNeighbors(n_neighbors=10).fit(each).kneighbors(return_distance=False)
        for each in (points, embedding)
    )
    share = np.mean([len({*one} & {*other}) / 10 for one, other in zip(near, shown, strict=True)])
    assert 0.2 < share < 0.9
    assert metrics.neighbor_preservation(points, embedding) == pytest.approx(share, abs=1e-12)


def test_equal_distances_go_by_order() -> None:
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    same = corners.copy()
    assert metrics.trustworthiness(corners, same, k=1) == 1
    assert metrics.neighbor_preservation(corners, same, k=1) == 1
    # The nearest of the first is the second, and not the third, which is as near.
    swapped = corners.copy()
    swapped[1] = 0, 1.1
    assert metrics.neighbor_preservation(corners, swapped, k=1) == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("points", "embedding", "k", "message"),
    [
        (np.ones((5, 2)), np.ones((4, 2)), 1, "the same number of rows"),
        (np.ones((6, 2)), np.ones((6, 2)), 3, "less than half of the 6 points, got 3"),
        (np.ones((6, 2)), np.ones((6, 2)), 0, "k must be at least 1"),
        (np.full((6, 2), np.nan), np.ones((6, 2)), 1, "NaN"),
        (np.ones(6), np.ones((6, 2)), 1, "matrices"),
        (np.ones((0, 2)), np.ones((0, 2)), 1, "empty"),
    ],
)
def test_what_cannot_be_measured_is_refused(points, embedding, k, message, unchecked) -> None:
    for measure in (metrics.trustworthiness, metrics.continuity, metrics.neighbor_preservation):
        with pytest.raises(ValueError, match=message):
            measure(points, embedding, k=k)
