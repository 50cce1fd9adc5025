"""Averages over classes."""

from typing import Literal

import numpy as np
from jaxtyping import Float64

from jaxvision.checks import check_name

Average = Literal["none", "macro", "micro", "weighted"]
"""Per class; mean over classes; all classes pooled; mean over classes weighted by support."""

_AVERAGES = ("none", "macro", "micro", "weighted")


def check_average(average: str) -> None:
    """Raises ValueError, with the nearest valid name, unless `average` is valid."""
    check_name("average", average, _AVERAGES)


def over_classes(
    values: Float64[np.ndarray, "classes"],
    support: Float64[np.ndarray, "classes"],
    average: Average,
) -> Float64[np.ndarray, "classes"] | float:
    """The values, or their mean over the classes whose value is not NaN (for all but "micro").

    >>> over_classes(np.array([0.5, np.nan, 1.0]), np.array([3.0, 0.0, 1.0]), "weighted")
    0.625
    """
    if average == "none":
        return values
    weight = np.where(np.isnan(values), 0, support if average == "weighted" else 1)
    if weight.sum() == 0:
        return float("nan")
    return float(np.average(np.where(weight == 0, 0, values), weights=weight))
