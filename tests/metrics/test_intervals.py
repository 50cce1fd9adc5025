import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import metrics

STATISTICS = {
    "mean": np.mean,
    "correlation": lambda x, y: np.corrcoef(x, y)[0, 1],
    "share": lambda x: np.mean(x > 1),
}


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("kind", ["wilson", "clopper_pearson"])
def test_proportions_equal_statsmodels(fixture, index, kind):
    case = fixture["intervals"]["proportions"][index]
    interval = getattr(metrics, f"{kind}_interval")(
        case["successes"], case["total"], case["confidence"]
    )
    np.testing.assert_allclose(interval, case[kind], rtol=1e-12, atol=1e-15)
    assert 0 <= interval.low < interval.high <= 1


def test_worked_example():
    wilson, exact = metrics.wilson_interval(90, 100), metrics.clopper_pearson_interval(90, 100)
    np.testing.assert_allclose(wilson, [0.825634, 0.944771], atol=5e-7)
    np.testing.assert_allclose(exact, [0.823777, 0.950995], atol=5e-7)
    # The pairs of sums of `accuracy` are float32 on the device.
    assert metrics.wilson_interval(jnp.array(90.0), np.float32(100)) == wilson


def test_coverage():
    # Clopper-Pearson never covers less than claimed; Wilson does so on average.
    n, truths = 20, np.linspace(0.02, 0.98, 97)
    log_factorials = np.append(0, np.cumsum(np.log(np.arange(1, n + 1))))
    k = np.arange(n + 1)
    choose = np.exp(log_factorials[n] - log_factorials - log_factorials[::-1])
    chance = choose * truths[:, None] ** k * (1 - truths[:, None]) ** (n - k)

    def coverage(interval):
        low, high = np.array([interval(int(x), n, 0.9) for x in k]).T
        holds = (low <= truths[:, None]) & (truths[:, None] <= high)
        return np.sum(chance * holds, axis=1)

    assert coverage(metrics.clopper_pearson_interval).min() >= 0.9
    assert coverage(metrics.wilson_interval).mean() == pytest.approx(0.9, abs=0.01)


def test_t_interval_equals_scipy(fixture):
    case = fixture["intervals"]["t"]
    np.testing.assert_allclose(
        metrics.t_interval(case["values"], 0.9), case["interval"], rtol=1e-12
    )
    assert metrics.t_interval([2.0, 2.0]) == (2.0, 2.0)


@pytest.mark.parametrize("index", range(6))
def test_bootstrap_equals_scipy(fixture, index):
    data = fixture["intervals"]["bootstrap"]
    case = data["cases"][index]
    arrays = [data["x"], data["y"]][: 2 if case["statistic"] == "correlation" else 1]
    interval = metrics.bootstrap_interval(
        STATISTICS[case["statistic"]],
        *arrays,
        seed=5,
        confidence=0.9,
        num_resamples=999,
        method=case["method"],
    )
    np.testing.assert_allclose(interval, case["interval"], rtol=1e-12)


def test_bootstrap_is_a_function_of_its_seed():
    values = jnp.asarray(np.arange(20.0))
    first, again, other = (
        metrics.bootstrap_interval(np.mean, values, seed=seed, num_resamples=50)
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert isinstance(first.low, float)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_leaves_out_draws_without_a_value(method):
    # One positive in ten: a third of the draws has none.
    scores, labels = np.arange(10.0), np.eye(10)[7]
    interval = metrics.bootstrap_interval(
        metrics.roc_auc, scores, labels, seed=0, num_resamples=300, method=method
    )
    assert 0 < interval.low < metrics.roc_auc(scores, labels) < interval.high <= 1


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_of_a_constant_has_no_length(method):
    interval = metrics.bootstrap_interval(
        np.mean, np.full(5, 0.25), seed=0, num_resamples=10, method=method
    )
    assert interval == (0.25, 0.25)


def test_bca_of_a_statistic_that_no_single_row_moves():
    # The median stays when any one row leaves: the correction for bias is left.
    values = np.array([0.0] * 4 + [1.0] * 7)
    interval = metrics.bootstrap_interval(
        np.median, values, seed=0, num_resamples=200, method="bca"
    )
    assert interval == (0, 1)


def test_bca_is_not_defined_on_one_side():
    with pytest.raises(ValueError, match="use method='percentile'"):
        # The number of different values can only fall.
        metrics.bootstrap_interval(
            lambda x: len(np.unique(x)), np.arange(8), seed=0, num_resamples=50, method="bca"
        )


@pytest.mark.parametrize("function", [metrics.wilson_interval, metrics.clopper_pearson_interval])
@pytest.mark.parametrize(
    "counts", [(-1, 5), (6, 5), (0, 0), (1.5, 5), (math.nan, 5), (1, math.inf)]
)
def test_bad_counts_are_named(function, counts):
    with pytest.raises(ValueError, match=f"got {counts[0]} and {counts[1]}"):
        function(*counts)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_bad_confidence_is_named(confidence):
    for call in (
        lambda: metrics.wilson_interval(1, 2, confidence),
        lambda: metrics.clopper_pearson_interval(1, 2, confidence),
        lambda: metrics.t_interval([1.0, 2.0], confidence),
        lambda: metrics.bootstrap_interval(np.mean, [1.0], seed=0, confidence=confidence),
    ):
        with pytest.raises(ValueError, match=f"such as 0.95, got {confidence}"):
            call()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.t_interval([1.0]), "at least two values, got 1"),
        (lambda: metrics.t_interval([1.0, math.nan]), "values has 1 NaN of 2"),
        (lambda: metrics.t_interval([[1.0, 2.0]]), r"got shape \(1, 2\)"),
        (lambda: metrics.bootstrap_interval(np.mean, seed=0), "at least one array"),
        (lambda: metrics.bootstrap_interval(np.mean, [], seed=0), "there is none"),
        (
            lambda: metrics.bootstrap_interval(np.dot, [1, 2], [1, 2, 3], seed=0),
            r"2 \(array 0\), 3 \(array 1\)",
        ),
        (
            lambda: metrics.bootstrap_interval(np.mean, [1.0], seed=0, num_resamples=0),
            "num_resamples must be at least 1, got 0",
        ),
        (
            lambda: metrics.bootstrap_interval(np.mean, [1.0], seed=0, method="percentiles"),
            "did you mean 'percentile'",
        ),
        (
            lambda: metrics.bootstrap_interval(np.mean, [1.0, math.nan], seed=0),
            "statistic of all rows must be finite, got nan",
        ),
        (
            lambda: metrics.bootstrap_interval(
                lambda x: 1 / len(np.unique(x)) if len(np.unique(x)) > 1 else math.inf,
                [1, 2],
                seed=0,
            ),
            "infinite for some resample",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
