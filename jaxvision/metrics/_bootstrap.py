"""A statistic of rows that are drawn again and again."""

from collections.abc import Callable
from typing import SupportsFloat

import numpy as np
from jaxtyping import Float64

from jaxvision.metrics import _checks
from jaxvision.metrics._checks import ArrayLike

Statistic = Callable[..., SupportsFloat]
"""A number from arrays that have one row per example."""


def rows_of(**arrays: ArrayLike) -> list[np.ndarray]:
    """The arrays as NumPy arrays.

    Raises:
        ValueError: They have not one length, or it is 0.

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
    """The statistic of the rows, and of as many rows drawn with replacement, many times.

    A row is drawn from all columns at once. Draws where the statistic is NaN, such as the area
    under a curve of a draw without positives, are left out.

    Args:
        statistic: A number from the columns.
        columns: Arrays of one length.
        num_resamples: How many draws.
        seed: Of the draws.

    Returns:
        The estimate, and the statistic of each draw where it is defined.

    Raises:
        ValueError: The statistic of the rows, or of all draws, is NaN; one is infinite;
            `num_resamples` is below 1.

    >>> estimate_and_draws(np.mean, [np.array([2.0, 2.0])], num_resamples=3, seed=0)
    (2.0, array([2., 2., 2.]))
    """
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
    estimate = float(statistic(*columns))
    if not np.isfinite(estimate):
        raise ValueError(f"the statistic of the arrays as they are is {estimate}")
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
