import numpy as np
import pytest

from jaxvision import plots

COLORS = np.array([(0, 0, 0), (0, 114, 178), (213, 94, 0)], np.uint8)
TRUTH = np.array([[0, 1, 2], [255, 0, 1]], np.uint8)
GUESS = np.array([[0, 1, 1], [2, 0, 1]], np.uint8)


def panels(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_a_row_shows_image_truth_prediction_and_errors():
    image = np.full((2, 3, 3), 100, np.uint8)
    figure = plots.segmentations([image], [TRUTH], [GUESS], COLORS, ["sky", "road", "car"])
    assert [axes.get_title() for axes in figure.axes] == [
        "image 0",
        "truth",
        "prediction",
        "errors: 20%",
    ]
    original, truth, guess, errors = panels(figure)
    np.testing.assert_array_equal(original, image)
    gray = int(255 * (0.25 + 0.75 * 100 / 255))
    for panel, mask in ((truth, TRUTH), (guess, GUESS)):
        expected = np.round(0.4 * gray + 0.6 * COLORS[np.minimum(mask, 2)].astype(float))
        expected[mask == 255] = 255
        np.testing.assert_allclose(panel, expected, atol=1)
    assert errors[0, 2].tolist() == [226, 0, 122]
    assert errors[1, 0].tolist() == [255, 255, 255]
    assert errors[0, 0].tolist() == [gray] * 3
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "sky",
        "road",
        "car",
        "wrong",
        "no label",
    ]


@pytest.mark.parametrize("count", [1, 3, 12])
def test_nothing_lies_over_the_legend(count, render):
    names = [f"class number {index}" for index in range(12)]
    colors = np.arange(36, dtype=np.uint8).reshape(12, 3)
    masks = np.zeros((count, 4, 6), np.uint8)
    figure = plots.segmentations(
        np.zeros((count, 4, 6, 1), np.float32), masks, masks, colors, names, title="title"
    )
    render(figure)
    (legend,) = figure.legends
    box = legend.get_window_extent().transformed(figure.transFigure.inverted())
    lowest = min(axes.get_position().y0 for axes in figure.axes)
    assert 0 <= box.y0 < box.y1 <= lowest
    assert 0 <= box.x0 < box.x1 <= 1


def test_what_is_wrong_is_said():
    image = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ValueError, match="1 images need as many truths, got 0"):
        plots.segmentations([image], [], [GUESS], COLORS)
    with pytest.raises(ValueError, match="3 colors need as many class names, got 1"):
        plots.segmentations([image], [TRUTH], [GUESS], COLORS, ["sky"])
    with pytest.raises(ValueError, match=r"masks of image 0 must be .* of the shape \(2, 3\)"):
        plots.segmentations([image], [TRUTH.T], [GUESS], COLORS)
    with pytest.raises(ValueError, match="has the class 2, but there are colors only for 0 to 1"):
        plots.segmentations([image], [TRUTH], [GUESS], COLORS[:2])
    with pytest.raises(ValueError, match="images is empty"):
        plots.segmentations([], [], [], COLORS)


def test_an_image_stands_beside_its_mask() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    figure = plots.labeled_masks([image], [TRUTH], COLORS, ["sky", "road", "car"], title="scans")
    original, mask = panels(figure)
    np.testing.assert_array_equal(original, image)
    assert mask[1, 0].tolist() == [255, 255, 255]
    expected = 0.4 * int(255 * (0.25 + 0.75 * 100 / 255)) + 0.6 * COLORS[2].astype(float)
    np.testing.assert_allclose(mask[0, 2], expected, atol=1)
    assert figure.get_suptitle() == "scans"
    with pytest.raises(ValueError, match="3 class names are needed, got 1"):
        plots.labeled_masks([image], [TRUTH], COLORS, ["sky"])
    with pytest.raises(ValueError, match="1 masks are needed, got 2"):
        plots.labeled_masks([image], [TRUTH, TRUTH], COLORS)


def test_no_label_is_in_the_legend_only_where_a_pixel_has_none() -> None:
    images, masks = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8), np.uint8)
    colors = [(0, 0, 0), (230, 159, 0)]

    def named(masks: np.ndarray) -> list[set[str]]:
        figures = (
            plots.labeled_masks(images, masks, colors),
            plots.segmentations(images, masks, masks, colors),
        )
        return [{text.get_text() for text in each.legends[0].get_texts()} for each in figures]

    assert named(masks) == [{"0", "1"}, {"0", "1", "wrong"}]
    masks[0, 0, 0] = 255
    assert all("no label" in names for names in named(masks))
