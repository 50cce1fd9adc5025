"""Whether two models differ in more than chance, on the same images."""

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
    """Compares a statistic of two models, of which the same images are drawn.

    Args:
        what: What the statistic is called.
        statistic: Makes a number of the rows of some images.
        own: What one model did, with a row per image.
        other: What the other one did.
        images: What says which images each of them saw: places in the data, or labels.
        form: How numbers are written, as for `format`.
        unit: Of the numbers, with a space before it.
        num_resamples: Bootstrap draws.

    Returns:
        The result in words, and as a JSON-able dict.

    Raises:
        ValueError: The images are others.

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
