"""Points in the plane."""

import numpy as np
import pytest

from jaxvision import plots


def test_names_stand_at_medians_and_points_without_a_class_are_gray() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(90, 2))
    labels = np.arange(90) % 9 - 1
    figure = plots.scatter(points, labels, ["cat"], axes=("x", "y"), title="codes")
    (axes,) = figure.axes
    texts = {text.get_text(): text.xy for text in axes.texts}
    assert list(texts) == ["cat", "1", "2", "3", "4", "5", "6", "7"]
    np.testing.assert_allclose(texts["3"], np.median(points[labels == 3], axis=0))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    looks = {
        (tuple(each.get_facecolor()[0]), each.get_paths()[0].vertices.tobytes())
        for each in axes.collections
    }
    assert len(looks) == 9
    assert len(plots.scatter(points).axes[0].texts) == 0


def test_embeddings_tell_ten_classes_apart_by_color_and_have_a_legend() -> None:
    """Where images are drawn, they hide the markers."""
    random = np.random.default_rng(0)
    points, labels = random.normal(size=(22, 2)), np.arange(22) % 11 - 1
    figure = plots.embeddings({"one": points, "other": points}, labels, ["cat"])
    colors = {tuple(each.get_facecolor()[0]) for each in figure.axes[0].collections}
    assert len(colors) == 11
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["no class", "cat", *map(str, range(1, 10))]
    assert plots.embeddings({"one": points}).legends == []


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (np.zeros((0, 2)), None, r"at least one, got \(0, 2\)"),
        (np.zeros((3, 3)), None, r"got \(3, 3\)"),
        ([[0.0, np.nan]], None, "finite"),
        (np.zeros((3, 2)), [0, 1], "as many labels"),
        (np.zeros((2, 2)), [0.5, 1], "whole numbers"),
    ],
)
def test_what_cannot_be_drawn(points, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        plots.scatter(points, labels)
