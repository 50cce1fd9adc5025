import math

import numpy as np
import pytest

from jaxvision import metrics

RATES = ["sensitivity", "specificity", "precision", "f1_score", "jaccard_index"]


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("zero_division", [math.nan, 1.0])
def test_report_holds_what_the_functions_return(fixture, index, zero_division):
    case = fixture["confusion"][index]
    matrix = np.array(case["matrix"])
    report = metrics.classification_report(matrix, zero_division)
    for rate in RATES:
        function = getattr(metrics, rate)
        np.testing.assert_array_equal(
            getattr(report, rate), function(matrix, "none", zero_division)
        )
        for average in ("macro", "micro", "weighted"):
            np.testing.assert_array_equal(
                getattr(report, average)[rate], function(matrix, average, zero_division)
            )
    np.testing.assert_array_equal(
        [report.matthews_correlation, report.cohen_kappa],
        [
            metrics.matthews_correlation(matrix, zero_division),
            metrics.cohen_kappa(matrix, None, zero_division),
        ],
    )
    np.testing.assert_allclose(report.accuracy, case["accuracy"], rtol=1e-12)
    np.testing.assert_allclose(report.balanced_accuracy, case["balanced_accuracy"], rtol=1e-12)
    np.testing.assert_array_equal(report.support, matrix.sum(axis=1))


def test_bad_matrices_are_named():
    with pytest.raises(ValueError, match="not all of them 0"):
        metrics.classification_report([[0, 0], [0, 0]])
