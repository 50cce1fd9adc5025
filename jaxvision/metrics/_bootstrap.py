"""Bootstrap: a statistic of rows drawn with replacement."""

from collections.abc import Callable
from typing import SupportsFloat

import numpy as np
from jaxtyping import Float64

from jaxvision.metrics import _checks
from jaxvision.metrics._checks import ArrayLike

Statistic = Callable[..., SupportsFloat]
"""A function from arrays with one row per example to a number."""


def rows_of(**arrays: ArrayLike) -> list[np.ndarray]:
    """The arrays as NumPy arrays, which must have the same length, not 0.

    >>> rows_of(labels=[0, 1], scores=[0.5, 0.5])
    [array([0, 1]), array([0.5, 0.5])]
    """
    columns = {name: np.asarray(array) for name, array in arrays.items()}
    if _checks.same_length(**columns) == 0:
        raise ValueError(f"one row per example is needed in {', '.join(columns)}; there is none")
    return list(columns.values())


def estimate_and_draws(
    statistic: Statistic, columns: list[np.ndarray], num_resamples: int, seed: int
) -> tuple[float, Float64[np.ndarray, "draws"]]:
    """The statistic of the rows, and of `num_resamples` draws of rows with replacement.

    The same rows are drawn from all columns. Draws whose statistic is NaN are left out, such as a
    ROC area without positives.

    >>> estimate_and_draws(np.mean, [np.array([2.0, 2.0])], num_resamples=3, seed=0)
    (2.0, array([2., 2., 2.]))
    """
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
    estimate = float(statistic(*columns))
    if not np.isfinite(estimate):
        raise ValueError(f"the statistic of all rows must be finite, got {estimate}")
    random = np.random.default_rng(seed)
    length = len(columns[0])
    draws = np.empty(num_resamples)
    for index in range(num_resamples):
        rows = random.integers(0, length, length)
        draws[index] = float(statistic(*(column[rows] for column in columns)))
    draws = draws[~np.isnan(draws)]
    if draws.size == 0 or np.isinf(draws).any():
        raise ValueError("the statistic is infinite for some resample, or undefined for all")
    return estimate, draws


def percentiles(
    draws: Float64[np.ndarray, "draws"], low: float, high: float
) -> tuple[float, float]:
    """Two quantiles of the draws.

    >>> percentiles(np.arange(101.0), 0.025, 0.975)
    (2.5, 97.5)
    """
    first, second = np.quantile(draws, [low, high])
    return float(first), float(second)
