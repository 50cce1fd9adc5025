import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from jaxvision import metrics, plots


def line(step, split="train", **values):
    return {"step": step, "split": split, **values}


HISTORY = [
    line(10, loss=2.0, accuracy=0.3, steps_per_second=50.0),
    line(20, loss=1.0, accuracy=0.6, steps_per_second=50.0),
    line(20, "test", accuracy=0.5, loss=1.1),
    line(30, loss=0.5, accuracy=0.8, steps_per_second=50.0, learning_rate=0.1),
    line(30, "test", accuracy=0.7, loss=0.9),
]


def lines_of(axes):
    return {artist.get_label(): artist for artist in axes.lines}


def test_a_panel_per_metric_with_the_loss_first():
    shuffled = [{key: row[key] for key in sorted(row)} for row in HISTORY]
    figure = plots.learning_curves(shuffled, title="digits")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"training step"}
    assert figure.get_suptitle() == "digits"


def test_the_numbers_arrive():
    loss, accuracy, rate = plots.learning_curves(HISTORY).axes
    np.testing.assert_array_equal(
        lines_of(loss)["train"].get_xydata(), [[10, 2.0], [20, 1.0], [30, 0.5]]
    )
    np.testing.assert_array_equal(lines_of(loss)["test"].get_xydata(), [[20, 1.1], [30, 0.9]])
    np.testing.assert_array_equal(lines_of(accuracy)["test"].get_ydata(), [0.5, 0.7])
    assert list(lines_of(rate)) == ["train"]


def test_splits_are_told_apart_in_every_panel_and_named_once():
    history = [*HISTORY, line(30, "validation", loss=0.8, accuracy=0.75)]
    figure = plots.learning_curves(history)
    looks = [
        {name: (artist.get_color(), artist.get_marker()) for name, artist in lines_of(axes).items()}
        for axes in figure.axes[:2]
    ]
    assert looks[0] == looks[1]
    assert len(set(looks[0].values())) == 3
    assert looks[0]["train"][1] == "None"
    assert lines_of(figure.axes[0])["train"].get_linewidth() < 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["train", "test", "validation"]


def test_more_splits_than_colors_still_differ():
    history = [line(1, f"split {index}", loss=index) for index in range(20)]
    (axes,) = plots.learning_curves(history).axes
    assert len({(artist.get_color(), artist.get_marker()) for artist in axes.lines}) == 20


@pytest.mark.parametrize("hole", [math.nan, math.inf, None])
def test_a_missing_number_is_a_gap(hole, render):
    history = [line(step, loss=value) for step, value in enumerate([1.0, hole, 3.0, 4.0])]
    figure = plots.learning_curves(history)
    (curve,) = figure.axes[0].lines
    np.testing.assert_array_equal(curve.get_ydata(), [1, math.nan, 3, 4])
    assert curve.get_markevery().tolist() == [True, False, False, False]  # seen by its marker only
    assert curve.get_marker() == "."
    assert render(figure).std() > 0


def test_a_metric_that_is_never_a_number(render):
    history = [line(step, loss=0.1, sensitivity=math.nan) for step in (1, 2)]
    figure = plots.learning_curves(history)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "sensitivity"]
    render(figure)


@pytest.mark.parametrize(
    ("name", "values", "scale"),
    [
        ("loss", [2.0, 0.1], "log"),
        ("reconstruction_loss", [2.0, 0.1], "log"),
        ("loss", [2.0, 0.1, math.nan], "log"),
        ("loss", [2.0, 0.3], "linear"),
        ("loss", [2.0, 0.0], "linear"),
        ("loss", [2.0, -0.1], "linear"),
        ("loss", [math.nan], "linear"),
        ("accuracy", [0.9, 0.01], "linear"),
    ],
)
def test_only_a_loss_over_more_than_a_decade_is_logarithmic(name, values, scale):
    history = [line(step, **{name: value}) for step, value in enumerate(values)]
    assert plots.learning_curves(history).axes[0].get_yscale() == scale


@pytest.mark.parametrize("span", [20.0, 1e3, 1e9])
def test_a_logarithmic_axis_has_a_few_plain_numbers(span, render):
    figure = plots.learning_curves([line(1, loss=span), line(2, loss=1.0)])
    render(figure)
    axis = figure.axes[0].yaxis
    low, high = figure.axes[0].get_ylim()
    shown = [
        label.get_text()
        for label, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if low <= place <= high
    ]
    assert 3 <= len(shown) <= 10
    assert [float(text) for text in shown] == sorted(float(text) for text in shown)


def test_steps_are_sorted_and_the_last_of_equals_counts():
    history = [line(20, loss=2.0), line(10, loss=9.0), line(10, loss=1.0)]
    (curve,) = plots.learning_curves(history).axes[0].lines
    np.testing.assert_array_equal(curve.get_xydata(), [[10, 1], [20, 2]])


def test_large_steps_are_written_short(render):
    figure = plots.learning_curves([line(step, loss=1.0) for step in (0, 400_000)])
    render(figure)
    assert "400k" in [text.get_text() for text in figure.axes[0].get_xticklabels()]


def test_many_metrics_fill_rows():
    figure = plots.learning_curves([line(1, **{f"metric_{index}": 0.5 for index in range(7)})])
    assert len(figure.axes) == 7
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (3, 3)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([], "history is empty"),
        ([line(1, loss=0.5), {"step": 2, "loss": 0.1}], r"history\[1\] needs 'step' and 'split'"),
        ([line(1, steps_per_second=3.0)], "no metric besides step, split, steps_per_second"),
    ],
)
def test_what_cannot_be_drawn(history, message):
    with pytest.raises(ValueError, match=message):
        plots.learning_curves(history)


SEEDS = [
    [
        line(10, loss=loss),
        line(10, "test", accuracy=accuracy),
        line(20, "test", accuracy=accuracy + 0.1),
    ]
    for loss, accuracy in [(1.0, 0.5), (1.1, 0.6), (1.2, 0.8)]
]


def test_every_seed_and_their_mean():
    figure = plots.learning_curves_by_seed(SEEDS)
    loss, accuracy = figure.axes
    assert [artist.get_label() for artist in loss.lines] == ["train, each seed"] * 3
    each = [
        artist.get_ydata() for artist in accuracy.lines if artist.get_label() == "test, each seed"
    ]
    np.testing.assert_allclose(each, [[0.5, 0.6], [0.6, 0.7], [0.8, 0.9]])
    mean = lines_of(accuracy)["test, mean of 3 seeds"]
    np.testing.assert_allclose(mean.get_xydata(), [[10, 1.9 / 3], [20, 2.2 / 3]])
    thin = lines_of(accuracy)["test, each seed"]
    assert mean.get_linewidth() > thin.get_linewidth()
    assert mean.get_color() == thin.get_color()


def corners(band):
    """The lowest and highest point of a band at each step."""
    points = band.get_paths()[0].vertices
    return {
        float(step): (points[points[:, 0] == step, 1].min(), points[points[:, 0] == step, 1].max())
        for step in np.unique(points[:, 0])
    }


def test_the_band_is_the_t_interval():
    _, accuracy = plots.learning_curves_by_seed(SEEDS).axes
    (band,) = accuracy.collections
    expected = {
        10.0: tuple(metrics.t_interval([0.5, 0.6, 0.8])),
        20.0: tuple(metrics.t_interval([0.6, 0.7, 0.9])),
    }
    assert corners(band) == {step: pytest.approx(ends) for step, ends in expected.items()}


def test_the_mean_is_over_steps_that_all_seeds_have():
    short = [line(20, "test", accuracy=0.6), line(30, "test", accuracy=0.9)]
    (accuracy,) = plots.learning_curves_by_seed([SEEDS[0][1:], short]).axes
    mean = lines_of(accuracy)["test, mean of 2 seeds"]
    np.testing.assert_allclose(mean.get_xydata(), [[20, 0.6]])


def test_seeds_without_a_common_step_have_no_mean(render):
    figure = plots.learning_curves_by_seed(
        [[line(10, "test", loss=0.5)], [line(20, "test", loss=0.6)]]
    )
    assert len(lines_of(figure.axes[0])["test, mean of 2 seeds"].get_xdata()) == 0
    render(figure)


@pytest.mark.parametrize("num_metrics", [1, 2, 3])
def test_the_legend_fits_below_the_panels(num_metrics):
    history = [
        line(step, split, **{f"metric_{index}": 0.5 for index in range(num_metrics)})
        for step in (1, 2)
        for split in ("train", "validation", "test of another year")
    ]
    figure = plots.learning_curves_by_seed([history, history])
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent(renderer)
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width
    assert legend.y0 >= 0
    for axes in figure.axes:
        assert axes.get_tightbbox(renderer).y0 >= legend.y1


def test_no_mean_of_a_metric_that_a_seed_lacks():
    histories = [[line(1, "test", loss=0.5)], [line(1, "test", loss=0.6, accuracy=0.9)]]
    loss, accuracy = plots.learning_curves_by_seed(histories).axes
    assert "test, mean of 2 seeds" in lines_of(loss)
    assert list(lines_of(accuracy)) == ["test, each seed"]


def test_a_seed_with_nan_leaves_a_gap_in_mean_and_band(render):
    histories = [
        [line(step, "test", loss=loss + step) for step, loss in enumerate(losses)]
        for losses in ([1.0, math.nan, 1.0], [1.5, 1.5, 1.5])
    ]
    figure = plots.learning_curves_by_seed(histories)
    mean = lines_of(figure.axes[0])["test, mean of 2 seeds"]
    np.testing.assert_array_equal(mean.get_ydata(), [1.25, math.nan, 3.25])
    assert len(figure.axes[0].collections[0].get_paths()) == 2
    render(figure)


def test_one_seed_has_no_band():
    (axes,) = plots.learning_curves_by_seed([SEEDS[0][1:]]).axes
    assert not axes.collections
    assert [*lines_of(axes)] == ["test"]


def test_four_panels_are_two_by_two_and_a_constant_has_one_tick():
    line = {"step": 1, "split": "train", "loss": 1.0, "a": 1.0, "b": 2.0, "rate": 0.002}
    panels = plots.learning_curves([line, {**line, "step": 2, "loss": 0.5, "a": 3.0}]).axes
    grid = panels[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == (2, 2)
    assert [text.get_text() for text in panels[3].get_yticklabels()] == ["0.002"]


def test_without_evaluation_the_training_split_is_summed_up():
    (axes,) = plots.learning_curves_by_seed([history[:1] for history in SEEDS]).axes
    np.testing.assert_allclose(lines_of(axes)["train, mean of 3 seeds"].get_ydata(), [1.1])


def test_a_band_below_zero_is_cut_at_the_foot_of_a_logarithmic_axis():
    histories = [[line(1, "test", loss=2.0), line(2, "test", loss=loss)] for loss in (0.1, 0.3)]
    (axes,) = plots.learning_curves_by_seed(histories).axes
    assert metrics.t_interval([0.1, 0.3]).low < 0
    assert axes.get_yscale() == "log"
    bottom = axes.get_ylim()[0]
    assert 0.05 < bottom < 0.1
    assert corners(axes.collections[0])[2.0][0] == pytest.approx(bottom)


@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_the_band_of_two_seeds_does_not_set_the_axis(name):
    histories = [
        [line(step, "test", **{name: value + shift}) for step, value in enumerate((0.8, 0.1, 0.05))]
        for shift in (0.0, 0.02)
    ]
    (axes,) = plots.learning_curves_by_seed(histories).axes
    low, high = corners(axes.collections[0])[0.0]
    assert high > 0.93
    bottom, top = axes.get_ylim()
    assert bottom <= 0.05
    assert 0.82 < top < (1.21 if name == "accuracy" else 3.4)
    assert low < 0.75
    apart = [
        [line(1, "test", accuracy=value), line(2, "test", accuracy=value)] for value in (0.5, 0.6)
    ]
    (axes,) = plots.learning_curves_by_seed(apart).axes
    assert corners(axes.collections[0])[1.0][1] > 1.1
    assert axes.get_ylim()[1] == pytest.approx(0.65)


@pytest.mark.parametrize(
    ("histories", "message"),
    [([], "histories is empty"), ([SEEDS[0], []], r"histories\[1\] is empty")],
)
def test_seeds_that_cannot_be_drawn(histories, message):
    with pytest.raises(ValueError, match=message):
        plots.learning_curves_by_seed(histories)
