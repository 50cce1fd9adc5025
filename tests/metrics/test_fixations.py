import json
import pathlib

import numpy as np
import pytest

from jaxvision import metrics

NAMES = ("nss", "auc_judd", "fixation_correlation", "fixation_divergence", "fixation_similarity")


@pytest.fixture(scope="module")
def case():
    """What pysaliency computes."""
    path = pathlib.Path(__file__).parents[1] / "fixtures" / "explanation_quality.json"
    return json.loads(path.read_text())["fixations"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "auc_judd"])
def test_equals_pysaliency(case, name) -> None:
    truth = case["fixations" if name == "nss" else "density"]
    found = getattr(metrics, name)(case["saliency"], truth)
    np.testing.assert_allclose(found, case[name], rtol=1e-10)


def test_the_area_is_that_of_the_benchmark(case) -> None:
    found = metrics.auc_judd(case["saliency"], case["fixations"])
    for row, (saliency, fixations) in enumerate(
        zip(np.array(case["saliency"]), np.array(case["fixations"]), strict=True)
    ):
        hits = np.sort(saliency[fixations > 0])[::-1]
        true, false = [0.0], [0.0]
        for number, threshold in enumerate(hits, start=1):
            above = (saliency >= threshold).sum()
            true.append(number / len(hits))
            false.append((above - number) / (saliency.size - len(hits)))
        expected = np.trapezoid([*true, 1], [*false, 1])
        np.testing.assert_allclose(found[row], expected, rtol=1e-12)
        exact = metrics.roc_auc(saliency.ravel(), fixations.ravel())
        assert exact <= found[row] <= exact + 1 / (2 * len(hits)) + 1e-12


def test_values_by_hand() -> None:
    saliency = [[[0, 1, 2, 3]]]
    fixations = [[[0, 0, 1, 2]]]  # two fixations of a pixel count as one
    np.testing.assert_allclose(metrics.nss(saliency, fixations), [1 / np.sqrt(1.25)])
    np.testing.assert_allclose(metrics.auc_judd(saliency, fixations), [1])
    np.testing.assert_allclose(metrics.auc_judd(saliency, [[[1, 1, 0, 0]]]), [0.25])
    # Points at (0, 0), (0, 1/2), (1/2, 1) and (1, 1).
    np.testing.assert_allclose(metrics.auc_judd(saliency, [[[0, 1, 0, 1]]]), [0.875])
    density = [[[1, 0, 0, 1]]]
    np.testing.assert_allclose(metrics.fixation_similarity(saliency, density), [0.5])
    np.testing.assert_allclose(
        metrics.fixation_divergence([[[1, 0, 2, 1]]], density), [np.log(2)], rtol=1e-12
    )
    np.testing.assert_allclose(metrics.fixation_correlation(saliency, density), [0], atol=1e-15)


def test_the_best_maps() -> None:
    density = np.random.default_rng(0).gamma(1, size=(3, 5, 7))
    fixations = density > np.quantile(density, 0.9, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(metrics.fixation_correlation(3 * density + 1, density), 1)
    np.testing.assert_allclose(metrics.fixation_divergence(3 * density, density), 0, atol=1e-12)
    np.testing.assert_allclose(metrics.fixation_similarity(3 * density, density), 1)
    np.testing.assert_allclose(metrics.auc_judd(density, fixations), 1)


def test_constant_maps_and_images_without_fixations() -> None:
    constant, none = np.full((1, 3, 5), 0.1), np.zeros((1, 3, 5))
    some = none.copy()
    some[0, 1, 1:3] = 1
    varied = np.arange(15.0).reshape(1, 3, 5)
    assert np.isnan(metrics.nss(constant, some)).all()
    np.testing.assert_allclose(metrics.auc_judd(constant, some), [0.5])
    for fixations in (none, none + 1):
        assert np.isnan(metrics.auc_judd(varied, fixations)).all()
    assert np.isnan(metrics.nss(varied, none)).all()
    assert np.isnan(metrics.fixation_correlation(varied, constant)).all()
    assert np.isnan(metrics.fixation_correlation(constant, varied)).all()
    for name in ("fixation_divergence", "fixation_similarity"):
        assert np.isnan(getattr(metrics, name)(none, varied)).all()
        assert np.isnan(getattr(metrics, name)(varied, none)).all()


def test_intervals_come_from_one_value_per_image(case) -> None:
    values = metrics.nss(np.array(case["saliency"], np.float32), np.array(case["fixations"], bool))
    low, high = metrics.t_interval(values)
    assert low < values.mean() < high


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be(name) -> None:
    measure, maps = getattr(metrics, name), np.ones((2, 3, 4))
    for first, second, message in (
        (maps[0], maps[0], r"saliency must have shape \(images, height, width\), got \(3, 4\)"),
        (maps, maps[:1], r"must have one shape, got \(2, 3, 4\) and \(1, 3, 4\)"),
        (maps[:0], maps[:0], "saliency is empty"),
        (maps * np.nan, maps, "saliency has 24 NaN of 24 values"),
        (maps * np.inf, maps, "saliency must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(first, second)


def test_negative_densities() -> None:
    for measure in (metrics.fixation_divergence, metrics.fixation_similarity):
        with pytest.raises(ValueError, match=r"density must not be negative, got -1.0"):
            measure(np.ones((1, 2, 2)), -np.ones((1, 2, 2)))


def test_positions_are_counted_at_the_nearest_pixel() -> None:
    """x, y; outside of the image, and where they are not valid, they count nowhere."""
    fixations = np.array(
        [
            [[0, 0], [2.4, 0.6], [2, 1], [-0.6, 0], [3, 1]],
            [[-0.4, 1.4], [0, 1.6], [np.nan, 0], [1, 0], [1, 0]],
        ]
    )
    valid = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 1]], bool)
    found = metrics.fixation_counts(fixations, (2, 3), valid)
    np.testing.assert_array_equal(found, [[[1, 0, 0], [0, 0, 2]], [[0, 2, 0], [1, 0, 0]]])
    np.testing.assert_array_equal(metrics.fixation_counts(fixations[:1], (2, 3)), found[:1])
    for given, options, message in (
        (fixations[0], {}, r"must have shape \(images, fixations, 2\), got \(5, 2\)"),
        (fixations, {}, "fixations must be finite"),
        (fixations, {"valid": valid[:1]}, r"valid must have shape \(2, 5\), got \(1, 5\)"),
    ):
        with pytest.raises(ValueError, match=message):
            metrics.fixation_counts(given, (2, 3), **options)
