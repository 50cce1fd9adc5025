"""Class weights for unbalanced data."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Integer


def balanced_weights(
    counts: Sequence[int] | Integer[np.ndarray, " classes"],
) -> Float64[np.ndarray, " classes"]:
    """Class weights that give every class the same total: `n / (classes * count)`.

    The mean of the weights over the examples is 1.

    Args:
        counts: The number of examples of each class; see `data.class_counts`.

    Returns:
        One weight per class; 0 for classes without examples, which `classes` does not count.

    Raises:
        ValueError: A count is negative, or all are 0.

    Reference: King and Zeng, Logistic regression in rare events data, Political Analysis 9, 2001.

    >>> balanced_weights([90, 10]).round(3).tolist()
    [0.556, 5.0]
    """
    numbers = np.asarray(counts, np.float64)
    if numbers.ndim != 1 or not (numbers >= 0).all() or not numbers.any():
        raise ValueError(
            f"counts must be one number per class, not negative and not all 0, got {counts!r}"
        )
    present = numbers > 0
    shares = present.sum() * numbers / numbers.sum()
    return np.divide(1.0, shares, out=np.zeros_like(numbers), where=present)
