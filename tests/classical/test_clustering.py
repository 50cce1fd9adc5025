"""k-means against its definition and a known result."""

import jax
import numpy as np
import pytest
from sklearn.datasets import load_iris

from jaxvision import classical

IRIS = load_iris().data.astype(np.float32)
KEY = jax.random.key(0)


def test_iris() -> None:
    """scikit-learn's KMeans has an inertia of 78.8514."""
    found = classical.kmeans(IRIS, 3, key=KEY)
    assert float(found.inertia) == pytest.approx(78.8514, abs=1e-3)
    assert bool(found.converged)
    assert sorted(np.bincount(found.labels)) == [38, 50, 62]
    for label in range(3):
        mean = IRIS[np.asarray(found.labels) == label].mean(axis=0)
        np.testing.assert_allclose(found.centers[label], mean, atol=1e-4)


def test_every_start_counts_and_the_key_decides() -> None:
    many, one, again = (
        classical.kmeans(IRIS, 8, key=KEY, num_starts=count) for count in (20, 1, 1)
    )
    assert float(many.inertia) <= float(one.inertia)
    np.testing.assert_array_equal(one.centers, again.centers)


def test_points_that_are_alike_and_centers_without_points() -> None:
    same = classical.kmeans(np.ones((5, 2), np.float32), 3, key=KEY, num_starts=2)
    assert float(same.inertia) == 0
    assert int(same.steps) < 10
    pairs = np.array([[0.0], [0.0], [0.0], [9.0], [20.0]], np.float32)
    found = classical.kmeans(pairs, 3, key=KEY, num_starts=3)
    assert float(found.inertia) < 1e-9
    np.testing.assert_allclose(np.sort(found.centers[:, 0]), [0, 9, 20], atol=1e-5)


def test_the_first_centers_are_far_from_each_other() -> None:
    points = np.repeat([[0.0], [50.0], [100.0]], [200, 2, 200], axis=0).astype(np.float32)
    points += np.random.default_rng(0).normal(0, 0.01, points.shape).astype(np.float32)
    drawn = [classical.plus_plus(points, 3, key=jax.random.key(seed)) for seed in range(8)]
    assert all(set(np.round(centers[:, 0] / 50).tolist()) == {0, 1, 2} for centers in drawn)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clusters": 151}, "at most the number of points, 150, got 151"),
        ({"num_clusters": 0}, "num_clusters"),
        ({"num_clusters": 2, "num_starts": 0}, "num_starts"),
    ],
)
def test_what_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        classical.kmeans(IRIS, key=KEY, **options)
