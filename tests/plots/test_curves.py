"""A score over a hyperparameter, and fits of a function."""

import numpy as np
import pytest

from jaxvision import plots

ROWS = np.array([[0.8, 0.9, 0.7], [0.9, 0.95, 0.7]])
VALUES = [1, 3, 5]


def artists(axes):
    return {artist.get_label(): artist for artist in axes.lines}


def test_dots_means_bars_and_the_chosen_one() -> None:
    figure = plots.validation_curves(
        {"l2": ROWS, "l1": ROWS - 0.1}, VALUES, x="k", chosen=("l2", 3), title="digits"
    )
    first, second = figure.axes
    assert (first.get_title(), first.get_xlabel(), first.get_ylabel()) == ("l2", "k", "accuracy")
    assert second.get_ylabel() == ""
    assert first.get_ylim() == second.get_ylim()
    dots, ring = artists(first)["each fold"], artists(first)["chosen: k = 3, l2"]
    np.testing.assert_array_equal(dots.get_ydata(), ROWS.ravel())
    assert (dots.get_xdata() < [*VALUES, *VALUES]).all()
    np.testing.assert_allclose(ring.get_xydata(), [[3, 0.925]])
    assert len(second.lines) == len(first.lines) - 1
    (bars,) = first.containers
    line, _, (segments,) = bars
    np.testing.assert_allclose(line.get_xydata(), np.stack([VALUES, ROWS.mean(axis=0)], axis=1))
    lengths = [np.ptp(each[:, 1]) for each in segments.get_segments()]
    np.testing.assert_allclose(lengths, 2 * ROWS.std(axis=0, ddof=1), atol=1e-12)
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[-1] == "mean of 2 folds ± standard deviation"


def test_logarithmic_axes_have_plain_numbers(render) -> None:
    widths = [1, 4, 16, 64]
    figure = plots.validation_curves(
        {"": [[0.8, 0.1, 0.05, 0.02]]}, widths, x="width", y="error", log_x=True, log_y=True
    )
    render(figure)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert {"1", "10", "50"} <= {text.get_text() for text in axes.get_xticklabels()}
    assert {"0.05", "0.1"} <= {text.get_text() for text in axes.get_yticklabels()}
    dots = artists(axes)["each fold"]
    np.testing.assert_allclose(dots.get_xdata(), np.array(widths) / 4**0.2)


def test_bars_that_reach_below_zero_are_drawn_on_a_logarithmic_axis(render) -> None:
    figure = plots.validation_curves(
        {"": [[0.01, 0.01], [0.9, 0.02]]}, [1, 2], x="width", y="error", log_y=True
    )
    assert render(figure).std() > 0
    assert 0.001 < figure.axes[0].get_ylim()[0] < 0.01


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ({}, {}, "nothing to draw"),
        ({"l2": ROWS[:, :2]}, {}, r"'l2' must .* each of 3 positions, got the shape \(2, 2\)"),
        ({"l2": [[0.5, np.nan, 0.5]]}, {}, "'l2' must have finite numbers"),
        ({"l2": ROWS}, {"chosen": ("l1", 3)}, r"one of the panels \['l2'\]"),
        ({"l2": ROWS}, {"chosen": ("l2", 2)}, r"got \('l2', 2\)"),
        ({"l2": ROWS - 0.7}, {"log_y": True}, "scores on a logarithmic axis must be positive"),
    ],
)
def test_scores_that_cannot_be_drawn(scores, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        plots.validation_curves(scores, VALUES, x="k", **options)


def test_fits_lie_over_the_function() -> None:
    places, truth = np.linspace(0, 1, 5), np.arange(5.0)
    figure = plots.fitted_curves(
        places, {"width 1": [truth + 1], "width 4": [truth, truth + 0.1]}, truth, axes=("x", "f(x)")
    )
    first, second = figure.axes
    assert (first.get_title(), first.get_ylabel(), second.get_ylabel()) == ("width 1", "f(x)", "")
    assert [len(axes.lines) for axes in figure.axes] == [2, 3]
    function, *fits = second.lines
    np.testing.assert_array_equal(function.get_ydata(), truth)
    np.testing.assert_array_equal(fits[1].get_ydata(), truth + 0.1)
    assert function.get_linewidth() > fits[0].get_linewidth()


@pytest.mark.parametrize(
    ("fits", "truth", "message"),
    [
        ({}, [0.0, 1.0], "nothing to draw"),
        ({"a": [[0.0]]}, [0.0, 1.0], r"'a' must have one column .* \(1, 1\)"),
        ({"a": [[0.0, 1.0]]}, [0.0], "'truth' must have one column"),
    ],
)
def test_fits_that_cannot_be_drawn(fits, truth, message) -> None:
    with pytest.raises(ValueError, match=message):
        plots.fitted_curves([0.0, 1.0], fits, truth)
