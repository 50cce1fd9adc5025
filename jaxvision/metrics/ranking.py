"""ROC and precision-recall curves of scores.

Equal scores form one threshold, so the order of the input never matters. Rates over an empty set
are NaN: true positive rate, recall and average precision without positives, the false positive rate
without negatives, and the ROC area without either. Macro and weighted means leave out classes whose
value is NaN.
"""

import itertools
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from jaxvision.checks import check_name
from jaxvision.metrics import _checks
from jaxvision.metrics._averages import Average, check_average, over_classes
from jaxvision.metrics._checks import ArrayLike


class RocCurve(NamedTuple):
    """Rates at decreasing thresholds; an example is predicted positive if its score reaches it."""

    false_positive_rate: Float64[np.ndarray, "thresholds"]
    true_positive_rate: Float64[np.ndarray, "thresholds"]
    thresholds: Float64[np.ndarray, "thresholds"]


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall at increasing thresholds, then (1, 0), which has no threshold."""

    precision: Float64[np.ndarray, "points"]
    recall: Float64[np.ndarray, "points"]
    thresholds: Float64[np.ndarray, "points-1"]


def roc_curve(scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None) -> RocCurve:
    """The receiver operating characteristic of a binary classifier.

    Args:
        scores: Scores on any scale, higher for positive.
        labels: 1 for positive, 0 for negative.
        weight: Weights of the examples; None means 1.

    Returns:
        One point per distinct score, after a first point at (0, 0) whose threshold is infinite.

    Raises:
        ValueError: The lengths differ or are 0, a score is NaN, or a label is neither 0 nor 1.

    Reference: Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27, 2006.

    >>> curve = roc_curve([0.9, 0.6, 0.6, 0.1], [1, 1, 0, 0])
    >>> curve.false_positive_rate, curve.true_positive_rate
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    counts = _cumulative(*_binary(scores, labels, weight))
    return RocCurve(
        np.append(0.0, _share(counts.false)),
        np.append(0.0, _share(counts.true)),
        np.append(np.inf, counts.thresholds),
    )


def roc_auc(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    scheme: Literal["one-vs-rest", "one-vs-one"] = "one-vs-rest",
    average: Average = "macro",
    weight: ArrayLike | None = None,
) -> float | Float64[np.ndarray, "classes"]:
    """The area under the ROC curve: how often a positive scores above a negative.

    Ties count one half. For several classes, "one-vs-rest" compares each class with all others by
    its own score; "one-vs-one" compares each pair of classes separately and averages the areas of
    their two scores, so that class sizes do not matter.

    Args:
        scores: Shape `examples` for a binary decision, higher for positive, or `examples classes`.
        labels: 0 or 1, or class indices.
        scheme: The reduction of several classes to binary decisions; unused for binary scores.
        average: "macro" is the mean over classes (or pairs), "weighted" the mean weighted by the
            classes' examples, "micro" pools all entries of the score matrix, "none" gives one value
            per class. "one-vs-one" allows "macro" only. Unused for binary scores.
        weight: Weights of the examples; None means 1.

    Returns:
        The area; NaN if only one class is present. Means leave out classes (or pairs) that lack
        positives or negatives.

    Raises:
        ValueError: As for `roc_curve`, or a label, `scheme` or `average` is out of range.

    Reference: Hand and Till, A simple generalisation of the area under the ROC curve for multiple
    class classification problems, Machine Learning 45, 2001 (one-vs-one).

    >>> roc_auc([0.9, 0.6, 0.6, 0.1], [1, 1, 0, 0])
    0.875
    >>> roc_auc([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.5, 0.4, 0.1]], [0, 1, 0], average="none")
    array([ 1.,  1., nan])
    """
    check_average(average)
    check_name("scheme", scheme, ["one-vs-rest", "one-vs-one"])
    if np.ndim(scores) == 1:
        return _area(*_binary(scores, labels, weight))
    columns = _multiclass(scores, labels, weight)
    if scheme == "one-vs-rest":
        return _one_vs_rest(_area, *columns, average)
    if average != "macro":
        raise ValueError(f"one-vs-one has the average 'macro' only, got {average!r}")
    return _one_vs_one(*columns)


def precision_recall_curve(
    scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None
) -> PrecisionRecallCurve:
    """Precision against recall of a binary classifier; arguments and errors as for `roc_curve`.

    Returns:
        One point per distinct score, lowest first, then a last point of precision 1 and recall 0.

    Reference: Davis and Goadrich, The relationship between precision-recall and ROC curves, 2006.

    >>> curve = precision_recall_curve([0.9, 0.6, 0.6, 0.1], [1, 0, 1, 0])
    >>> curve.precision.round(3), curve.recall
    (array([0.5  , 0.667, 1.   , 1.   ]), array([1. , 1. , 0.5, 0. ]))
    """
    counts = _cumulative(*_binary(scores, labels, weight))
    return PrecisionRecallCurve(
        np.append((counts.true / (counts.true + counts.false))[::-1], 1.0),
        np.append(_share(counts.true)[::-1], 0.0),
        counts.thresholds[::-1],
    )


def average_precision(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    average: Average = "macro",
    weight: ArrayLike | None = None,
) -> float | Float64[np.ndarray, "classes"]:
    """The area under the precision-recall curve as a step function: `sum_n (R_n - R_(n-1)) P_n`.

    It does not interpolate between the points, which would be too optimistic.

    Args:
        scores: Shape `examples` for a binary decision, higher for positive, or `examples classes`,
            where each class is compared with all others.
        labels: 0 or 1, or class indices.
        average: As for `roc_auc`; unused for binary scores.
        weight: Weights of the examples; None means 1.

    Returns:
        The area; NaN without positives. Means leave out classes without positives.

    Raises:
        ValueError: As for `roc_auc`.

    Reference: Davis and Goadrich, The relationship between precision-recall and ROC curves, 2006.

    >>> round(average_precision([0.9, 0.6, 0.5, 0.1], [1, 0, 1, 0]), 6)
    0.833333
    """
    check_average(average)
    if np.ndim(scores) == 1:
        return _steps(*_binary(scores, labels, weight))
    return _one_vs_rest(_steps, *_multiclass(scores, labels, weight), average)


class _Cumulative(NamedTuple):
    """The weights of positives and negatives that score at or above each distinct score."""

    true: Float64[np.ndarray, "thresholds"]
    false: Float64[np.ndarray, "thresholds"]
    thresholds: Float64[np.ndarray, "thresholds"]


def _cumulative(
    scores: Float64[np.ndarray, "examples"],
    positive: Bool[np.ndarray, "examples"],
    weight: Float64[np.ndarray, "examples"],
) -> _Cumulative:
    order = np.argsort(-scores, kind="stable")
    scores, positive, weight = scores[order], positive[order], weight[order]
    last = np.append(scores[1:] != scores[:-1], True)
    true = np.cumsum(np.where(positive, weight, 0))
    false = np.cumsum(np.where(positive, 0, weight))
    return _Cumulative(true[last], false[last], scores[last])


def _share(sums: Float64[np.ndarray, "thresholds"]) -> Float64[np.ndarray, "thresholds"]:
    return sums / sums[-1] if sums[-1] > 0 else np.full_like(sums, np.nan)


def _area(
    scores: Float64[np.ndarray, "examples"],
    positive: Bool[np.ndarray, "examples"],
    weight: Float64[np.ndarray, "examples"],
) -> float:
    counts = _cumulative(scores, positive, weight)
    true, false = np.append(0.0, counts.true), np.append(0.0, counts.false)
    pairs = true[-1] * false[-1]
    return float(np.trapezoid(true, false) / pairs) if pairs > 0 else float("nan")


def _steps(
    scores: Float64[np.ndarray, "examples"],
    positive: Bool[np.ndarray, "examples"],
    weight: Float64[np.ndarray, "examples"],
) -> float:
    counts = _cumulative(scores, positive, weight)
    gained = np.diff(_share(counts.true), prepend=0.0)
    return float(np.sum(gained * counts.true / (counts.true + counts.false)))


def _one_vs_rest(
    area: Callable[..., float],
    scores: Float64[np.ndarray, "examples classes"],
    labels: Int64[np.ndarray, "examples"],
    weight: Float64[np.ndarray, "examples"],
    average: Average,
) -> float | Float64[np.ndarray, "classes"]:
    num_classes = scores.shape[1]
    member = labels[:, None] == np.arange(num_classes)
    if average == "micro":
        return area(scores.ravel(), member.ravel(), np.repeat(weight, num_classes))
    areas = [area(scores[:, k], member[:, k], weight) for k in range(num_classes)]
    return over_classes(np.array(areas), weight @ member, average)


def _one_vs_one(
    scores: Float64[np.ndarray, "examples classes"],
    labels: Int64[np.ndarray, "examples"],
    weight: Float64[np.ndarray, "examples"],
) -> float:
    areas = []
    for pair in itertools.combinations(np.unique(labels), 2):
        of_pair = np.isin(labels, pair)
        for k in pair:
            areas.append(_area(scores[of_pair, k], labels[of_pair] == k, weight[of_pair]))
    return float(np.mean(areas)) if areas else float("nan")


def _binary(
    scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None
) -> tuple[
    Float64[np.ndarray, "examples"], Bool[np.ndarray, "examples"], Float64[np.ndarray, "examples"]
]:
    """Scores, labels and weights of the examples with a weight above 0."""
    rows, truth = np.asarray(scores), np.asarray(labels)
    kept_weight, kept = _checks.weights(weight, (_checks.same_length(scores=rows, labels=truth),))
    rows = _checks.vector("scores", _checks.floats("scores", rows[kept]))
    return rows, _checks.binary("labels", truth[kept]), kept_weight


def _multiclass(
    scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None
) -> tuple[
    Float64[np.ndarray, "examples classes"],
    Int64[np.ndarray, "examples"],
    Float64[np.ndarray, "examples"],
]:
    """Scores, labels and weights of the examples with a weight above 0."""
    rows, truth = np.asarray(scores), np.asarray(labels)
    kept_weight, kept = _checks.weights(weight, (_checks.same_length(scores=rows, labels=truth),))
    rows = _checks.floats("scores", rows[kept])
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(
            "scores must be of shape (examples,), or (examples, classes) with two classes or more; "
            f"got {rows.shape}"
        )
    truth = _checks.classes("labels", truth[kept], rows.shape[1])
    return rows, _checks.vector("labels", truth), kept_weight
