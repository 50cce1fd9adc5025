"""Whether one model is better than another on the same test set."""

import dataclasses

import numpy as np

from jaxvision.metrics import _bootstrap, _checks
from jaxvision.metrics._checks import ArrayLike
from jaxvision.metrics.intervals import Interval


@dataclasses.dataclass(frozen=True)
class McNemar:
    """What `mcnemar` returns.

    `b` counts the examples that only the first model has right, `c` those that only the second has.
    """

    b: int
    c: int
    exact_p_value: float
    chi2: float
    chi2_p_value: float


def mcnemar(labels: ArrayLike, predictions_a: ArrayLike, predictions_b: ArrayLike) -> McNemar:
    """Tests whether two classifiers have the same error rate, from the examples they differ on.

    Were they equally good, each of the b + c examples that just one of them has right would be a
    fair coin. The exact p-value is two-sided, `min(1, 2 P(X <= min(b, c)))` with X of
    Binomial(b + c, 1/2); use it unless b + c is large. The approximate one compares Edwards'
    corrected `max(0, |b - c| - 1)**2 / (b + c)` with chi-squared of one degree of freedom.

    Args:
        labels: Class indices, one per example.
        predictions_a: The classes that the first model predicts.
        predictions_b: The classes that the second model predicts.

    Returns:
        The counts b and c, and both tests. Both p-values are 1 if b + c is 0.

    Raises:
        ValueError: The lengths differ or are 0, or an entry is not a class index.

    Reference: McNemar, Note on the sampling error of the difference between correlated proportions
    or percentages, Psychometrika 12, 1947; Dietterich, Approximate statistical tests for comparing
    supervised classification learning algorithms, Neural Computation 10, 1998.

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
    """What `paired_bootstrap` returns: the statistic of the first model minus the second's."""

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
    """Compares two models by any statistic, drawing the same examples for both.

    What varies with the choice of examples varies for both models alike, so their difference is
    known far better than either value. The interval is of the percentile kind. The p-value inverts
    it: with B draws of the difference d, twice the smaller of `(#{d <= 0} + 1) / (B + 1)` and
    `(#{d >= 0} + 1) / (B + 1)`, at most 1. It is two-sided, never 0, and below 1 - confidence just
    where (to one draw) the interval leaves out 0.

    Args:
        statistic: A number from labels and outputs, `statistic(labels, outputs)`. Draws where it is
            NaN are left out.
        labels: One row per example.
        outputs_a: What the first model says of each: classes, scores, or rows of probabilities.
        outputs_b: What the second model says.
        seed: Of the draws: the same seed gives the same result.
        confidence: The share of such intervals that hold the true difference.
        num_resamples: How many draws.

    Returns:
        The difference, its interval and the p-value of no difference.

    Raises:
        ValueError: The arrays are empty or their lengths differ, the statistic is NaN, or a number
            is out of its range.

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
