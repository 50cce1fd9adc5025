"""Histograms and bars of classes."""

import numpy as np
import pytest

from jaxvision import plots


def test_histograms_share_bins_and_compare_sets_of_different_sizes() -> None:
    values = {"few": [0.1, 0.9], "many": np.linspace(0, 1, 1001)}
    figure = plots.histograms(values, axis="distance", bins=10, mark=0.3, mark_name="limit")
    (axes,) = figure.axes
    few, many = (patch.get_data() for patch in axes.patches)
    np.testing.assert_array_equal(few.edges, many.edges)
    np.testing.assert_allclose(few.edges, np.linspace(0, 1, 11))
    np.testing.assert_allclose(few.values, [0, 0.5, 0, 0, 0, 0, 0, 0, 0, 0.5])
    np.testing.assert_allclose(many.values, 0.1, atol=0.002)
    (line,) = axes.lines
    assert list(line.get_xdata()) == [0.3, 0.3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["few", "many", "limit"]
    assert axes.get_xlabel() == "distance"


def test_classes_have_bars_and_expected_shares_lines() -> None:
    shares = {"first": [0.5, 0.3, 0.2], "second": [1.0, 0.0, 0.0], "third": [0.0, 0.0, 1.0]}
    figure = plots.class_shares(shares, ["0", "1", "2"], expected=[0.3, 0.3, 0.4], columns=2)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["first", "second", "third"]
    for axes, heights in zip(shown, shares.values(), strict=True):
        assert [bar.get_height() for bar in axes.patches] == heights
        (lines,) = axes.collections
        assert [segment[0, 1] for segment in lines.get_segments()] == [0.3, 0.3, 0.4]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]


def test_wrong_sets_are_named() -> None:
    with pytest.raises(ValueError, match="one set of numbers or more, got none"):
        plots.histograms({})
    with pytest.raises(ValueError, match="'b' must have numbers, all finite"):
        plots.histograms({"a": [1.0], "b": [np.nan]})
    with pytest.raises(ValueError, match="one set or more, got none"):
        plots.class_shares({}, ["0"])
    with pytest.raises(ValueError, match="'a' must have a share for each of the 2 classes"):
        plots.class_shares({"a": [1.0]}, ["0", "1"])
    with pytest.raises(ValueError, match="'expected' must have a share for each"):
        plots.class_shares({"a": [1.0, 0.0]}, ["0", "1"], expected=[1.0])
