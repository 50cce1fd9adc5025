"""All metrics of a confusion matrix at once."""

import dataclasses

import numpy as np
from jaxtyping import Float64

from jaxvision.metrics import _checks
from jaxvision.metrics._averages import Average
from jaxvision.metrics._checks import ArrayLike
from jaxvision.metrics.confusion import (
    balanced_accuracy,
    cohen_kappa,
    f1_score,
    jaccard_index,
    matthews_correlation,
    precision,
    sensitivity,
    specificity,
)

_RATES = {
    function.__name__: function
    for function in (sensitivity, specificity, precision, f1_score, jaccard_index)
}


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """Metrics of a confusion matrix: per class, averaged, and single numbers.

    The dictionaries `macro`, `micro` and `weighted` have the keys "sensitivity", "specificity",
    "precision", "f1_score" and "jaccard_index". `support` is the weight of each class's examples.
    """

    sensitivity: Float64[np.ndarray, "classes"]
    specificity: Float64[np.ndarray, "classes"]
    precision: Float64[np.ndarray, "classes"]
    f1_score: Float64[np.ndarray, "classes"]
    jaccard_index: Float64[np.ndarray, "classes"]
    support: Float64[np.ndarray, "classes"]
    macro: dict[str, float]
    micro: dict[str, float]
    weighted: dict[str, float]
    accuracy: float
    balanced_accuracy: float
    matthews_correlation: float
    cohen_kappa: float


def classification_report(matrix: ArrayLike, zero_division: float = np.nan) -> Report:
    """Computes the metrics of `jaxvision.metrics.confusion`, all at once.

    Args:
        matrix: A matrix from `confusion_matrix`.
        zero_division: The value of 0/0. NaN leaves a class out of the macro and weighted means.
            Balanced accuracy always averages over the classes that have examples.

    Raises:
        ValueError: The matrix is not square, has a negative entry or is all 0.

    >>> report = classification_report([[3, 1, 0], [1, 3, 0], [0, 0, 0]])
    >>> report.sensitivity, report.macro["f1_score"], report.accuracy
    (array([0.75, 0.75,  nan]), 0.75, 0.75)
    """

    def averaged(average: Average) -> dict[str, float]:
        return {name: float(rate(matrix, average, zero_division)) for name, rate in _RATES.items()}

    return Report(
        **{name: np.asarray(rate(matrix, "none", zero_division)) for name, rate in _RATES.items()},
        support=_checks.floats("matrix", matrix).sum(axis=1),
        macro=averaged("macro"),
        micro=averaged("micro"),
        weighted=averaged("weighted"),
        accuracy=float(sensitivity(matrix, "micro")),
        balanced_accuracy=balanced_accuracy(matrix),
        matthews_correlation=matthews_correlation(matrix, zero_division),
        cohen_kappa=cohen_kappa(matrix, zero_division=zero_division),
    )
