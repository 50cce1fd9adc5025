import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxvision import plots
from jaxvision.plots import _style
from jaxvision.plots.relevance import scaled

IMAGE = np.linspace(0, 1, 6 * 4 * 3, dtype=np.float32).reshape(6, 4, 3)


def pixels(figure, number: int) -> np.ndarray:
    return np.asarray(figure.axes[number].images[0].get_array())


def test_zero_shows_the_pale_image_and_the_ends_show_the_colors_of_the_scale():
    values = np.zeros((6, 4))
    values[0, 0], values[5, 3] = -2, 2
    figure = plots.attributions(IMAGE, [values], ["map"])
    shown = pixels(figure, 1)
    np.testing.assert_allclose(shown[0, 0], to_rgb(_style.BLUE), atol=0.01)
    np.testing.assert_allclose(shown[5, 3], to_rgb(_style.VERMILLION), atol=0.01)
    gray = 0.75 + 0.25 * IMAGE.mean(axis=2)
    np.testing.assert_allclose(shown[1:5], np.repeat(gray[1:5, :, None], 3, 2), atol=1e-6)
    np.testing.assert_array_equal(pixels(figure, 0), IMAGE)


def test_maps_of_any_size_have_the_same_colors_and_channels_are_added_up():
    values = np.random.default_rng(0).standard_normal((6, 4, 3))
    figure = plots.attributions(IMAGE, [values, 1e6 * values.sum(2)], ["one", "two"], ["a", "b"])
    np.testing.assert_allclose(pixels(figure, 1), pixels(figure, 2))
    assert [axes.get_xlabel() for axes in figure.axes[1:3]] == ["a", "b"]


def test_few_pixels_do_not_pale_the_others():
    values = np.ones((100, 100))
    values[0, 0] = 1e9
    np.testing.assert_array_equal(scaled(values), np.ones((100, 100)))
    values = np.zeros((100, 100))
    values[0, 0] = -3.0  # the percentile is 0
    assert scaled(values).min() == -1
    assert not scaled(np.zeros((2, 2))).any()


def test_scores_are_bars_with_their_names():
    figure = plots.attributions(
        np.zeros((4, 4, 1), np.uint8), [np.eye(4)], ["map"], scores={"cat": 0.9, "dog": -0.1}
    )
    bars = figure.axes[1]
    assert [bar.get_width() for bar in bars.patches] == [0.9, -0.1]
    assert [text.get_text() for text in bars.texts] == ["cat  0.9", "dog  -0.1"]


def test_a_region_is_outlined():
    region = np.zeros((4, 4), bool)
    region[1:3, 1] = True
    image = np.zeros((4, 4, 1), np.uint8)
    figure = plots.attributions(image, [np.eye(4)], ["map"], region=region, image_title="seen")
    assert figure.axes[0].get_title() == "seen"
    dark, bright = figure.axes[0].collections
    assert len(dark.get_segments()) == len(bright.get_segments()) == 6
    corners = np.concatenate(bright.get_segments())
    np.testing.assert_array_equal(corners.min(0), [0.5, 0.5])
    np.testing.assert_array_equal(corners.max(0), [1.5, 2.5])
    with pytest.raises(
        ValueError, match=r"region must have the image's height and width, \(4, 4\)"
    ):
        plots.attributions(image, [np.eye(4)], ["map"], region=region[:2])


@pytest.mark.parametrize(
    ("maps", "titles", "message"),
    [
        ([], [], "maps is empty"),
        ([np.eye(4)], [], "1 maps need as many titles, and no notes or as many; got 0 and 0"),
        (
            [np.eye(3)],
            ["a"],
            r"map 0 must have the image's height and width, \(4, 4\), got \(3, 3\)",
        ),
        ([np.full((4, 4), np.nan)], ["a"], r"map 0 \(a\) is not finite"),
    ],
)
def test_wrong_arguments(maps, titles, message):
    with pytest.raises(ValueError, match=message):
        plots.attributions(np.zeros((4, 4, 1), np.uint8), maps, titles)
