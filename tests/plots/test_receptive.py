"""Receptive fields, drawn."""

import numpy as np
import pytest

from jaxvision import plots

HILL = np.outer(np.hanning(9), np.hanning(11)).astype(np.float32)


def test_a_map_its_box_and_its_ellipse_lie_where_they_are() -> None:
    figure = plots.receptive_fields(
        [HILL, 5 * HILL],
        ["first", "second"],
        [((1, 8), (-2, 9)), None],
        [None, (np.array([4.0, 5.0]), np.array([1.0, 2.0]))],
        title="fields",
    )
    first, second, bar = figure.axes
    for axes, name in ((first, "first"), (second, "second")):
        (image,) = axes.get_images()
        assert axes.get_title() == name
        np.testing.assert_allclose(image.get_array().max(), 1)
        assert np.unravel_index(image.get_array().argmax(), HILL.shape) == (4, 5)
    (frame,) = first.patches
    assert frame.get_bbox().extents.tolist() == [-2.5, 0.5, 8.5, 7.5]
    (ellipse,) = second.patches
    assert ellipse.center == (5, 4)
    assert (ellipse.width, ellipse.height) == (8, 4)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["can depend on (theoretical field)", "two standard deviations"]
    assert "share of the largest" in bar.get_ylabel()
    assert first.get_ylim() == (8.5, -0.5)


def test_panels_fill_rows_and_a_map_of_zeros_is_white(render) -> None:
    figure = plots.receptive_fields([np.zeros((3, 3))] * 3, ["a", "b", "c"], columns=2)
    assert [axes.get_visible() for axes in figure.axes[:4]] == [True, True, True, False]
    assert [axes.get_xlabel() for axes in figure.axes[:3]] == ["", *["column (pixels)"] * 2]
    assert [axes.get_ylabel() for axes in figure.axes[:3]] == ["row (pixels)", "", "row (pixels)"]
    assert (render(figure)[60:100, 90:120] >= 254).all()


@pytest.mark.parametrize(
    ("maps", "titles", "message"),
    [
        ([], [], "nothing to show"),
        ([HILL], [], "1 maps need as many titles, got 0"),
        ([-HILL], ["a"], r"map 0 must be .* from -1 to -?0"),
        ([HILL * np.nan], ["a"], "not negative"),
        ([HILL[None]], ["a"], r"got \(1, 9, 11\)"),
    ],
)
def test_wrong_inputs_are_named(maps, titles, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        plots.receptive_fields(maps, titles)
