import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import metrics


def models(b, c, both=20, neither=5):
    """Predictions of two models, for labels that are all 0."""
    first = np.repeat([0, 0, 1, 1], [both, b, c, neither])
    second = np.repeat([0, 1, 0, 2], [both, b, c, neither])
    return np.zeros(both + b + c + neither, int), first, second


def accuracy(labels, predictions):
    return np.mean(labels == predictions)


@pytest.mark.parametrize("index", range(5))
def test_mcnemar_equals_statsmodels(fixture, index):
    case = fixture["mcnemar"][index]
    result = metrics.mcnemar(*models(case["b"], case["c"]))
    for name, expected in case.items():
        np.testing.assert_allclose(getattr(result, name), expected, rtol=1e-12)


def test_mcnemar_worked_example():
    result = metrics.mcnemar(*map(jnp.asarray, models(10, 2)))
    assert (result.b, result.c) == (10, 2)
    np.testing.assert_allclose(
        [result.exact_p_value, result.chi2, result.chi2_p_value],
        [0.038574, 4.08333, 0.043308],
        atol=5e-6,
    )


@pytest.mark.parametrize("count", [0, 1, 30])
def test_mcnemar_of_equals(count):
    # The correction does not carry |b - c| below 0.
    result = metrics.mcnemar(*models(count, count))
    assert (result.exact_p_value, result.chi2, result.chi2_p_value) == (1, 0, 1)


def test_paired_bootstrap_by_hand():
    labels, a, b = models(10, 4)
    result = metrics.paired_bootstrap(
        accuracy, labels, a, b, seed=3, num_resamples=400, confidence=0.8
    )
    random = np.random.default_rng(3)
    gains = (a == labels).astype(float) - (b == labels)
    draws = np.array([gains[random.integers(0, 39, 39)].mean() for _ in range(400)])
    np.testing.assert_allclose(result.difference, 6 / 39, rtol=1e-12)
    np.testing.assert_allclose(result.interval, np.quantile(draws, [0.1, 0.9]), rtol=1e-12)
    # Not draws <= 0: differences of means that should be 0 round to 1e-17 either way.
    assert result.p_value == pytest.approx(2 * (np.sum(draws < 1e-9) + 1) / 401)


def test_paired_bootstrap_is_antisymmetric():
    labels, a, b = models(10, 4)
    forth = metrics.paired_bootstrap(accuracy, labels, a, b, seed=0, num_resamples=200)
    back = metrics.paired_bootstrap(accuracy, labels, b, a, seed=0, num_resamples=200)
    assert (back.difference, back.p_value) == (-forth.difference, forth.p_value)
    np.testing.assert_allclose(back.interval, (-forth.interval.high, -forth.interval.low))


def test_paired_bootstrap_of_one_model_with_itself():
    labels, a, _ = models(10, 4)
    result = metrics.paired_bootstrap(accuracy, labels, a, a, seed=0, num_resamples=50)
    assert (result.difference, result.interval, result.p_value) == (0, (0, 0), 1)


def test_paired_bootstrap_of_right_and_wrong():
    labels = np.zeros(30)
    result = metrics.paired_bootstrap(
        accuracy, labels, labels, labels + 1, seed=0, num_resamples=99
    )
    assert (result.difference, result.interval) == (1, (1, 1))
    assert result.p_value == pytest.approx(0.02)


@pytest.mark.slow
def test_p_values_of_equal_models_are_uniform():
    random = np.random.default_rng(0)
    labels = np.zeros(50)
    small = [
        metrics.paired_bootstrap(
            accuracy, labels, *random.integers(0, 2, (2, 50)), seed=seed, num_resamples=100
        ).p_value
        < 0.2
        for seed in range(200)
    ]
    assert np.mean(small) == pytest.approx(0.2, abs=0.09)


def test_paired_bootstrap_leaves_out_draws_without_a_value():
    labels, scores = np.eye(10)[7].astype(int), np.arange(10.0)
    result = metrics.paired_bootstrap(
        lambda labels, scores: metrics.roc_auc(scores, labels),
        labels,
        scores,
        -scores,
        seed=0,
        num_resamples=300,
    )
    assert result.difference == pytest.approx(5 / 9)
    assert -1 <= result.interval.low < 5 / 9 < result.interval.high <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0, 1], [0]), r"1 \(predictions_b\)"),
        (([], [], []), "labels is empty"),
        (([0, 1], [0, 0.5], [0, 1]), "predictions_a must be class indices, got 0.5"),
        (([0, -1], [0, 1], [0, 1]), "labels must be 0 or more, got -1"),
        (([[0]], [[0]], [[0]]), r"labels must have one value per example, got shape \(1, 1\)"),
    ],
)
def test_mcnemar_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.mcnemar(*arguments)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0, 1], [0, 1], [0]), {}, r"1 \(outputs_b\)"),
        (([], [], []), {}, "there is none"),
        (([0], [0], [0]), {"confidence": 1.0}, "got 1.0"),
        (([0], [0], [0]), {"num_resamples": 0}, "num_resamples must be at least 1, got 0"),
        (([math.nan], [0], [0]), {"statistic": np.dot}, "finite, got nan"),
    ],
)
def test_paired_bootstrap_bad_input_is_named(arguments, options, message):
    statistic = options.pop("statistic", accuracy)
    with pytest.raises(ValueError, match=message):
        metrics.paired_bootstrap(statistic, *arguments, seed=0, **options)
