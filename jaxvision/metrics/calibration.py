"""Calibration and scoring of predicted probabilities.

Probabilities have the shape `examples` (probability of class 1, for labels 0 and 1) or
`examples classes` (rows that sum to 1).
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from jaxvision.checks import check_name
from jaxvision.metrics import _checks
from jaxvision.metrics._checks import ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """The data of a reliability diagram, per bin; confidence and accuracy of empty bins are NaN."""

    centers: Float64[np.ndarray, "bins"]
    confidence: Float64[np.ndarray, "bins"]
    accuracy: Float64[np.ndarray, "bins"]
    count: Int64[np.ndarray, "bins"]


def reliability_curve(
    probabilities: ArrayLike, labels: ArrayLike, num_bins: int = 15
) -> ReliabilityCurve:
    """Mean confidence and accuracy of the examples in bins of equal width.

    For binary probabilities, the confidence is the probability of class 1 and the accuracy the
    share of class 1. For rows of class probabilities, the confidence is the largest probability of
    the row, and the accuracy the share of examples labeled with that class (the first of ties).

    Args:
        probabilities: Probabilities of class 1, or of all classes.
        labels: 0 or 1, or class indices.
        num_bins: The number of bins over [0, 1], which include their right edge (the first also 0).

    Raises:
        ValueError: The lengths differ or are 0, a probability is NaN or outside [0, 1], a row does
            not sum to 1, a label is not a class, or `num_bins` is below 1.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599.

    >>> curve = reliability_curve([0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1], num_bins=2)
    >>> curve.accuracy, curve.count
    (array([0., 1.]), array([2, 3]))
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    rows, truth = _probabilities_and_labels(probabilities, labels)
    confidence, right = rows, truth == 1
    if rows.ndim == 2:
        confidence, right = rows.max(axis=1), truth == rows.argmax(axis=1)
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.searchsorted(edges[1:-1], confidence, side="left")
    count = np.bincount(bins, minlength=num_bins)
    divisor = np.where(count > 0, count, np.nan)
    return ReliabilityCurve(
        centers=(edges[1:] + edges[:-1]) / 2,
        confidence=np.bincount(bins, confidence, num_bins) / divisor,
        accuracy=np.bincount(bins, right, num_bins) / divisor,
        count=count,
    )


def expected_calibration_error(
    probabilities: ArrayLike,
    labels: ArrayLike,
    num_bins: int = 15,
    norm: Literal["l1", "l2", "max"] = "l1",
) -> float:
    """The difference between confidence and accuracy over the bins of `reliability_curve`.

    With n_b of n examples in bin b, "l1" is the expected calibration error
    `sum_b n_b/n |accuracy_b - confidence_b|`, "l2" the root of the mean of squares with the same
    weights, and "max" the largest difference; all are from 0 to 1. The estimate depends on the
    number of bins. It falls with the number of examples, even for a calibrated model.

    Args:
        probabilities: Probabilities of class 1, or of all classes.
        labels: 0 or 1, or class indices.
        num_bins: The number of bins over [0, 1].
        norm: "l1", "l2" or "max".

    Raises:
        ValueError: `norm` is unknown, or another argument is not allowed by `reliability_curve`.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599;
    Kumar et al., Verified uncertainty calibration, NeurIPS 2019, arXiv:1909.10155 (the l2 norm).

    >>> round(expected_calibration_error([0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1], 2), 6)
    0.29
    """
    check_name("norm", norm, ["l1", "l2", "max"])
    curve = reliability_curve(probabilities, labels, num_bins)
    filled = curve.count > 0
    gap = np.abs(curve.accuracy - curve.confidence)[filled]
    if norm == "max":
        return float(gap.max())
    power = 1 if norm == "l1" else 2
    return float(np.average(gap**power, weights=curve.count[filled]) ** (1 / power))


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The mean squared difference between probabilities and outcomes; 0 is best.

    For binary probabilities it is `mean (p - y)**2`, at most 1. For rows of class probabilities it
    is Brier's original `mean sum_c (p_c - [y = c])**2`, at most 2 and twice the binary score for
    two classes. Arguments and errors are those of `reliability_curve`.

    Reference: Brier, Verification of forecasts expressed in terms of probability, 1950.

    >>> round(brier_score([0.9, 0.2], [1, 0]), 6)
    0.025
    """
    rows, truth = _probabilities_and_labels(probabilities, labels)
    if rows.ndim == 1:
        return float(np.mean((rows - truth) ** 2))
    return float(np.mean(np.sum((rows - np.eye(rows.shape[1])[truth]) ** 2, axis=1)))


def negative_log_likelihood(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The mean of `-log p` of the labels, in nats; infinite if a label has the probability 0.

    Arguments and errors are those of `reliability_curve`.

    Reference: Gneiting and Raftery, Strictly proper scoring rules, JASA 102, 2007.

    >>> round(negative_log_likelihood([0.9, 0.2], [1, 0]), 6)
    0.164252
    """
    rows, truth = _probabilities_and_labels(probabilities, labels)
    with np.errstate(divide="ignore"):
        if rows.ndim == 1:
            return float(-np.mean(np.where(truth == 1, np.log(rows), np.log1p(-rows))))
        return float(-np.mean(np.log(rows[np.arange(len(rows)), truth])))


def _probabilities_and_labels(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[np.ndarray, Int64[np.ndarray, "examples"]]:
    rows = _checks.probabilities(probabilities)
    truth = _checks.classes("labels", labels, 2 if rows.ndim == 1 else rows.shape[1])
    truth = _checks.vector("labels", truth)
    _checks.same_length(probabilities=rows, labels=truth)
    return rows, truth
