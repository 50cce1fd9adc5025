"""Folds against scikit-learn's."""

import warnings

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

from jaxvision import classical


def of_splits(splits, count: int) -> np.ndarray:
    folds = np.full(count, -1)
    for index, (_, test) in enumerate(splits):
        folds[test] = index
    return folds


@pytest.mark.parametrize("num_folds", [2, 3, 5])
@pytest.mark.parametrize("count", [5, 17, 100])
def test_without_a_seed_they_are_those_of_scikit_learn(num_folds, count) -> None:
    labels = np.random.default_rng(count).integers(0, 3, count) * 7
    np.testing.assert_array_equal(
        classical.folds(count, num_folds), of_splits(KFold(num_folds).split(labels), count)
    )
    with warnings.catch_warnings(action="ignore"):
        try:
            splits = list(StratifiedKFold(num_folds).split(labels, labels))
        except ValueError:  # no class has so many examples
            return
    np.testing.assert_array_equal(
        classical.stratified_folds(labels, num_folds), of_splits(splits, count)
    )


def test_a_seed_draws_and_keeps_sizes() -> None:
    labels = np.repeat([0, 1, 2], [50, 31, 20])
    plain, drawn, again = (
        classical.stratified_folds(labels, 4, seed=seed) for seed in (None, 1, 1)
    )
    np.testing.assert_array_equal(drawn, again)
    assert (plain != drawn).any()
    for label in range(3):
        counts = [np.bincount(each[labels == label], minlength=4) for each in (plain, drawn)]
        np.testing.assert_array_equal(*counts)
    assert np.ptp(np.bincount(drawn)) <= 1
    assert sorted(classical.folds(7, 3, seed=0)) == [0, 0, 0, 1, 1, 2, 2]


def test_too_few_examples_or_folds() -> None:
    with pytest.raises(ValueError, match="3 folds need as many examples, got 2"):
        classical.folds(2, 3)
    with pytest.raises(ValueError, match="num_folds"):
        classical.stratified_folds(np.zeros(5, int), 1)
