"""Confidence intervals."""

from typing import Literal, NamedTuple, SupportsFloat

import numpy as np

from jaxvision.checks import check_name
from jaxvision.metrics import _bootstrap, _checks
from jaxvision.metrics._checks import ArrayLike


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


def wilson_interval(
    successes: SupportsFloat, total: SupportsFloat, confidence: float = 0.95
) -> Interval:
    """Wilson's confidence interval for a proportion, such as an accuracy, from the score test.

    For the proportion p of n and the normal quantile z it is
    `(p + z**2/2n ± z sqrt(p(1-p)/n + z**2/4n**2)) / (1 + z**2/n)`. It stays in [0, 1], and its
    coverage, averaged over proportions, is about `confidence`; `clopper_pearson_interval` never
    covers less.

    Args:
        successes: A whole number, at most `total`.
        total: A whole number, at least 1.
        confidence: The share of such intervals that contain the true proportion.

    Raises:
        ValueError: A number is not whole or out of range.

    Reference: Wilson, JASA 22, 1927; Brown et al., Interval estimation for a binomial proportion,
    Statistical Science 16, 2001.

    >>> low, high = wilson_interval(90, 100)
    >>> round(low, 6), round(high, 6)
    (0.825634, 0.944771)
    """
    from scipy.special import ndtri

    k, n = _counts(successes, total)
    _checks.confidence_level(confidence)
    z = float(ndtri(0.5 + confidence / 2))
    center = (k / n + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(k * (n - k) / n**3 + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # Exact at the ends, where rounding errors could leave [0, 1].
    return Interval(
        0.0 if k == 0 else float(center - half), 1.0 if k == n else float(center + half)
    )


def clopper_pearson_interval(
    successes: SupportsFloat, total: SupportsFloat, confidence: float = 0.95
) -> Interval:
    """The exact (Clopper-Pearson) confidence interval for a proportion, from the binomial test.

    Its ends are quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k). It contains the true
    proportion at least as often as `confidence` says, and usually more often.

    Args:
        successes: A whole number k, at most `total`.
        total: A whole number n, at least 1.
        confidence: The least share of such intervals that contain the true proportion.

    Raises:
        ValueError: A number is not whole or out of range.

    Reference: Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 26, 1934.

    >>> low, high = clopper_pearson_interval(90, 100)
    >>> round(low, 6), round(high, 6)
    (0.823777, 0.950995)
    """
    from scipy.special import betaincinv

    k, n = _counts(successes, total)
    _checks.confidence_level(confidence)
    tail = (1 - confidence) / 2
    return Interval(
        0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail)),
        1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail)),
    )


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Student's confidence interval for the mean of a few values, such as one accuracy per seed.

    It is `mean ± t s / sqrt(n)`, with s the standard deviation (with n - 1) and t the quantile of
    Student's distribution with n - 1 degrees of freedom. It assumes normally distributed values.

    Args:
        values: At least two values.
        confidence: The share of such intervals that contain the true mean.

    Raises:
        ValueError: There are fewer than two values, one is NaN, or `confidence` is out of range.

    Reference: Student, The probable error of a mean, Biometrika 6, 1908.

    >>> low, high = t_interval([0.91, 0.93, 0.92])
    >>> round(low, 6), round(high, 6)
    (0.895159, 0.944841)
    """
    from scipy.special import stdtrit

    array = _checks.vector("values", _checks.floats("values", values))
    if len(array) < 2:
        raise ValueError(f"an interval for a mean needs at least two values, got {len(array)}")
    _checks.confidence_level(confidence)
    quantile = float(stdtrit(len(array) - 1, 0.5 + confidence / 2))
    half = quantile * array.std(ddof=1) / np.sqrt(len(array))
    return Interval(float(array.mean() - half), float(array.mean() + half))


def bootstrap_interval(
    statistic: _bootstrap.Statistic,
    *arrays: ArrayLike,
    seed: int,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    method: Literal["percentile", "bca"] = "percentile",
) -> Interval:
    """A bootstrap confidence interval for any statistic of the test set.

    "percentile" takes quantiles of the statistic over draws of rows with replacement. "bca" takes
    them at levels that correct for bias and skewness: with z0 the normal quantile of the share of
    draws below the estimate (ties count half), and a the skewness of the statistic when single rows
    are left out, the level of z is `Phi(z0 + (z0 + z) / (1 - a (z0 + z)))`. It is more accurate for
    skewed statistics, and calls the statistic once more per row.

    Args:
        statistic: A function from the arrays to a number, for example
            `lambda scores, labels: roc_auc(scores, labels)`. Draws where it is NaN are left out.
        *arrays: Arrays with one row per example; the same rows are drawn from all.
        seed: Seed of the draws.
        confidence: The share of such intervals that contain the true value.
        num_resamples: The number of draws.
        method: "percentile" or "bca".

    Returns:
        The interval, of length 0 if all draws give the same value.

    Raises:
        ValueError: The arrays are empty or their lengths differ, the statistic is NaN or infinite,
            an option is out of range, or BCa is undefined because all draws lie on one side of the
            estimate.

    Reference: Efron, Better bootstrap confidence intervals, JASA 82, 1987.

    >>> right = np.repeat([1, 0], [90, 10])
    >>> bootstrap_interval(np.mean, right, seed=0)
    Interval(low=0.84, high=0.96)
    """
    check_name("method", method, ["percentile", "bca"])
    _checks.confidence_level(confidence)
    if not arrays:
        raise ValueError("at least one array is needed")
    columns = _bootstrap.rows_of(**{f"array {index}": array for index, array in enumerate(arrays)})
    estimate, draws = _bootstrap.estimate_and_draws(statistic, columns, num_resamples, seed)
    low, high = (1 - confidence) / 2, (1 + confidence) / 2
    if method == "bca" and np.ptp(draws) > 0:
        low, high = _bca_levels(statistic, columns, estimate, draws, (low, high))
    return Interval(*_bootstrap.percentiles(draws, low, high))


def _bca_levels(
    statistic: _bootstrap.Statistic,
    columns: list[np.ndarray],
    estimate: float,
    draws: np.ndarray,
    levels: tuple[float, float],
) -> tuple[float, float]:
    from scipy.special import ndtr, ndtri

    below = (np.mean(draws < estimate) + np.mean(draws <= estimate)) / 2
    if below in (0, 1):
        raise ValueError(
            "BCa is not defined where all draws lie on one side of the estimate; "
            "use method='percentile'"
        )
    left_out = np.array(
        [
            float(statistic(*(np.delete(column, row, axis=0) for column in columns)))
            for row in range(len(columns[0]))
        ]
    )
    left_out = left_out[~np.isnan(left_out)]
    deviation = left_out.mean() - left_out
    spread = np.sum(deviation**2)
    # Without any effect of single rows there is no skewness; only the bias is corrected.
    acceleration = np.sum(deviation**3) / (6 * spread**1.5) if spread > 0 else 0.0
    bias = ndtri(below)
    shifted = bias + ndtri(np.array(levels))
    low, high = ndtr(bias + shifted / (1 - acceleration * shifted))
    return float(low), float(high)


def _counts(successes: SupportsFloat, total: SupportsFloat) -> tuple[float, float]:
    k, n = float(successes), float(total)
    if not (k.is_integer() and n.is_integer() and 0 <= k <= n and n >= 1):
        raise ValueError(
            "successes and total must be whole numbers with 0 <= successes <= total and total >= "
            f"1, got {successes} and {total}"
        )
    return k, n
