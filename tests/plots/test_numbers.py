import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxvision import plots
from jaxvision.plots import _style

NAMES = ["position", "speed", "angle"]


def words(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_bars_have_the_relevance_and_its_color():
    figure = plots.number_attributions(
        np.array([1.0, 2.0, 3.0]), [np.array([-4.0, 0.0, 4.0])], ["map"], ["note"], names=NAMES
    )
    observed, relevance = figure.axes[:2]
    assert words(observed) == ["position  1", "speed  2", "angle  3"]
    assert [bar.get_width() for bar in relevance.patches] == [-4, 0, 4]
    colors = [bar.get_facecolor()[:3] for bar in relevance.patches]
    np.testing.assert_allclose(colors[0], to_rgb(_style.BLUE), atol=0.01)
    np.testing.assert_allclose(colors[2], to_rgb(_style.VERMILLION), atol=0.01)
    assert relevance.get_xlabel() == "note"


def test_of_many_numbers_the_most_relevant_are_shown_in_their_order():
    maps = [np.array([1.0, 0.0, -5.0]), np.array([1.0, 0.0, 0.0])]
    image = np.zeros((2, 4, 3), np.uint8)
    figure = plots.number_attributions(
        np.zeros(3), maps, ["a", "b"], names=NAMES, image=image, scores={"left": 0.5}, most=2
    )
    scene, observed, scores, *found = figure.axes[:5]
    assert (scene.get_title(), words(scores)) == ("scene", ["left  0.5"])
    assert observed.get_xlabel() == "the most relevant 2 of 3"
    assert [words(each) for each in found] == [
        ["position  1", "angle  -5"],
        ["position  1", "angle  0"],
    ]


@pytest.mark.parametrize(
    ("values", "maps", "message"),
    [
        (np.zeros(2), [np.zeros(3)], r"values must have a number for each of the 3 names, got"),
        (np.zeros(3), [np.zeros(2)], r"map 0 \(map\) must have a number for each of the 3 names"),
        (np.zeros(3), [np.full(3, np.nan)], r"map 0 \(map\) is not finite"),
        (np.zeros(3), [], "maps is empty"),
    ],
)
def test_wrong_arguments(values, maps, message):
    with pytest.raises(ValueError, match=message):
        plots.number_attributions(values, maps, ["map"] * len(maps), names=NAMES)
