"""Functions of the plane."""

import numpy as np
import pytest

from jaxvision import plots


def test_rows_go_up_and_points_lie_where_they_are() -> None:
    values = np.stack([np.arange(6.0).reshape(2, 3) / 5, np.full((2, 3), np.nan)])
    points = [[[0.5, 1.0], [1.5, 0.5]], None]
    figure = plots.fields(
        values, ["ramp", "nowhere"], points, extent=(0, 3, 0, 2), legend="share", title="plane"
    )
    first, second, bar = figure.axes
    (image,) = first.get_images()
    assert image.origin == "lower"
    assert image.get_extent() == [0, 3, 0, 2]
    np.testing.assert_array_equal(image.get_array(), values[0])
    np.testing.assert_array_equal(first.collections[0].get_offsets(), points[0])
    assert second.get_images()[0].get_array().mask.all()
    assert len(second.collections[0].get_offsets()) == 0
    assert (first.get_title(), bar.get_ylabel()) == ("ramp", "share")
    low, middle, high = (image.cmap(image.norm(value)) for value in (0.0, 0.5, 1.0))
    assert low[0] > low[2]
    np.testing.assert_allclose(middle[:3], 1)
    assert high[2] > high[0]


def test_panels_fill_rows() -> None:
    figure = plots.fields(np.zeros((3, 2, 2)), ["a", "b", "c"], columns=2)
    assert [axes.get_visible() for axes in figure.axes[:4]] == [True, True, True, False]


def test_a_boundary_and_points_of_two_classes() -> None:
    ramp = np.tile(np.linspace(0, 1, 11), (11, 1))
    values = np.stack([ramp, np.full((11, 11), 0.2)])
    points = [[[0.1, 0.2], [0.9, 0.8], [0.8, 0.1]], None]
    figure = plots.fields(values, ["a", "b"], points, labels=[[0, 1, 1], []], level=0.25)
    first, second, _ = figure.axes
    line, hollow, filled = first.collections
    (path,) = line.get_paths()
    # Pixels are wider than the steps between their values: 11 of them fill a width of 1.
    np.testing.assert_allclose(path.vertices[:, 0], (0.25 * 10 + 0.5) / 11)
    np.testing.assert_array_equal(hollow.get_offsets(), points[0][:1])
    np.testing.assert_array_equal(filled.get_offsets(), points[0][1:])
    assert hollow.get_facecolor().tolist() != filled.get_facecolor().tolist()
    assert len(second.collections) == 2  # no line where nothing has the value


@pytest.mark.parametrize(
    ("values", "titles", "points", "message"),
    [
        (np.zeros((0, 2, 2)), [], [], "0 panels"),
        (np.zeros((2, 2, 2)), ["a"], [], r"2 panels .* need as many titles, got 1"),
        (np.zeros((1, 2, 2)), ["a"], [None, None], "got 2"),
        (np.zeros((1, 2, 2)), ["a"], [np.zeros((3, 1))], r"points must be .* got \(3, 1\)"),
    ],
)
def test_what_cannot_be_drawn(values, titles, points, message) -> None:
    with pytest.raises(ValueError, match=message):
        plots.fields(values, titles, points)


@pytest.mark.parametrize("labels", [[[0]], [[0, 2]], [[0, 1], [0, 1]]])
def test_labels_that_do_not_fit(labels) -> None:
    with pytest.raises(ValueError, match=r"shapes \[\(2,\)\] need as many labels, each 0 or 1"):
        plots.fields(np.zeros((1, 2, 2)), ["a"], [np.zeros((2, 2))], labels=labels)
