"""The confusion matrix and the metrics computed from it.

Undefined values (0/0) are NaN, and the macro and weighted means leave out classes whose value is
NaN. A class without examples has no sensitivity, a class never predicted has no precision, and a
class with neither has no F1 score. (scikit-learn does the same with `zero_division=np.nan`.) The
argument `zero_division` replaces NaN before averaging, so that these classes count.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from jaxvision.metrics import _checks
from jaxvision.metrics._averages import Average, check_average, over_classes
from jaxvision.metrics._checks import ArrayLike
from jaxvision.suggest import unknown


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, num_classes: int, weight: ArrayLike | None = None
) -> Int64[np.ndarray, "classes classes"] | Float64[np.ndarray, "classes classes"]:
    """Counts examples by true class (rows) and predicted class (columns).

    The matrices of parts of the data add up to that of all data.

    Args:
        labels: True class indices, of any shape.
        predictions: Predicted class indices, of the same shape.
        num_classes: The number of rows and columns.
        weight: Weights of the examples, of the same shape; None means 1. Labels of weight 0 are
            ignored and may have any value.

    Returns:
        The counts in int64 or, with weights, their sums in float64.

    Raises:
        ValueError: The shapes differ, the arrays are empty, an index is not from 0 to `num_classes`
            - 1, or a weight is negative or not finite.

    >>> confusion_matrix([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], num_classes=2)
    array([[1, 1],
           [1, 2]])
    """
    truth, guess = np.asarray(labels), np.asarray(predictions)
    if truth.shape != guess.shape or truth.size == 0:
        raise ValueError(
            "labels and predictions must have one shape and not be empty, got "
            f"{truth.shape} and {guess.shape}"
        )
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    counts, kept = _checks.weights(weight, truth.shape)
    if not kept.any():
        return np.zeros((num_classes, num_classes))
    cell = _checks.classes("labels", truth[kept], num_classes) * num_classes
    cell += _checks.classes("predictions", guess[kept], num_classes)
    total = np.bincount(cell, None if weight is None else counts, minlength=num_classes**2)
    return total.reshape(num_classes, num_classes)


def sensitivity(
    matrix: ArrayLike, average: Average = "none", zero_division: float = np.nan
) -> Float64[np.ndarray, "classes"] | float:
    """The share of a class's examples that are found, TP / (TP + FN). Also called recall.

    Args:
        matrix: A matrix from `confusion_matrix`.
        average: "none" for one value per class, "macro" for their mean, "weighted" for their mean
            weighted by support, "micro" for the value of the counts summed over the classes.
        zero_division: The value of a class without examples (0/0).

    Raises:
        ValueError: `matrix` is not square, has negative entries or only 0, or `average` is unknown.

    Reference: Yerushalmy, Statistical problems in assessing methods of medical diagnosis, 1947.

    >>> sensitivity([[1, 1], [1, 3]])
    array([0.5 , 0.75])
    >>> sensitivity([[1, 1], [1, 3]], average="macro")
    0.625
    """
    counts = _Counts.of(matrix)
    return _rate(counts.tp, counts.tp + counts.fn, counts, average, zero_division)


def specificity(
    matrix: ArrayLike, average: Average = "none", zero_division: float = np.nan
) -> Float64[np.ndarray, "classes"] | float:
    """The share of the other classes' examples that are not predicted as the class, TN / (TN + FP).

    It is undefined (`zero_division`) for a class that all examples have. The other arguments and
    errors are those of `sensitivity`.

    >>> specificity([[1, 1], [1, 3]])
    array([0.75, 0.5 ])
    """
    counts = _Counts.of(matrix)
    return _rate(counts.tn, counts.tn + counts.fp, counts, average, zero_division)


def precision(
    matrix: ArrayLike, average: Average = "none", zero_division: float = np.nan
) -> Float64[np.ndarray, "classes"] | float:
    """The share of a class's predictions that are right, TP / (TP + FP).

    It is undefined (`zero_division`) for a class that is never predicted. The other arguments and
    errors are those of `sensitivity`.

    >>> precision([[3, 1], [0, 4]])
    array([1. , 0.8])
    """
    counts = _Counts.of(matrix)
    return _rate(counts.tp, counts.tp + counts.fp, counts, average, zero_division)


def f1_score(
    matrix: ArrayLike, average: Average = "none", zero_division: float = np.nan
) -> Float64[np.ndarray, "classes"] | float:
    """The harmonic mean of precision and sensitivity, 2 TP / (2 TP + FP + FN).

    For masks it is the Dice coefficient. The macro average is the mean of the classes' scores. It
    is undefined (`zero_division`) for a class without examples that is never predicted. The other
    arguments and errors are those of `sensitivity`.

    Reference: van Rijsbergen, Information retrieval, 1979, chapter 7; Dice, Ecology 26, 1945.

    >>> f1_score([[3, 1], [1, 5]])
    array([0.75      , 0.83333333])
    """
    counts = _Counts.of(matrix)
    return _rate(
        2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, counts, average, zero_division
    )


def jaccard_index(
    matrix: ArrayLike, average: Average = "none", zero_division: float = np.nan
) -> Float64[np.ndarray, "classes"] | float:
    """The intersection of truth and prediction over their union, TP / (TP + FP + FN).

    For masks it is the IoU, and its macro average over all pixels the mean IoU. It is undefined
    (`zero_division`) for a class without examples that is never predicted. The other arguments and
    errors are those of `sensitivity`.

    Reference: Jaccard, The distribution of the flora in the alpine zone, New Phytologist 11, 1912.

    >>> jaccard_index([[3, 1], [0, 4]])
    array([0.75, 0.8 ])
    """
    counts = _Counts.of(matrix)
    return _rate(counts.tp, counts.tp + counts.fp + counts.fn, counts, average, zero_division)


def balanced_accuracy(matrix: ArrayLike) -> float:
    """The mean sensitivity of the classes that have examples; errors are those of `sensitivity`.

    A constant prediction scores 1 / the number of these classes.

    Reference: Brodersen et al., The balanced accuracy and its posterior distribution, ICPR 2010.

    >>> balanced_accuracy([[8, 0], [1, 1]])
    0.75
    """
    return float(sensitivity(matrix, average="macro"))


def matthews_correlation(matrix: ArrayLike, zero_division: float = np.nan) -> float:
    """The correlation of truth and prediction, for any number of classes; 0 is chance level.

    With c of s examples right, t_k of class k and p_k predicted as k, it is
    `(c s - sum_k p_k t_k) / sqrt((s**2 - sum_k p_k**2) (s**2 - sum_k t_k**2))`. Errors are those of
    `sensitivity`.

    Args:
        matrix: A matrix from `confusion_matrix`.
        zero_division: The value if all examples have one class or are predicted as one
            (scikit-learn returns 0).

    Reference: Gorodkin, Comparing two K-category assignments, Comput. Biol. Chem. 28, 2004.

    >>> round(matthews_correlation([[3, 1], [1, 3]]), 6)
    0.5
    """
    counts = _Counts.of(matrix)
    true, predicted = counts.tp + counts.fn, counts.tp + counts.fp
    # The differences of the formula as sums of terms of one sign: exact zeros, no lost digits.
    covariance = np.sum(counts.tp * counts.tn - counts.fp * counts.fn)
    spread = np.sum(true * (true.sum() - true)) * np.sum(predicted * (predicted.sum() - predicted))
    return float(covariance / np.sqrt(spread)) if spread > 0 else zero_division


def cohen_kappa(
    matrix: ArrayLike,
    weights: Literal["linear", "quadratic"] | None = None,
    zero_division: float = np.nan,
) -> float:
    """Agreement beyond chance: 1 - observed disagreement / expected disagreement by chance.

    It is at most 1; 0 is chance level.

    Args:
        matrix: A matrix from `confusion_matrix`.
        weights: The cost of confusing classes i and j: 1 for None, |i - j| for "linear", (i - j)**2
            for "quadratic"; the last two are for ordered classes.
        zero_division: The value if all examples have one class and are predicted as that class
            (0/0).

    Raises:
        ValueError: As for `sensitivity`, or `weights` is unknown.

    Reference: Cohen, Weighted kappa, Psychological Bulletin 70, 1968.

    >>> cohen_kappa([[3, 1], [1, 3]])
    0.5
    """
    counts = _checked(matrix)
    index = np.arange(len(counts))
    distance = np.abs(index[:, None] - index)
    if weights is None:
        distance = np.minimum(distance, 1)
    elif weights == "quadratic":
        distance = distance**2
    elif weights != "linear":
        raise ValueError(unknown("weights", weights, ["linear", "quadratic"]))
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    expected = np.sum(distance * chance)
    return float(1 - np.sum(distance * counts) / expected) if expected > 0 else zero_division


@dataclasses.dataclass(frozen=True, eq=False)
class _Counts:
    """True and false positives and negatives of each class against the rest."""

    tp: Float64[np.ndarray, "classes"]
    fp: Float64[np.ndarray, "classes"]
    fn: Float64[np.ndarray, "classes"]
    tn: Float64[np.ndarray, "classes"]

    @classmethod
    def of(cls, matrix: ArrayLike) -> "_Counts":
        counts = _checked(matrix)
        tp, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
        fp = predicted - tp
        # With fractional weights, rounding can give a negative number.
        tn = np.maximum(true.sum() - true - fp, 0)
        return cls(tp=tp, fp=fp, fn=true - tp, tn=tn)


def _rate(
    numerator: Float64[np.ndarray, "classes"],
    denominator: Float64[np.ndarray, "classes"],
    counts: _Counts,
    average: Average,
    zero_division: float,
) -> Float64[np.ndarray, "classes"] | float:
    check_average(average)
    if average == "micro":
        bottom = denominator.sum()
        return float(numerator.sum() / bottom) if bottom > 0 else zero_division
    defined = denominator > 0
    ratio = numerator / np.where(defined, denominator, 1)
    return over_classes(np.where(defined, ratio, zero_division), counts.tp + counts.fn, average)


def _checked(matrix: ArrayLike) -> Float64[np.ndarray, "classes classes"]:
    counts = _checks.floats("matrix", matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"matrix must be square, classes by classes, got shape {counts.shape}")
    if (counts < 0).any() or not 0 < counts.sum() < np.inf:
        raise ValueError(
            "matrix must hold counts: none negative or infinite, and not all of them 0"
        )
    return counts
