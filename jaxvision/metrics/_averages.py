"""From one value per class to one value."""

from typing import Literal

import numpy as np
from jaxtyping import Float64

from jaxvision.checks import check_name

Average = Literal["none", "macro", "micro", "weighted"]
"""One value per class; their mean; the value of all classes pooled; their mean by support."""

_AVERAGES = ("none", "macro", "micro", "weighted")


def check_average(average: str) -> None:
    """Raises ValueError, with the nearest name, unless this is an average."""
    check_name("average", average, _AVERAGES)


def over_classes(
    values: Float64[np.ndarray, "classes"],
    support: Float64[np.ndarray, "classes"],
    average: Average,
) -> Float64[np.ndarray, "classes"] | float:
    """The values themselves, or their mean over the classes where they are not NaN.

    Args:
        values: One per class; NaN where a class has none.
        support: The weight of the examples of each class, which "weighted" weighs by.
        average: "none", "macro" or "weighted"; "micro" is not a mean over classes.

    Returns:
        The values, or their mean; NaN if nothing is left to average.

    >>> over_classes(np.array([0.5, np.nan, 1.0]), np.array([3.0, 0.0, 1.0]), "weighted")
    0.625
    """
    if average == "none":
        return values
    weight = np.where(np.isnan(values), 0, support if average == "weighted" else 1)
    if weight.sum() == 0:
        return float("nan")
    return float(np.average(np.where(weight == 0, 0, values), weights=weight))
