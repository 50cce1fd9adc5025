"""What a classifier is worth on a test set, with intervals."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxvision import metrics

Logits = Float[np.ndarray, "examples classes"]
Labels = Int[np.ndarray, " examples"]


class Score(NamedTuple):
    """A number and its confidence interval; the ends are NaN where none was computed."""

    value: float
    low: float
    high: float


def softmax(logits: Logits) -> Float[np.ndarray, "examples classes"]:
    """Probabilities of logits, in float64 on the host.

    Args:
        logits: One row per example.

    Returns:
        Rows that sum to 1.

    >>> softmax(np.log(np.array([[1.0, 3.0]]))).round(6).tolist()
    [[0.25, 0.75]]
    """
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def classification_scores(
    logits: Logits,
    labels: Labels,
    *,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Score]:
    """Scores a classifier: how often it is right, over all and per class, and how sure it is.

    Args:
        logits: What `classification.predict` gave.
        labels: The classes.
        confidence: The level of the intervals: Wilson's for shares of examples, percentiles of the
            bootstrap for the others.
        num_resamples: Bootstrap draws; 0 leaves those intervals out, for very large test sets.
        seed: Of the draws.

    Returns:
        `accuracy`, `top_5_accuracy` (with more than five classes), `balanced_accuracy`, `macro_f1`,
        `matthews_correlation`, `roc_auc` (one class against the rest, mean), `log_loss` (nats) and
        `calibration_error` (expected, 15 bins).

    Raises:
        ValueError: There are no labels, or some are no class.

    >>> logits = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]])
    >>> scores = classification_scores(logits, np.array([0, 1, 1, 1]), num_resamples=0)
    >>> scores["accuracy"].value, round(scores["accuracy"].low, 3)
    (0.75, 0.301)
    """
    classes = logits.shape[1]
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"scores need a label from 0 to {classes - 1} for every example, got "
            + (f"{labels.min()} to {labels.max()}" if len(labels) else "no examples")
        )
    probabilities = softmax(logits)
    predictions = logits.argmax(axis=1)
    ranks = (logits > logits[np.arange(len(labels)), labels][:, None]).sum(axis=1)

    def share(right: np.ndarray) -> Score:
        interval = metrics.wilson_interval(int(right.sum()), len(right), confidence)
        return Score(float(right.mean()), *interval)

    def of_matrix(statistic: Callable[[np.ndarray], float]) -> Callable[..., float]:
        return lambda labels, predictions: statistic(
            metrics.confusion_matrix(labels, predictions, classes)
        )

    def bootstrap(statistic: Callable[..., float], *arrays: np.ndarray) -> Score:
        value = float(statistic(*arrays))
        if not num_resamples:
            return Score(value, np.nan, np.nan)
        interval = metrics.bootstrap_interval(
            statistic, *arrays, seed=seed, confidence=confidence, num_resamples=num_resamples
        )
        return Score(value, *interval)

    scores = {"accuracy": share(predictions == labels)}
    if classes > 5:
        scores["top_5_accuracy"] = share(ranks < 5)
    by_matrix: dict[str, Callable[[np.ndarray], float]] = {
        "balanced_accuracy": metrics.balanced_accuracy,
        "macro_f1": lambda matrix: float(metrics.f1_score(matrix, "macro")),
        "matthews_correlation": metrics.matthews_correlation,
    }
    for name, statistic in by_matrix.items():
        scores[name] = bootstrap(of_matrix(statistic), labels, predictions)
    auc_scores = probabilities[:, 1] if classes == 2 else probabilities
    by_probability: dict[str, tuple[Callable[..., float], np.ndarray]] = {
        "roc_auc": (lambda *pair: float(metrics.roc_auc(*pair)), auc_scores),
        "log_loss": (metrics.negative_log_likelihood, probabilities),
        "calibration_error": (metrics.expected_calibration_error, probabilities),
    }
    for name, (function, values) in by_probability.items():
        scores[name] = bootstrap(function, values, labels)
    return scores
