"""Numbers with their confidence intervals, and a table of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxvision.metrics._checks import ArrayLike, floats
from jaxvision.metrics.intervals import t_interval


class Score(NamedTuple):
    """A number and its confidence interval.

    Attributes:
        value: The number; NaN where it is undefined.
        low: The interval's lower end; NaN where there is none.
        high: The interval's upper end; NaN where there is none.
        note: Why the number or its interval is undefined, in words; else empty.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    note: str = ""


def mean_score(values: ArrayLike, confidence: float = 0.95) -> Score:
    """The mean of one number per example, with its t interval.

    Args:
        values: The numbers.
        confidence: The share of such intervals that hold the true mean.

    Returns:
        The mean; of a single example, or of numbers that are not all finite, without an interval.

    Raises:
        ValueError: There are no numbers, or a NaN is among them.

    >>> mean_score([1.0, 2.0, 3.0]).value
    2.0
    """
    numbers = floats("values", values)
    value = float(numbers.mean())
    if len(numbers) < 2 or not np.isfinite(numbers).all():
        return Score(value)
    return Score(value, *t_interval(numbers, confidence))


def score_table(scores: Mapping[str, Score]) -> str:
    """Writes scores as a table for people.

    Args:
        scores: By name.

    Returns:
        A line per score, after one of headings.

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
