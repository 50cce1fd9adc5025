import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from jaxvision import plots


def noise(*shape, dtype=np.float32):
    values = np.random.default_rng(0).random(shape)
    return (255 * values).astype(np.uint8) if dtype == np.uint8 else values.astype(dtype)


def shown(figure):
    return [axes.images[0].get_array() for axes in figure.axes]


def boxes(figure):
    return np.array([axes.get_position().bounds for axes in figure.axes])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_arrive_in_their_order(channels, dtype):
    images = noise(5, 8, 6, channels, dtype=dtype)
    for image, picture in zip(images, shown(plots.image_grid(images)), strict=True):
        np.testing.assert_allclose(picture, image[..., 0] if channels == 1 else image, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.float32, 1)])
def test_brightness_is_not_stretched(dtype, top):
    dark = np.full((1, 8, 8, 1), top // 4 or 0.25, dtype)
    image = plots.image_grid(dark).axes[0].images[0]
    assert image.get_clim() == (0, top)
    assert image.cmap.name == "gray"


@pytest.mark.parametrize(
    "images",
    [
        jnp.asarray(np.full((2, 8, 8, 3), 0.5, jnp.bfloat16)),
        np.ones((2, 8, 8, 1), bool),
        [np.zeros((8, 6, 3), np.uint8), np.ones((30, 40, 1), np.float32)],
        iter(np.zeros((2, 8, 8, 1))),
        np.array([1.0005, -0.0005]).reshape(2, 1, 1, 1),
    ],
    ids=["bfloat16", "bool", "sizes and types that differ", "iterator", "rounding"],
)
def test_what_else_is_an_image(images, render):
    figure = plots.image_grid(images)
    assert len(figure.axes) == 2
    for picture in shown(figure):
        assert picture.min() >= 0
    render(figure)


@pytest.mark.parametrize(
    ("count", "columns", "rows_and_columns"),
    [(1, None, (1, 1)), (7, None, (3, 3)), (101, None, (11, 10)), (5, 2, (3, 2)), (3, 8, (1, 3))],
)
def test_rows_and_columns(count, columns, rows_and_columns):
    places = boxes(plots.image_grid(np.zeros((count, 4, 4, 1)), columns=columns))
    rows, row = np.unique(-places[:, 1].round(6), return_inverse=True)
    lefts, column = np.unique(places[:, 0].round(6), return_inverse=True)
    assert (len(rows), len(lefts)) == rows_and_columns
    assert (row * len(lefts) + column).tolist() == list(range(count))


@pytest.mark.parametrize("shape", [(8, 8), (20, 10), (10, 40)])
def test_nothing_overlaps_and_titles_have_room(shape):
    images = np.zeros((7, *shape, 1))
    titles = [f"{'predicted as W' * index}\nsecond line" for index in range(7)]
    figure = plots.image_grid(images, titles, title="A title for all of them")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    boxes.append(figure.texts[0].get_window_extent(renderer))
    for index, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
        for other in boxes[index + 1 :]:
            assert not box.overlaps(other)


def test_a_white_image_has_an_edge(render):
    picture = render(plots.image_grid(np.ones((1, 8, 8, 1))))
    assert (picture < 255).any()
    assert (picture[picture.shape[0] // 2, picture.shape[1] // 2] == 255).all()


def test_small_images_keep_square_pixels_and_large_ones_do_not():
    small, large = plots.image_grid([np.zeros((8, 8, 1)), np.zeros((65, 8, 1))]).axes
    assert small.images[0].get_interpolation() == "nearest"
    assert large.images[0].get_interpolation() != "nearest"


def test_titles_are_shortened_and_taken_literally(render):
    figure = plots.image_grid(np.zeros((2, 8, 8, 1)), ["a" * 90, "$x^$"])
    long, math = (axes.get_title() for axes in figure.axes)
    assert len(long) < 40
    assert "…" in long
    assert math == "$x^$"
    render(figure)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "images is empty"),
        (np.zeros((2, 8, 8)), {}, r"image 0 must be of shape .* got \(8, 8\); images\[..., None\]"),
        (np.zeros((2, 8, 8, 2)), {}, r"1, 3 or 4 channels, got \(8, 8, 2\)"),
        (np.zeros((2, 0, 8, 1)), {}, r"got \(0, 8, 1\)"),
        (np.zeros((2, 8, 8, 1), np.int32), {}, "must be uint8, float or bool, got int32"),
        ([np.zeros((8, 8, 1)), np.full((8, 8, 1), 1.5)], {}, r"image 1 has values from 1.5 to 1.5"),
        (np.full((1, 8, 8, 1), -2.0), {}, r"from -2 to -2, and floats must be in \[0, 1\]"),
        (np.full((1, 8, 8, 1), np.nan), {}, "from nan to nan"),
        (np.zeros((2, 8, 8, 1)), {"titles": ["one"]}, "2 images need as many titles, got 1"),
        (np.zeros((2, 8, 8, 1)), {"columns": 0}, "columns must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_drawn(images, options, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(images, **options)


LABELS = np.array([0, 1, 2, 0, 1, 2])
PREDICTIONS = np.array([0, 2, 1, 1, 1, 0])
CONFIDENCES = np.array([0.99, 0.6, 0.9, 0.7, 0.8, 0.7])


def test_the_surest_mistakes_come_first():
    images = noise(6, 8, 8, 1)
    figure = plots.mistakes(images, LABELS, PREDICTIONS, CONFIDENCES, ["cat", "dog", "owl"])
    assert [axes.get_title() for axes in figure.axes] == [
        "true owl\npredicted dog (90.0%)",
        "true cat\npredicted dog (70.0%)",
        "true owl\npredicted cat (70.0%)",  # of equals the first
        "true dog\npredicted owl (60.0%)",
    ]
    np.testing.assert_array_equal(shown(figure), images[[2, 3, 5, 1], ..., 0])
    assert figure.get_suptitle() == "4 mistakes in 6 images"


def test_the_number_of_mistakes_follows_the_title():
    arguments = noise(6, 8, 8, 1), LABELS, PREDICTIONS, CONFIDENCES
    figure = plots.mistakes(*arguments, title="digits/test")
    assert figure.get_suptitle() == "digits/test: 4 mistakes in 6 images"
    figure = plots.mistakes(*arguments, count=2, title="digits/test")
    shown = "digits/test: the most confident 2 of 4 mistakes in 6 images"
    assert figure.get_suptitle() == shown


def test_no_more_than_asked_for():
    images = noise(6, 8, 8, 3)
    figure = plots.mistakes(images, LABELS, PREDICTIONS, CONFIDENCES, count=2)
    np.testing.assert_array_equal(shown(figure), images[[2, 3]])
    assert figure.get_suptitle() == "the most confident 2 of 4 mistakes in 6 images"


def test_images_that_are_not_shown_are_not_asked_for():
    images = np.full((6, 8, 8, 1), 7.0)
    images[2] = 0
    assert len(plots.mistakes(images, LABELS, PREDICTIONS, CONFIDENCES, count=1).axes) == 1


@pytest.mark.parametrize("title", [None, "Digits"])
def test_no_mistakes(title, render):
    figure = plots.mistakes(noise(3, 8, 8, 1), [0, 1, 2], [0, 1, 2], [0.5] * 3, title=title)
    assert not figure.axes
    assert [text.get_text() for text in figure.texts if text.get_text() != title] == [
        "no mistakes in 3 images"
    ]
    assert (render(figure) < 128).any()


def test_answers_may_be_yes_or_no():
    figure = plots.mistakes(
        noise(2, 8, 8, 1), np.array([True, False]), jnp.array([False, False]), [0.6, 0.5]
    )
    assert [axes.get_title() for axes in figure.axes] == ["true 1\npredicted 0 (60.0%)"]


def test_a_confidence_that_is_not_a_number_comes_last():
    confidences = CONFIDENCES.copy()
    confidences[2] = np.nan
    figure = plots.mistakes(noise(6, 8, 8, 1), LABELS, PREDICTIONS, confidences)
    assert figure.axes[-1].get_title() == "true 2\npredicted 1 (nan%)"


def test_long_names_leave_the_confidence_readable():
    names = ["the black-footed albatross", "the sooty albatross of the south", "owl"]
    figure = plots.mistakes(noise(6, 8, 8, 1), LABELS, PREDICTIONS, CONFIDENCES, names)
    assert figure.axes[1].get_title() == "true the bl…atross\npredicted the so…south (70.0%)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [0, 1]}, r"labels must have one value per image, 6, got \(2,\)"),
        ({"confidences": 0.5}, r"confidences must have one value per image, 6, got \(\)"),
        ({"labels": LABELS - 1}, "labels must be 0 or more, got -1"),
        ({"predictions": PREDICTIONS * 1.0}, "predictions must be class indices, got float64"),
        ({"class_names": ["cat", "dog"]}, "labels must be 0 to 1, got 2"),
        ({"confidences": 10 * CONFIDENCES}, r"confidences must be in \[0, 1\], got 9.9"),
        ({"count": 0}, "count must be at least 1, got 0"),
        (
            {
                "images": np.zeros((0, 8, 8, 1)),
                "labels": np.zeros(0, int),
                "predictions": np.zeros(0, int),
                "confidences": np.zeros(0),
            },
            "images is empty",
        ),
    ],
)
def test_mistakes_that_cannot_be_drawn(changes, message, unchecked):
    arguments = {
        "images": noise(6, 8, 8, 1),
        "labels": LABELS,
        "predictions": PREDICTIONS,
        "confidences": CONFIDENCES,
    }
    with pytest.raises(ValueError, match=message):
        plots.mistakes(**(arguments | changes))
