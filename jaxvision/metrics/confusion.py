"""Decisions counted: the confusion matrix and what is computed from it.

One rule for what is undefined: 0/0 is NaN, and a class whose value is NaN is left out of the macro
and weighted means. So a class without a true example has no sensitivity, a class never predicted
has no precision, and a class with neither has no F1 score; the other classes average without it.
(scikit-learn says the same with `zero_division=np.nan`.) The argument `zero_division` replaces the
NaN before averaging, so that the class then counts.
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

    The matrices of parts of the data add up to that of the whole.

    Args:
        labels: True class indices, of any shape.
        predictions: Predicted class indices, of the same shape.
        num_classes: The number of rows and columns.
        weight: What each example counts, of the same shape; None counts each as 1. Where it is 0
            the label is not looked at, and need not be a class.

    Returns:
        The counts, int64; with weights their sums, float64.

    Raises:
        ValueError: The shapes differ, they are empty, or an index is not from 0 to
            `num_classes` - 1.

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
    """The share of a class's examples that is found, TP / (TP + FN). Also called recall.

    Args:
        matrix: What `confusion_matrix` returns.
        average: "none" for one value per class, "macro" for their mean, "weighted" for their mean
            by support, "micro" for the value of the counts summed over classes.
        zero_division: What 0/0 is: a class without a true example.

    Returns:
        One value per class, or their average.

    Raises:
        ValueError: The matrix is not square, has a negative entry or is all 0, or the average has
            another name.

    Reference: Yerushalmy, Statistical problems in assessing methods of medical diagnosis, Public
    Health Reports 62, 1947.

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
    """The share of the other classes' examples that is not taken for this class, TN / (TN + FP).

    Args:
        matrix: What `confusion_matrix` returns.
        average: As for `sensitivity`.
        zero_division: What 0/0 is: a class that all true examples belong to.

    Returns:
        One value per class, or their average.

    Raises:
        ValueError: As for `sensitivity`.

    Reference: Yerushalmy, as for `sensitivity`.

    >>> specificity([[1, 1], [1, 3]])
    array([0.75, 0.5 ])
    """
    counts = _Counts.of(matrix)
    return _rate(counts.tn, counts.tn + counts.fp, counts, average, zero_division)


def precision(
    matrix: ArrayLike, average: Average = "none", zero_division: float = np.nan
) -> Float64[np.ndarray, "classes"] | float:
    """The share of a class's predictions that is right, TP / (TP + FP).

    Args:
        matrix: What `confusion_matrix` returns.
        average: As for `sensitivity`.
        zero_division: What 0/0 is: a class that is never predicted.

    Returns:
        One value per class, or their average.

    Raises:
        ValueError: As for `sensitivity`.

    Reference: van Rijsbergen, Information retrieval, second edition, 1979, chapter 7.

    >>> precision([[3, 1], [0, 4]])
    array([1. , 0.8])
    """
    counts = _Counts.of(matrix)
    return _rate(counts.tp, counts.tp + counts.fp, counts, average, zero_division)


def f1_score(
    matrix: ArrayLike, average: Average = "none", zero_division: float = np.nan
) -> Float64[np.ndarray, "classes"] | float:
    """The harmonic mean of precision and sensitivity, 2 TP / (2 TP + FP + FN).

    For masks it is the Dice coefficient. The macro average is the mean of the classes' scores.

    Args:
        matrix: What `confusion_matrix` returns.
        average: As for `sensitivity`.
        zero_division: What 0/0 is: a class neither true nor predicted anywhere.

    Returns:
        One value per class, or their average.

    Raises:
        ValueError: As for `sensitivity`.

    Reference: van Rijsbergen, Information retrieval, second edition, 1979, chapter 7; Dice,
    Measures of the amount of ecologic association between species, Ecology 26, 1945.

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

    For masks it is the IoU, and its macro average over all pixels the mean IoU.

    Args:
        matrix: What `confusion_matrix` returns.
        average: As for `sensitivity`.
        zero_division: What 0/0 is: a class neither true nor predicted anywhere.

    Returns:
        One value per class, or their average.

    Raises:
        ValueError: As for `sensitivity`.

    Reference: Jaccard, The distribution of the flora in the alpine zone, New Phytologist 11, 1912.

    >>> jaccard_index([[3, 1], [0, 4]])
    array([0.75, 0.8 ])
    """
    counts = _Counts.of(matrix)
    return _rate(counts.tp, counts.tp + counts.fp + counts.fn, counts, average, zero_division)


def balanced_accuracy(matrix: ArrayLike) -> float:
    """The mean sensitivity of the classes that have true examples.

    Args:
        matrix: What `confusion_matrix` returns.

    Returns:
        The mean; for a constant guess, 1 / the number of such classes.

    Raises:
        ValueError: As for `sensitivity`.

    Reference: Brodersen et al., The balanced accuracy and its posterior distribution, ICPR 2010.

    >>> balanced_accuracy([[8, 0], [1, 1]])
    0.75
    """
    return float(sensitivity(matrix, average="macro"))


def matthews_correlation(matrix: ArrayLike, zero_division: float = np.nan) -> float:
    """The correlation of truth and prediction, for any number of classes.

    With c right of s examples, t_k of class k and p_k predicted as k, it is
    `(c s - sum_k p_k t_k) / sqrt((s**2 - sum_k p_k**2) (s**2 - sum_k t_k**2))`.

    Args:
        matrix: What `confusion_matrix` returns.
        zero_division: What 0/0 is: all examples are of one class, or are predicted as one.
            (scikit-learn says 0.)

    Returns:
        From -1 to 1; 0 is chance.

    Raises:
        ValueError: As for `sensitivity`.

    Reference: Gorodkin, Comparing two K-category assignments by a K-category correlation
    coefficient, Computational Biology and Chemistry 28, 2004.

    >>> round(matthews_correlation([[3, 1], [1, 3]]), 6)
    0.5
    """
    counts = _Counts.of(matrix)
    true, predicted = counts.tp + counts.fn, counts.tp + counts.fp
    # The same differences as above, by terms of one sign: large counts lose no digits, and what
    # should be 0 is.
    covariance = np.sum(counts.tp * counts.tn - counts.fp * counts.fn)
    spread = np.sum(true * (true.sum() - true)) * np.sum(predicted * (predicted.sum() - predicted))
    return float(covariance / np.sqrt(spread)) if spread > 0 else zero_division


def cohen_kappa(
    matrix: ArrayLike,
    weights: Literal["linear", "quadratic"] | None = None,
    zero_division: float = np.nan,
) -> float:
    """Agreement beyond chance: 1 - observed disagreement / disagreement of independent raters.

    Args:
        matrix: What `confusion_matrix` returns.
        weights: How a disagreement of classes i and j counts: None as 1, "linear" as |i - j|,
            "quadratic" as (i - j)**2, for classes that are ordered.
        zero_division: What 0/0 is: all examples are of one class and predicted as that class.

    Returns:
        At most 1; 0 is chance.

    Raises:
        ValueError: As for `sensitivity`, or the weights have another name.

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
    """Each class against the rest: true and false positives and negatives."""

    tp: Float64[np.ndarray, "classes"]
    fp: Float64[np.ndarray, "classes"]
    fn: Float64[np.ndarray, "classes"]
    tn: Float64[np.ndarray, "classes"]

    @classmethod
    def of(cls, matrix: ArrayLike) -> "_Counts":
        counts = _checked(matrix)
        tp, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
        fp = predicted - tp
        # Weights that are not whole numbers can leave a remainder below 0.
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
