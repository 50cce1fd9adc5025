"""Scores against the same functions called by hand, and what cannot be scored."""

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
