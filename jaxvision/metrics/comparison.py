"""Tests of whether two models differ on the same test set."""

import dataclasses

import numpy as np

from jaxvision.metrics import _bootstrap, _checks
from jaxvision.metrics._checks import ArrayLike
from jaxvision.metrics.intervals import Interval


@dataclasses.dataclass(frozen=True)
class McNemar:
    """The result of `mcnemar`.

    Only the first model is right on `b` of the examples, and only the second one on `c`.
    """

    b: int
    c: int
    exact_p_value: float
    chi2: float
    chi2_p_value: float


def mcnemar(labels: ArrayLike, predictions_a: ArrayLike, predictions_b: ArrayLike) -> McNemar:
    """McNemar's test of whether two classifiers have the same error rate.

    If they have, each of the b + c examples that exactly one of them has right is a fair coin toss.
    The exact p-value is two-sided, `min(1, 2 P(X <= min(b, c)))` with X from Binomial(b + c, 1/2);
    use it unless b + c is large. The approximate one compares Edwards' corrected
    `max(0, |b - c| - 1)**2 / (b + c)` with a chi-squared distribution with one degree of freedom.
    Both p-values are 1 if b + c is 0.

    Args:
        labels: Class indices, one per example.
        predictions_a: Classes predicted by the first model.
        predictions_b: Classes predicted by the second model.

    Raises:
        ValueError: The lengths differ or are 0, or an entry is not a class index.

    Reference: McNemar, Psychometrika 12, 1947; Dietterich, Approximate statistical tests for
    comparing supervised classification learning algorithms, Neural Computation 10, 1998.

    >>> labels = np.zeros(20, int)
    >>> a, b = np.repeat([0, 1], [18, 2]), np.repeat([1, 0], [10, 10])
    >>> result = mcnemar(labels, a, b)
    >>> result.b, result.c, round(result.exact_p_value, 6), round(result.chi2, 5)
    (10, 2, 0.038574, 4.08333)
    """
    from scipy.special import bdtr, chdtrc

    truth, first, second = (
        _checks.vector(name, _checks.classes(name, values))
        for name, values in (
            ("labels", labels),
            ("predictions_a", predictions_a),
            ("predictions_b", predictions_b),
        )
    )
    _checks.same_length(labels=truth, predictions_a=first, predictions_b=second)
    b = int(np.sum((first == truth) & (second != truth)))
    c = int(np.sum((first != truth) & (second == truth)))
    if b + c == 0:
        return McNemar(b=0, c=0, exact_p_value=1.0, chi2=0.0, chi2_p_value=1.0)
    chi2 = max(0, abs(b - c) - 1) ** 2 / (b + c)
    return McNemar(
        b=b,
        c=c,
        exact_p_value=min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5))),
        chi2=chi2,
        chi2_p_value=float(chdtrc(1, chi2)),
    )


@dataclasses.dataclass(frozen=True)
class PairedBootstrap:
    """The result of `paired_bootstrap`; `difference` is the first statistic minus the second."""

    difference: float
    interval: Interval
    p_value: float


def paired_bootstrap(
    statistic: _bootstrap.Statistic,
    labels: ArrayLike,
    outputs_a: ArrayLike,
    outputs_b: ArrayLike,
    *,
    seed: int,
    confidence: float = 0.95,
    num_resamples: int = 2000,
) -> PairedBootstrap:
    """Compares any statistic of two models by a bootstrap that draws the same examples for both.

    The choice of examples affects both models alike, so their difference is more precise than
    either value. The interval is a percentile interval. The p-value inverts it: for B draws of the
    difference d, it is twice the smaller of `(#{d <= 0} + 1) / (B + 1)` and
    `(#{d >= 0} + 1) / (B + 1)`, at most 1. It is two-sided, never 0, and (up to one draw) below 1 -
    confidence exactly if the interval excludes 0.

    Args:
        statistic: `statistic(labels, outputs)` gives a number. Draws where it is NaN are left out.
        labels: One row per example.
        outputs_a: Outputs of the first model: classes, scores, or rows of probabilities.
        outputs_b: Outputs of the second model.
        seed: Seed of the draws.
        confidence: Level of the interval.
        num_resamples: The number of draws.

    Returns:
        The difference, its interval, and the p-value of no difference.

    Raises:
        ValueError: The arrays are empty or their lengths differ, the statistic is NaN or infinite,
            or `confidence` or `num_resamples` is out of range.

    Reference: Efron and Tibshirani, An introduction to the bootstrap, 1993, chapters 13 and 15.

    >>> labels = np.zeros(100)
    >>> a, b = np.repeat([0, 1], [90, 10]), np.repeat([1, 0], [20, 80])
    >>> def accuracy(labels, predictions):
    ...     return np.mean(labels == predictions)
    >>> result = paired_bootstrap(accuracy, labels, a, b, seed=0)
    >>> [round(value, 2) for value in (result.difference, *result.interval, result.p_value)]
    [0.1, 0.0, 0.21, 0.06]
    """
    _checks.confidence_level(confidence)
    columns = _bootstrap.rows_of(labels=labels, outputs_a=outputs_a, outputs_b=outputs_b)

    def difference(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return float(statistic(labels, a)) - float(statistic(labels, b))

    estimate, draws = _bootstrap.estimate_and_draws(difference, columns, num_resamples, seed)
    low, high = _bootstrap.percentiles(draws, (1 - confidence) / 2, (1 + confidence) / 2)
    smaller = min(np.sum(draws <= 0), np.sum(draws >= 0))
    p_value = min(1.0, 2 * (float(smaller) + 1) / (len(draws) + 1))
    return PairedBootstrap(estimate, Interval(low, high), p_value)
