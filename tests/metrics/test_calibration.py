import math

import jax
import numpy as np
import pytest
import quick

from jaxvision import metrics

PROBABILITIES, LABELS = [0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("norm", "expected"),
    [("l1", 0.29), ("l2", math.sqrt((2 * 0.25**2 + 3 * (0.95 / 3) ** 2) / 5)), ("max", 0.95 / 3)],
)
def test_worked_example(norm, expected):
    error = metrics.expected_calibration_error(PROBABILITIES, LABELS, num_bins=2, norm=norm)
    np.testing.assert_allclose(error, expected, rtol=1e-12)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_rows_equal_torchmetrics(fixture, norm):
    case = fixture["calibration"]["multiclass"]
    error = metrics.expected_calibration_error(
        case["probabilities"], case["labels"], num_bins=10, norm=norm
    )
    # TorchMetrics bins float64 by edges in float32, and sums in float32.
    np.testing.assert_allclose(error, case["error"][norm], rtol=1e-6)


@pytest.mark.parametrize("kind", ["multiclass", "binary"])
@pytest.mark.parametrize("score", ["brier_score", "negative_log_likelihood"])
def test_scores_equal_scikit_learn(fixture, kind, score):
    case = fixture["calibration"][kind]
    actual = getattr(metrics, score)(case["probabilities"], case["labels"])
    np.testing.assert_allclose(actual, case[score], rtol=1e-12)


def test_reliability_curve_equals_scikit_learn(fixture):
    case = fixture["calibration"]["binary"]
    curve = metrics.reliability_curve(case["probabilities"], case["labels"], num_bins=5)
    np.testing.assert_allclose(curve.accuracy, case["accuracy"], rtol=1e-12)
    np.testing.assert_allclose(curve.confidence, case["confidence"], rtol=1e-12)
    np.testing.assert_allclose(curve.centers, [0.1, 0.3, 0.5, 0.7, 0.9], rtol=1e-12)
    assert curve.count.sum() == len(case["labels"])


def test_bins_are_closed_on_the_right_and_empty_ones_are_nan():
    curve = metrics.reliability_curve([0.0, 0.25, 0.5, 1.0], [0, 1, 1, 1], num_bins=4)
    np.testing.assert_array_equal(curve.count, [2, 1, 0, 1])
    np.testing.assert_array_equal(curve.accuracy, [0.5, 1.0, math.nan, 1.0])
    np.testing.assert_array_equal(curve.confidence, [0.125, 0.5, math.nan, 1.0])


def test_the_first_of_equal_classes_is_the_prediction():
    curve = metrics.reliability_curve([[0.5, 0.5], [0.5, 0.5]], [0, 1], num_bins=1)
    np.testing.assert_array_equal(curve.accuracy, [0.5])


def test_two_columns_double_the_brier_score():
    rows = np.stack([1 - np.array(PROBABILITIES), PROBABILITIES], axis=1)
    for score, factor in ((metrics.brier_score, 2), (metrics.negative_log_likelihood, 1)):
        np.testing.assert_allclose(
            score(rows, LABELS), factor * score(PROBABILITIES, LABELS), rtol=1e-12
        )


def test_a_surprise_is_infinite():
    assert metrics.negative_log_likelihood([0.0, 0.5], [1, 1]) == math.inf
    assert metrics.negative_log_likelihood([1.0, 0.5], [0, 1]) == math.inf
    assert metrics.negative_log_likelihood([[1.0, 0.0]], [1]) == math.inf
    assert metrics.negative_log_likelihood([1.0, 0.0], [1, 0]) == 0


def test_the_rounding_of_a_float32_softmax_is_tolerated():
    logits = 3 * np.random.default_rng(0).normal(size=(64, 1000)).astype(np.float32)
    rows, labels = quick.jit(jax.nn.softmax)(logits), np.zeros(64, int)
    expected = -np.mean(np.log(np.asarray(rows)[:, 0].astype(np.float64)))
    np.testing.assert_allclose(metrics.negative_log_likelihood(rows, labels), expected, rtol=1e-12)
    assert metrics.brier_score([1 + 1e-7], [1]) == 0


@pytest.mark.parametrize(
    "function",
    [
        metrics.reliability_curve,
        metrics.expected_calibration_error,
        metrics.brier_score,
        metrics.negative_log_likelihood,
    ],
)
@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([0.5, 1.5], [0, 1], r"in \[0, 1\], got 1.5"),
        ([0.5, -0.5], [0, 1], r"in \[0, 1\], got -0.5"),
        ([0.5, math.nan], [0, 1], "probabilities has 1 NaN of 2"),
        ([[0.5, 0.5], [0.5, 0.4]], [0, 1], "row 1 of probabilities sums to 0.9"),
        ([0.5], [0, 1], r"1 \(probabilities\), 2 \(labels\)"),
        ([0.5, 0.5], [0, 2], "labels must be 0 to 1, got 2"),
        ([[0.5, 0.5]], [2], "labels must be 0 to 1, got 2"),
        ([[0.5, 0.5]], [[1, 0]], r"labels must have one value per example, got shape \(1, 2\)"),
        ([], [], "probabilities is empty"),
        (0.5, 1, r"got \(\)"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(function, probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        function(probabilities, labels)


@pytest.mark.usefixtures("unchecked")
def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="num_bins must be at least 1, got 0"):
        metrics.reliability_curve([0.5], [1], num_bins=0)
    with pytest.raises(ValueError, match="unknown norm 'l3'"):
        metrics.expected_calibration_error([0.5], [1], norm="l3")
