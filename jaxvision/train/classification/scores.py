"""Scores of a classifier, with confidence intervals."""

from collections.abc import Callable

import jax
import numpy as np

from jaxvision import metrics
from jaxvision.metrics import Score
from jaxvision.train.classification.prediction import Predictions


def score(
    predictions: Predictions,
    *,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Score]:
    """Scores a classifier: its accuracy, its balance over classes, and its probabilities.

    Args:
        predictions: Output of `predict`.
        confidence: Level of the intervals: Wilson's for accuracies, percentile bootstrap for
            others.
        num_resamples: Bootstrap resamples; 0 skips the bootstrap, for very large test sets.
        seed: Seed of the bootstrap.

    Returns:
        `accuracy`, `top_5_accuracy` (with more than five classes), `balanced_accuracy`, `macro_f1`,
        `matthews_correlation`, `roc_auc` (mean over classes, each against the rest), `log_loss`
        (nats) and `calibration_error` (expected, 15 bins). An undefined score, such as the ROC AUC
        of examples of one class, is NaN and has a `note`. In a tie of logits the lower class wins,
        as in `metrics.accuracy`.

    Raises:
        ValueError: There are no examples, or a label is not a class.

    >>> logits = np.array([[2, 0], [0, 1], [1, 0], [0, 3]], np.float32)
    >>> predictions = Predictions(logits, np.array([0, 1, 1, 1]), np.arange(4))
    >>> scores = score(predictions, num_resamples=0)
    >>> scores["accuracy"].value, round(scores["accuracy"].low, 3)
    (0.75, 0.301)
    """
    logits, labels, _ = predictions
    _check(logits, labels)

    def top_k(k: int) -> Score:
        right, count = (int(sum_) for sum_ in _top_k_accuracy(logits, labels, k))
        return Score(right / count, *metrics.wilson_interval(right, count, confidence))

    def bootstrap(name: str, statistic: Callable[..., float], *arrays: np.ndarray) -> Score:
        try:
            value = float(statistic(*arrays))
        except ValueError as error:  # logits that are not finite
            return Score(np.nan, np.nan, np.nan, str(error))
        if not np.isfinite(value):
            return Score(value, np.nan, np.nan, _UNDEFINED.get(name, "it is not finite"))
        if not num_resamples:
            return Score(value, np.nan, np.nan)
        try:
            interval = metrics.bootstrap_interval(
                statistic, *arrays, seed=seed, confidence=confidence, num_resamples=num_resamples
            )
        except ValueError as error:
            return Score(value, np.nan, np.nan, f"no interval: {error}")
        return Score(value, *interval)

    scores = {"accuracy": top_k(1)}
    num_classes = logits.shape[1]
    if num_classes > 5:
        scores["top_5_accuracy"] = top_k(5)
    for name, statistic in _of_classes(num_classes).items():
        scores[name] = bootstrap(name, statistic, labels, predictions.classes)
    for name, statistic in _of_probabilities(num_classes).items():
        scores[name] = bootstrap(name, statistic, predictions.probabilities, labels)
    return scores


_UNDEFINED = {
    "matthews_correlation": "all labels, or all predictions, are of one class",
    "roc_auc": "all labels are of one class",
    "log_loss": "a label has the probability 0",
}
"""Why a score is NaN or infinite."""

_top_k_accuracy = jax.jit(metrics.top_k_accuracy, static_argnums=2)


def _check(logits: np.ndarray, labels: np.ndarray) -> None:
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be whole numbers, got {labels.dtype}")
    last = logits.shape[1] - 1
    if len(labels) == 0 or labels.min() < 0 or labels.max() > last:
        found = f"{labels.min()} to {labels.max()}" if len(labels) else "no examples"
        raise ValueError(f"scores need a label from 0 to {last} for every example, got {found}")


def _of_classes(num_classes: int) -> dict[str, Callable[..., float]]:
    """Statistics of labels and predicted classes, computed from the confusion matrix."""

    def of_matrix(statistic: Callable[[np.ndarray], float]) -> Callable[..., float]:
        return lambda labels, classes: statistic(
            metrics.confusion_matrix(labels, classes, num_classes)
        )

    return {
        "balanced_accuracy": of_matrix(metrics.balanced_accuracy),
        "macro_f1": of_matrix(lambda matrix: float(metrics.f1_score(matrix, "macro"))),
        "matthews_correlation": of_matrix(metrics.matthews_correlation),
    }


def _of_probabilities(num_classes: int) -> dict[str, Callable[..., float]]:
    """Statistics of probabilities and labels."""

    def roc_auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
        of_interest = probabilities[:, 1] if num_classes == 2 else probabilities
        return float(metrics.roc_auc(of_interest, labels))

    return {
        "roc_auc": roc_auc,
        "log_loss": metrics.negative_log_likelihood,
        "calibration_error": metrics.expected_calibration_error,
    }
