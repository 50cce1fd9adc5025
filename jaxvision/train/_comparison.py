"""Comparison of two models on the same images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxvision import metrics

Rows = Shaped[np.ndarray, "examples *values"]


def compare_by_bootstrap(
    what: str,
    statistic: Callable[[Rows], float],
    own: Rows,
    other: Rows,
    images: tuple[np.ndarray, np.ndarray],
    *,
    form: str,
    unit: str = "",
    num_resamples: int = 1000,
) -> tuple[str, dict[str, Any]]:
    """Compares a statistic of two models, as a sentence and a JSON-able dict.

    `statistic` maps the rows of some images, which a paired bootstrap draws, to a number. `images`
    are the indices, or labels, of each model's images, which must be equal. `form` and `unit`
    format the numbers; the unit begins with a space.

    >>> errors = np.arange(8.0)
    >>> words, _ = compare_by_bootstrap(
    ...     "error", lambda rows: float(rows.mean()), errors + 1, errors,
    ...     (errors, errors), form=".1f", unit=" dB"
    ... )
    >>> words
    'error 4.5 against 3.5 dB: difference +1.0 [+1.0, +1.0], p = 0.001998 (bootstrap)'
    """
    if not np.array_equal(*images):
        raise ValueError("the other model was evaluated on other images")
    test = metrics.paired_bootstrap(
        lambda _, rows: statistic(rows),
        np.zeros(len(own)),
        own,
        other,
        seed=0,
        num_resamples=num_resamples,
    )
    low, high = test.interval
    words = (
        f"{what} {statistic(own):{form}} against {statistic(other):{form}}{unit}: difference "
        f"{test.difference:+{form}} [{low:+{form}}, {high:+{form}}], p = {test.p_value:.4g} "
        "(bootstrap)"
    )
    return words, {
        "difference": test.difference,
        "interval": [low, high],
        "p_value": test.p_value,
    }
