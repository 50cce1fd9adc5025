import numpy as np
import pytest

from jaxvision import metrics, plots


@pytest.fixture(scope="module")
def answers():
    """Probabilities of four classes, and labels that follow other ones."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(400, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(rng.random(400) < 0.3, rng.integers(0, 4, 400), logits.argmax(axis=1))
    return probabilities, labels


def bars(axes):
    """Rectangles as left, bottom, width, height."""
    return np.array([patch.get_bbox().bounds for patch in axes.patches])


def test_the_curve_arrives(answers):
    curve = metrics.reliability_curve(*answers, num_bins=10)
    filled = curve.count > 0
    diagram, histogram = plots.reliability_diagram(curve).axes
    left, bottom, width, height = bars(diagram).reshape(2, filled.sum(), 4).transpose(0, 2, 1)[0]
    np.testing.assert_allclose(left + width / 2, curve.centers[filled])
    np.testing.assert_allclose(bottom, 0)
    np.testing.assert_allclose(height, curve.accuracy[filled])
    np.testing.assert_allclose(width, 0.1)
    counts = bars(histogram)
    np.testing.assert_allclose(counts[:, 0], np.arange(10) / 10, atol=1e-12)
    np.testing.assert_array_equal(counts[:, 3], curve.count)


def test_the_gap_lies_between_accuracy_and_confidence(answers):
    curve = metrics.reliability_curve(*answers)
    filled = curve.count > 0
    ends = np.sort([curve.accuracy[filled], curve.confidence[filled]], axis=0)
    axes = plots.reliability_diagram(curve).axes[0]
    gaps = bars(axes)[filled.sum() :]
    np.testing.assert_allclose(gaps[:, 1], ends[0])
    np.testing.assert_allclose(gaps[:, 1] + gaps[:, 3], ends[1])
    assert {patch.get_hatch() for patch in axes.patches[filled.sum() :]} == {"////"}


def test_probabilities_and_their_curve_give_the_same_figure(answers, render):
    curve = metrics.reliability_curve(*answers)
    pictures = [render(plots.reliability_diagram(*arguments)) for arguments in ((curve,), answers)]
    np.testing.assert_array_equal(*pictures)


def test_the_title_has_the_calibration_error(answers):
    error = metrics.expected_calibration_error(*answers, num_bins=8)
    figure = plots.reliability_diagram(*answers, num_bins=8, title="digits")
    first, second = figure.axes[0].get_title().split("\n")
    assert first == f"expected calibration error {error:.3f}, in 8 bins"
    right = np.mean(answers[0].argmax(axis=1) == answers[1])
    confidence = answers[0].max(axis=1).mean()
    assert second == (
        f"accuracy {100 * right:.3g}%, mean confidence {100 * confidence:.1f}%, 400 examples"
    )
    assert figure.get_suptitle() == "digits"


def test_intervals_are_wilsons():
    figure = plots.reliability_diagram([0.1, 0.2, 0.9, 0.9, 0.9], [0, 1, 1, 1, 1], num_bins=2)
    (errorbar,) = figure.axes[0].containers[2:]
    segments = np.array(errorbar.lines[2][0].get_segments())
    expected = [metrics.wilson_interval(1, 2), metrics.wilson_interval(3, 3)]
    np.testing.assert_allclose(segments[:, :, 1], expected)
    np.testing.assert_allclose(segments[:, :, 0], [[0.25, 0.25], [0.75, 0.75]])


def test_axes_and_diagonal(answers):
    figure = plots.reliability_diagram(*answers)
    diagram, histogram = figure.axes
    assert (diagram.get_ylabel(), histogram.get_xlabel()) == ("accuracy", "confidence")
    assert histogram.get_ylabel() == "examples"
    assert diagram.get_xlim() == histogram.get_xlim() == diagram.get_ylim() == (0, 1)
    dashed = [line for line in diagram.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(dashed[0].get_xydata(), [[0, 0], [1, 1]])
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named - {"pale: fewer than 4 examples"} == {
        "calibrated",
        "gap to mean confidence",
        "accuracy, 95% interval",
    }


def test_bins_of_few_examples_are_pale_and_have_no_gap():
    confidences = np.repeat([0.05, 0.95], [3, 30])
    labels = np.concatenate([np.ones(3, int), np.arange(30) % 15 > 0])
    figure = plots.reliability_diagram(confidences, labels, num_bins=10)
    few, many, gap_of_few, gap = figure.axes[0].patches
    assert few.get_alpha() < 0.5 < many.get_alpha()
    assert (gap_of_few.get_visible(), gap.get_visible()) == (False, True)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[-1] == "pale: fewer than 4 examples"
    none = plots.reliability_diagram(confidences[3:], labels[3:], num_bins=10)
    assert not any("pale" in text.get_text() for text in none.legends[0].get_texts())


def test_probabilities_of_class_one_say_so():
    figure = plots.reliability_diagram([0.2, 0.7, 0.8], [0, 1, 1])
    assert figure.axes[0].get_ylabel() == "share of class 1"
    assert figure.axes[1].get_xlabel() == "probability of class 1"


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_certainty_and_a_single_example(confidence, render):
    figure = plots.reliability_diagram([confidence], [1], num_bins=1)
    title = figure.axes[0].get_title()
    assert title.startswith(f"expected calibration error {1 - confidence:.3f}, in 1 bins")
    render(figure)


EMPTY = metrics.ReliabilityCurve(
    centers=np.array([0.5]),
    confidence=np.array([np.nan]),
    accuracy=np.array([np.nan]),
    count=np.array([0]),
)
CURVE = metrics.reliability_curve([0.5], [1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curve_or_probabilities": [0.5]}, "probabilities need labels"),
        ({"curve_or_probabilities": CURVE, "labels": [1]}, "give neither"),
        ({"curve_or_probabilities": CURVE, "num_bins": 3}, "give neither"),
        ({"curve_or_probabilities": EMPTY}, "no examples"),
        ({"curve_or_probabilities": [0.5, np.nan], "labels": [0, 1]}, "1 NaN"),
        ({"curve_or_probabilities": [0.5], "labels": [1], "num_bins": 0}, "at least 1, got 0"),
    ],
)
def test_what_cannot_be_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.reliability_diagram(**arguments)
