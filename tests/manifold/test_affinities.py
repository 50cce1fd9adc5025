"""Probabilities of pairs against their definition."""

import jax
import numpy as np
import pytest
import scipy.optimize
from sklearn.datasets import load_iris

from jaxvision import classical, manifold

IRIS = load_iris().data.astype(np.float32)


def entropies(probabilities: np.ndarray) -> np.ndarray:
    logs = np.log(np.where(probabilities > 0, probabilities, 1))
    return -(probabilities * logs).sum(axis=1)


@pytest.mark.parametrize("perplexity", [2, 5.5, 30])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_each_point_has_the_perplexity(perplexity, metric) -> None:
    each = np.arange(len(IRIS))
    points = IRIS + np.random.default_rng(0).normal(0, 0.01, IRIS.shape).astype(np.float32)
    found = classical.nearest_neighbors(
        points, points, 95, metric=metric, query_groups=each, reference_groups=each
    )
    rows = manifold.conditional(np.square(found.distances), perplexity)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(entropies(np.asarray(rows)), np.log(perplexity), atol=1e-3)


def test_pairs_are_symmetric_sorted_and_sum_to_1() -> None:
    found = manifold.affinities(IRIS, 10)
    matrix = np.asarray(found.dense())
    np.testing.assert_array_equal(matrix, matrix.T)
    assert matrix.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert (np.diag(matrix) == 0).all()
    order = np.lexsort((found.columns, found.rows))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    assert (np.asarray(found.values) > 0).all()


def test_with_all_neighbors_they_are_those_of_the_definition() -> None:
    points = IRIS[::3].astype(np.float64)
    squares = np.square(points[:, None] - points).sum(axis=-1)

    def distribution(row: int, beta: float) -> np.ndarray:
        weights = np.exp(-beta * squares[row]) * (np.arange(len(points)) != row)
        return weights / weights.sum()

    rows = []
    for row in range(len(points)):
        beta = scipy.optimize.brentq(
            lambda beta, row=row: entropies(distribution(row, beta)[None])[0] - np.log(10),
            1e-3,
            1e3,
            xtol=1e-10,
        )
        rows.append(distribution(row, beta))
    expected = (np.array(rows) + np.array(rows).T) / (2 * len(points))
    found = manifold.affinities(IRIS[::3], 10.0, num_neighbors=len(points) - 1)
    np.testing.assert_allclose(found.dense(), expected, atol=1e-7)


def test_duplicates_and_scales_of_any_size() -> None:
    points = np.concatenate([np.zeros((40, 2)), np.ones((3, 2))]).astype(np.float32)
    found = manifold.affinities(points, 5)
    assert np.isfinite(found.values).all()
    assert float(found.values.sum()) == pytest.approx(1, abs=1e-5)
    drawn = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    large, small = (manifold.affinities(drawn * scale, 10).values for scale in (1e8, 1e-8))
    np.testing.assert_allclose(large, small, rtol=1e-3)
    many = jax.vmap(manifold.conditional, in_axes=(None, 0))
    squares = np.square(np.arange(1.0, 13.0, dtype=np.float32))[None]
    both = many(squares, np.array([3.0, 6.0], np.float32))
    np.testing.assert_allclose(entropies(np.asarray(both)[:, 0]), np.log([3, 6]), atol=1e-3)


@pytest.mark.parametrize(
    ("points", "perplexity", "message"),
    [
        (IRIS[:0], 5, r"3 points or more, .* got the shape \(0, 4\)"),
        (IRIS[:1], 5, "3 points or more"),
        (IRIS[:10], 9, "less than the number of neighbors, 9 of 10 points here; got 9"),
        (IRIS, 1, "more than 1"),
        (IRIS, -2.0, "perplexity"),
        (np.where(np.arange(150)[:, None] == 7, np.nan, IRIS), 5, "first of 1 .* is number 7"),
    ],
)
def test_what_is_refused(points, perplexity, message) -> None:
    with pytest.raises(ValueError, match=message):
        manifold.affinities(points, perplexity)


def test_all_pairs_are_the_same_by_search_and_without(unchecked) -> None:
    """With as many neighbors as there are, nothing is searched, and the numbers are the same."""
    points = IRIS[::5]
    each = np.arange(len(points))
    found = classical.nearest_neighbors(
        points, points, 29, query_groups=each, reference_groups=each
    )
    by_search = manifold.symmetric(found, manifold.conditional(np.square(found.distances), 6.0))
    for metric in ("l2", "l1", "cosine"):
        without = manifold.affinities(points, 6.0, metric=metric, num_neighbors=29)
        assert float(without.values.sum()) == pytest.approx(1, abs=1e-5)
        if metric == "l2":
            np.testing.assert_allclose(without.dense(), by_search.dense(), rtol=1e-3, atol=1e-7)
            assert float(without.row_entropy) == pytest.approx(np.log(6), abs=1e-4)
            assert float(by_search.row_entropy) == pytest.approx(np.log(6), abs=1e-4)
            expected = entropies(np.asarray(by_search.dense(), np.float64).reshape(1, -1))[0]
            assert float(by_search.entropy()) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="unknown metric 'manhattan'"):
        manifold.affinities(points, 6.0, metric="manhattan", num_neighbors=29)


def test_the_derivative_of_a_distribution_is_that_at_its_perplexity() -> None:
    """The width of the distribution moves with the distances, so that its perplexity stays."""
    squares = np.random.default_rng(0).random((3, 7)).astype(np.float32)
    along = np.random.default_rng(1).standard_normal((3, 7)).astype(np.float32)
    found, slope = jax.jvp(lambda each: manifold.conditional(each, 3.0), (squares,), (along,))
    step = 1e-2
    ahead, behind = (manifold.conditional(squares + side * along, 3.0) for side in (step, -step))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=0.02, atol=2e-3)
    logs = np.log(np.asarray(found))
    np.testing.assert_allclose((slope * (logs + 1)).sum(axis=1), 0, atol=1e-4)
