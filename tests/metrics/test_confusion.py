import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import metrics

RATES = ["sensitivity", "specificity", "precision", "f1_score", "jaccard_index"]
CASES = range(5)
# 0: four classes. 1: weighted. 2: two classes. 3: class 0 is never true, 3 never predicted,
# 4 neither. 4: one class only is true.


@pytest.fixture
def case(request, fixture):
    return fixture["confusion"][request.param]


def matrix_of(case):
    return metrics.confusion_matrix(
        case["labels"], case["predictions"], case["num_classes"], case["weight"]
    )


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_matrix_equals_scikit_learn(case):
    matrix = matrix_of(case)
    np.testing.assert_allclose(matrix, case["matrix"], rtol=1e-13)
    assert matrix.dtype == (np.int64 if case["weight"] is None else np.float64)


@pytest.mark.parametrize("case", CASES, indirect=True)
@pytest.mark.parametrize("zero_division", [0.0, math.nan])
@pytest.mark.parametrize("average", ["none", "macro", "micro", "weighted"])
def test_rates_equal_scikit_learn(case, average, zero_division):
    rates = case["rates"][f"{average} {zero_division}"]
    assert len(rates) >= 3
    for rate, expected in rates.items():
        actual = getattr(metrics, rate)(matrix_of(case), average, zero_division)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, err_msg=rate)


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_scalars_equal_scikit_learn(case):
    balanced = metrics.balanced_accuracy(matrix_of(case))
    np.testing.assert_allclose(balanced, case["balanced_accuracy"], rtol=1e-12)
    # Where scikit-learn's correlation is 0 by convention, it is 0/0.
    correlation = metrics.matthews_correlation(matrix_of(case), zero_division=0.0)
    np.testing.assert_allclose(correlation, case["matthews_correlation"], rtol=1e-12)
    for weights in (None, "linear", "quadratic"):
        kappa = metrics.cohen_kappa(matrix_of(case), weights)
        np.testing.assert_allclose(kappa, case["cohen_kappa"][str(weights)], rtol=1e-12, atol=1e-15)


def test_absent_classes_are_nan_and_left_out():
    # Class 0 is fine, 1 is never predicted, 2 is never true, 3 is neither.
    matrix = np.array([[4, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    nan = math.nan
    expected = {
        "sensitivity": ([4 / 5, 0, nan, nan], 2 / 5),
        "specificity": ([1 / 2, 1, 5 / 7, 1], 45 / 56),
        "precision": ([4 / 5, nan, 0, nan], 2 / 5),
        "f1_score": ([4 / 5, 0, 0, nan], 4 / 15),
        "jaccard_index": ([4 / 6, 0, 0, nan], 2 / 9),
    }
    for rate, (per_class, macro) in expected.items():
        function = getattr(metrics, rate)
        np.testing.assert_allclose(function(matrix), per_class, rtol=1e-12)
        np.testing.assert_allclose(function(matrix, "macro"), macro, rtol=1e-12)
        filled = np.nan_to_num(np.array(per_class), nan=1.0)
        np.testing.assert_allclose(function(matrix, zero_division=1.0), filled, rtol=1e-12)
        np.testing.assert_allclose(function(matrix, "macro", 1.0), filled.mean(), rtol=1e-12)


def test_a_single_class_leaves_correlation_undefined():
    matrix = [[5, 0], [0, 0]]
    assert metrics.balanced_accuracy(matrix) == 1
    for function in (metrics.matthews_correlation, metrics.cohen_kappa):
        assert np.isnan(function(matrix))
        assert function(matrix, zero_division=0.0) == 0
    assert np.isnan(metrics.cohen_kappa(matrix, "quadratic"))
    assert np.isnan(metrics.specificity(matrix)[0])
    assert np.isnan(metrics.specificity([[3.0]], "micro"))
    # A constant guess has no correlation, and no agreement beyond chance.
    assert np.isnan(metrics.matthews_correlation([[5, 0], [3, 0]]))
    assert metrics.cohen_kappa([[5, 0], [3, 0]]) == 0


def test_weights_that_round_leave_the_undefined_undefined():
    # In binary, 0.1 + 0.2 - 0.3 is not 0.
    weight = np.array([0.1, 0.2, 0.3, 0.1, 0.7])
    matrix = metrics.confusion_matrix([0, 0, 0, 0, 0], [1, 2, 0, 1, 2], 3, weight)
    assert np.isnan(metrics.matthews_correlation(matrix))
    assert np.isnan(metrics.sensitivity(matrix)).tolist() == [False, True, True]
    assert np.isnan(metrics.specificity(matrix)).tolist() == [True, False, False]


def test_large_counts_keep_their_digits():
    # One error each way among 2e9 pixels: products of counts exceed 2**53.
    matrix = [[10**9, 1], [1, 10**9]]
    expected = (10**9 - 1) / (10**9 + 1)
    np.testing.assert_allclose(metrics.matthews_correlation(matrix), expected, rtol=1e-15)


@pytest.mark.parametrize(("matrix", "expected"), [(np.eye(3), 1), ([[0, 3], [3, 0]], -1)])
def test_perfect_and_worst(matrix, expected):
    assert metrics.matthews_correlation(matrix) == metrics.cohen_kappa(matrix) == expected


def test_masks_of_jax_arrays_with_void_pixels():
    labels, predictions = np.uint8([[0, 1, 255], [1, 1, 0]]), np.array([[0, 1, 1], [0, 1, 0]])
    labels_and_predictions = map(jnp.asarray, (labels, predictions))
    matrix = metrics.confusion_matrix(*labels_and_predictions, 2, jnp.asarray(labels != 255))
    np.testing.assert_array_equal(matrix, [[2, 0], [1, 2]])
    parts = [
        metrics.confusion_matrix(labels[row], predictions[row], 2, labels[row] != 255)
        for row in range(2)
    ]
    np.testing.assert_array_equal(sum(parts), matrix)
    nothing = metrics.confusion_matrix(labels, predictions, 2, np.zeros((2, 3)))
    np.testing.assert_array_equal(nothing, np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1, 7], [0, 1, 1], 3), "labels must be 0 to 2, got 7"),
        (([0, 1, 1], [0, -1, 1], 3), "predictions must be 0 to 2, got -1"),
        (([0.0, 0.5], [0, 1], 3), r"labels must be class indices, got 0.5"),
        (([0.0, math.nan], [0, 1], 3), "got nan"),
        (([0, 1], [0, 1, 1], 3), r"\(2,\) and \(3,\)"),
        (([], [], 3), r"not be empty, got \(0,\)"),
        (([0], [0], 0), "num_classes must be at least 1, got 0"),
        (([0, 1], [0, 1], 2, [1.0]), r"weight must have shape \(2,\), got \(1,\)"),
        (([0, 1], [0, 1], 2, [1.0, -1.0]), "not negative"),
        (([0, 1], [0, 1], 2, [1.0, math.inf]), "finite"),
        (([0, 1], [0, 1], 2, [1.0, math.nan]), "weight has 1 NaN of 2"),
    ],
)
def test_bad_decisions_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(*arguments)


@pytest.mark.parametrize(
    "function",
    [
        *(getattr(metrics, rate) for rate in RATES),
        metrics.balanced_accuracy,
        metrics.matthews_correlation,
        metrics.cohen_kappa,
    ],
)
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], r"square.*\(2, 3\)"),
        ([1, 2], r"square.*\(2,\)"),
        ([[1, -1], [0, 1]], "none negative"),
        ([[0, 0], [0, 0]], "not all of them 0"),
        ([[math.nan, 0], [0, 1]], "matrix has 1 NaN of 4"),
        ([], "matrix is empty"),
    ],
)
def test_bad_matrices_are_named(function, matrix, message):
    with pytest.raises(ValueError, match=message):
        function(matrix)


@pytest.mark.usefixtures("unchecked")
def test_unknown_names_meet_the_nearest():
    with pytest.raises(ValueError, match="unknown average 'makro'; did you mean 'macro'"):
        metrics.precision([[1]], average="makro")
    with pytest.raises(ValueError, match="unknown weights 'quadric'; did you mean 'quadratic'"):
        metrics.cohen_kappa([[1]], weights="quadric")
