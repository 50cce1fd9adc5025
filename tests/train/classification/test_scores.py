"""Scores against the same functions called by hand, and what cannot be scored."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import metrics
from jaxvision.train import classification

RNG = np.random.default_rng(0)


def predictions(num_classes: int, count: int = 60) -> classification.Predictions:
    labels = np.arange(count) % num_classes
    logits = RNG.normal(size=(count, num_classes)).astype(np.float32)
    logits[np.arange(count), labels] += 1
    return classification.Predictions(logits, labels, np.arange(count))


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_scores(num_classes: int) -> None:
    given = predictions(num_classes)
    scores = classification.score(given, num_resamples=200)
    right = given.classes == given.labels
    assert scores["accuracy"].value == right.mean()
    matrix = metrics.confusion_matrix(given.labels, given.classes, num_classes)
    assert scores["balanced_accuracy"].value == metrics.balanced_accuracy(matrix)
    assert scores["matthews_correlation"].value == metrics.matthews_correlation(matrix)
    chosen = given.probabilities[np.arange(60), given.labels]
    assert scores["log_loss"].value == pytest.approx(-np.log(chosen).mean())
    assert ("top_5_accuracy" in scores) == (num_classes > 5)
    for score in scores.values():
        assert score.low <= score.value <= score.high
        assert score.low < score.high


def test_top_5_accuracy() -> None:
    """An example is right while fewer than five classes are before its own."""
    logits = np.tile(np.arange(7, dtype=np.float32), (7, 1))
    given = classification.Predictions(logits, np.arange(7), np.arange(7))
    scores = classification.score(given, num_resamples=0)
    assert scores["top_5_accuracy"].value == pytest.approx(5 / 7)
    assert np.isnan(scores["log_loss"].low)


@pytest.mark.parametrize(
    ("labels", "found"), [([0, 3], "0 to 3"), ([-1, 0], "-1 to 0"), ([], "no examples")]
)
def test_labels_that_are_no_classes(labels: list[int], found: str) -> None:
    logits = np.zeros((len(labels), 3), np.float32)
    given = classification.Predictions(logits, np.array(labels, int), np.arange(len(labels)))
    with pytest.raises(ValueError, match=f"a label from 0 to 2 for every example, got {found}"):
        classification.score(given)


def of(logits: list, labels: list[int]) -> dict[str, metrics.Score]:
    rows = np.asarray(logits, np.float32)
    return classification.score(
        classification.Predictions(rows, np.array(labels), np.arange(len(rows))), num_resamples=20
    )


def test_a_model_that_predicts_one_class() -> None:
    """Its correlation is undefined; every other score is there."""
    scores = of([[2, 0], [1, 0], [3, 0], [1, 0]], [0, 1, 0, 1])
    undefined = scores["matthews_correlation"]
    assert np.isnan(undefined[:3]).all()
    assert undefined.note == "all labels, or all predictions, are of one class"
    assert scores["accuracy"].value == 0.5
    assert not np.isnan(scores["roc_auc"].value)
    assert all(not score.note for name, score in scores.items() if name != "matthews_correlation")


def test_a_test_set_of_one_class() -> None:
    scores = of([[2, 0], [0, 1], [3, 0], [1, 0]], [0, 0, 0, 0])
    assert scores["roc_auc"].note == "all labels are of one class"
    assert np.isnan(scores["roc_auc"].value)
    assert scores["accuracy"].value == 0.75
    assert scores["balanced_accuracy"].low <= 0.75 <= scores["balanced_accuracy"].high


def test_a_label_of_probability_0() -> None:
    scores = of([[1e4, 0], [0, 1]], [1, 1])
    assert scores["log_loss"].value == np.inf
    assert scores["log_loss"].note == "a label has the probability 0"


def test_logits_that_are_not_finite() -> None:
    """An example whose logits hold a NaN is wrong, as for `metrics.accuracy`."""
    scores = of([[np.nan, 0], [0, 1], [1, 0]], [0, 1, 0])
    assert scores["accuracy"].value == pytest.approx(2 / 3)
    assert "NaN" in scores["roc_auc"].note or "nan" in scores["roc_auc"].note
    assert np.isnan(scores["log_loss"].value)


def test_ties_are_decided_as_by_the_metric_of_training() -> None:
    logits, labels = np.zeros((10, 10), np.float32), np.arange(10)
    given = classification.Predictions(logits, labels, labels)
    scores = classification.score(given, num_resamples=0)
    for name, k in (("accuracy", 1), ("top_5_accuracy", 5)):
        total, count = metrics.top_k_accuracy(jnp.asarray(logits), jnp.asarray(labels), k)
        assert scores[name].value == total / count == k / 10


def test_labels_that_are_no_whole_numbers() -> None:
    given = classification.Predictions(np.zeros((2, 3), "f"), np.array([0.0, 1.0]), np.arange(2))
    with pytest.raises(ValueError, match="labels must be whole numbers, got float64"):
        classification.score(given)
