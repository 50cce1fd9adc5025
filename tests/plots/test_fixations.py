"""Densities of fixations, drawn beside their images."""

import numpy as np
import pytest

from jaxvision import plots

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
DENSITIES = np.random.default_rng(1).gamma(1, size=(2, 6, 8))
DOTS = np.array([[[1.0, 2.0], [np.nan, np.nan]], [[3.0, 4.0], [7.0, 5.0]]])


def test_images_dots_and_densities_lie_where_they_are() -> None:
    figure = plots.fixation_densities(
        IMAGES,
        {"truth": 3 * DENSITIES, "guess": np.ones((2, 6, 8))},
        DOTS,
        captions=["a", "b"],
        title="scenes",
    )
    *panels, bar = figure.axes
    assert [axes.get_title() for axes in panels] == ["a", "truth", "guess", "b", "", ""]
    for row, axes in enumerate((panels[0], panels[3])):
        np.testing.assert_array_equal(axes.get_images()[0].get_array(), IMAGES[row])
        (dots,) = axes.get_lines()
        np.testing.assert_array_equal(dots.get_xydata(), DOTS[row])
    relative = DENSITIES * 48 / DENSITIES.sum(axis=(1, 2), keepdims=True)
    for row, axes in enumerate((panels[1], panels[4])):
        shown = axes.get_images()[0].get_array()
        np.testing.assert_allclose(shown, np.maximum(relative[row], 0.1))
    np.testing.assert_allclose(panels[2].get_images()[0].get_array(), 1)
    scales = {panel.get_images()[0].get_clim() for panel in panels[1:3] + panels[4:]}
    assert scales == {(0.1, relative.max())}
    assert "multiple of the uniform density" in bar.get_ylabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fixation"]


def test_gray_images_without_dots_have_no_legend(render) -> None:
    figure = plots.fixation_densities(IMAGES[..., :1], {"uniform": np.ones((2, 6, 8))})
    assert [axes.get_title() for axes in figure.axes[:3]] == ["image 0", "uniform", "image 1"]
    assert not figure.legends
    assert np.ptp(render(figure)) > 200


@pytest.mark.parametrize(
    ("images", "densities", "options", "message"),
    [
        (IMAGES[:0], {"a": DENSITIES[:0]}, {}, "nothing to show"),
        (IMAGES, {}, {}, "nothing to show"),
        (IMAGES, {"a": DENSITIES[:, 1:]}, {}, r"'a' must be .* got \(2, 5, 8\) for images"),
        (IMAGES, {"a": -DENSITIES}, {}, "'a' must be finite and not negative"),
        (IMAGES, {"a": 0 * DENSITIES}, {}, "not 0 everywhere, got values from 0 to 0"),
        (IMAGES, {"a": DENSITIES}, {"captions": ["one"]}, "2 images need as many captions, got 1"),
        (IMAGES, {"a": DENSITIES}, {"fixations": DOTS[:1]}, "as many rows of fixations, got 1"),
    ],
)
def test_what_cannot_be_drawn(images, densities, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        plots.fixation_densities(images, densities, **options)
