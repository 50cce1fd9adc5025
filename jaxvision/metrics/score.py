"""Numbers with confidence intervals, and tables of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxvision.metrics._checks import ArrayLike, floats
from jaxvision.metrics.intervals import t_interval


class Score(NamedTuple):
    """A number and its confidence interval.

    Attributes:
        value: The number; NaN if undefined.
        low: The lower end of the interval; NaN if there is none.
        high: The upper end of the interval; NaN if there is none.
        note: Why the number or the interval is undefined; empty otherwise.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    note: str = ""


def mean_score(values: ArrayLike, confidence: float = 0.95) -> Score:
    """The mean of one number per example, with its t interval.

    There is no interval for a single example, or if a number is infinite.

    Args:
        values: One number per example.
        confidence: The share of such intervals that contain the true mean.

    Raises:
        ValueError: There are no numbers, or one is NaN.

    >>> mean_score([1.0, 2.0, 3.0]).value
    2.0
    """
    numbers = floats("values", values)
    value = float(numbers.mean())
    if len(numbers) < 2 or not np.isfinite(numbers).all():
        return Score(value)
    return Score(value, *t_interval(numbers, confidence))


def score_table(scores: Mapping[str, Score]) -> str:
    """Formats scores by name as a table for people.

    >>> print(score_table({"accuracy": Score(0.75, 0.301, 0.954), "loss": Score(0.5)}))
    score                   value   95% interval
    accuracy                0.7500  [0.3010, 0.9540]
    loss                    0.5000
    """
    lines = [f"{'score':22}  value   95% interval"]
    for name, score in scores.items():
        interval = "" if np.isnan(score.low) else f"  [{score.low:.4f}, {score.high:.4f}]"
        note = f"  ({score.note})" if score.note else ""
        lines.append(f"{name:22}  {score.value:.4f}{interval}{note}")
    return "\n".join(lines)
