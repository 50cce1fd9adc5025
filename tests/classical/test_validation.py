"""Cross-validation against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_iris

from jaxvision import classical

POINTS, LABELS = load_iris(return_X_y=True)
POINTS = POINTS.astype(np.float32)
FOLDS = classical.stratified_folds(LABELS, 5, seed=0)
KEY = jax.random.key(0)


def score(key, l2, train_weight, test_weight):
    model = classical.softmax_regression(
        POINTS, LABELS, num_classes=3, l2=l2, weight=train_weight, num_steps=40
    )
    right = model(POINTS).argmax(axis=1) == LABELS
    noise = jax.random.uniform(key) * 1e-3
    return {
        "accuracy": (test_weight * right).sum() / test_weight.sum(),
        "noise": noise,
        "train_examples": train_weight.sum(),
    }


def plain(key, train_weight, test_weight):
    return score(key, 0.01, train_weight, test_weight)


@pytest.mark.parametrize("how", ["together", "in turn"])
def test_folds_and_seeds_are_those_of_a_loop(how) -> None:
    found = classical.cross_validate(plain, FOLDS, key=KEY, num_seeds=2, how=how)
    assert found.scores["accuracy"].shape == (5, 2)
    for fold in range(5):
        kept = fold != FOLDS
        model = classical.softmax_regression(
            POINTS[kept], LABELS[kept], num_classes=3, l2=0.01, num_steps=40
        )
        right = np.asarray(model(POINTS[~kept])).argmax(axis=1) == LABELS[~kept]
        np.testing.assert_allclose(found.scores["accuracy"][fold], right.mean(), atol=1e-6)
    np.testing.assert_array_equal(found.scores["train_examples"], 120)
    first, second = found.scores["noise"].T
    assert (first == first[0]).all()
    assert first[0] != second[0]
    assert (found.train_examples, found.test_examples) == (120, 30)


def test_intervals_and_tests_make_up_for_shared_examples() -> None:
    values = np.array([[0.9], [0.8], [0.95], [0.85]])
    first = classical.Validated({"accuracy": values}, 75, 25)
    second = classical.Validated({"accuracy": values[::-1] - 0.1}, 75, 25)
    deviation = values.std(ddof=1) * np.sqrt(1 / 4 + 1 / 3)
    low, high = first.interval("accuracy")
    expected = stats.t.interval(0.95, 3, values.mean(), deviation)
    np.testing.assert_allclose((low, high), expected)
    test = first.compare(second, "accuracy")
    differences = values - values[::-1] + 0.1
    statistic = differences.mean() / (differences.std(ddof=1) * np.sqrt(1 / 4 + 1 / 3))
    assert test["difference"] == pytest.approx(0.1)
    assert test["p_value"] == pytest.approx(2 * stats.t.sf(statistic, 3))
    same = first.compare(first, "accuracy")
    assert (same["difference"], same["p_value"]) == (0, 1)
    with pytest.raises(ValueError, match="unknown score 'acuracy'"):
        first.mean("acuracy")
    with pytest.raises(ValueError, match="must be the same"):
        first.compare(classical.Validated({"accuracy": values[:2]}, 1, 1), "accuracy")


@pytest.mark.parametrize("how", ["together", "in turn"])
def test_options_are_chosen_without_the_fold_that_is_measured(how) -> None:
    choices = jnp.array([0.01, 3.0, 100.0])
    folds = classical.stratified_folds(LABELS, 3, seed=0)
    found, chosen = classical.nested_cross_validate(
        score, choices, folds, key=KEY, by="accuracy", how=how
    )
    assert chosen.tolist() == [0, 0, 0]
    whole = classical.cross_validate(plain, folds, key=KEY)
    np.testing.assert_allclose(found.scores["accuracy"], whole.scores["accuracy"], atol=1e-6)
    np.testing.assert_array_equal(found.scores["train_examples"], 100)

    def of_index(key, index, train_weight, test_weight):
        # Option 1 is best on fold 0 alone, which must not choose it for itself.
        on_first = (test_weight * (folds == 0)).sum() > 0
        return {"accuracy": jnp.where(on_first, index, 1 - index).astype(jnp.float32)}

    _, chosen = classical.nested_cross_validate(
        of_index, jnp.arange(2), folds, key=KEY, by="accuracy"
    )
    assert chosen[0] == 0


@pytest.mark.parametrize("folds", [np.zeros(4, int), np.array([0, 2, 2])])
def test_folds_without_examples_are_refused(folds) -> None:
    with pytest.raises(ValueError, match="each with examples; got folds of"):
        classical.cross_validate(plain, folds, key=KEY)
