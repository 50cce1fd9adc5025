import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxvision import metrics, plots

MATRIX = np.array([[8, 2, 0], [0, 5, 0], [1, 3, 16]])


def texts(axes):
    return {(int(text.get_position()[1]), int(text.get_position()[0])): text for text in axes.texts}


def random_matrix(num_classes, examples=2000):
    labels, noise = np.random.default_rng(0).integers(0, num_classes, (2, examples))
    predictions = np.where(np.arange(examples) % 4 == 0, noise, labels)
    return metrics.confusion_matrix(labels, predictions, num_classes)


def test_shares_of_rows_arrive_on_one_scale():
    figure = plots.confusion_matrix(MATRIX, ["cat", "dog", "owl"], title="Pets")
    matrix, bar = figure.axes
    _, cells = matrix.images
    np.testing.assert_allclose(cells.get_array().compressed(), [80, 20, 100, 5, 15, 80])
    assert cells.get_array().mask.tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0]]
    assert cells.get_clim() == (0, 100)
    assert matrix.get_title() == "accuracy 82.9% (29 of 35)"
    assert figure.get_suptitle() == "Pets"
    assert (matrix.get_xlabel(), matrix.get_ylabel()) == ("predicted class", "true class")
    assert [text.get_text() for text in matrix.get_yticklabels()] == ["cat", "dog", "owl"]
    assert bar.get_ylabel() == "% of the examples of the true class (row)"


def test_rows_are_the_truth_and_the_first_is_on_top():
    axes = plots.confusion_matrix([[0, 9], [0, 0]]).axes[0]
    assert list(texts(axes)) == [(0, 0), (0, 1)]
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_cells_show_counts_and_shares():
    shown = texts(plots.confusion_matrix(MATRIX).axes[0])
    assert {cell: text.get_text() for cell, text in shown.items()} == {
        (0, 0): "8\n80%",
        (0, 1): "2\n20%",
        (1, 1): "5\n100%",
        (2, 0): "1\n5%",
        (2, 1): "3\n15%",
        (2, 2): "16\n80%",
    }


def test_without_normalization_colors_and_cells_are_counts():
    figure = plots.confusion_matrix(MATRIX, normalize=None)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[1].get_array().compressed(), [8, 2, 5, 1, 3, 16])
    assert axes.images[1].get_clim() == (0, 16)
    assert texts(axes)[2, 1].get_text() == "3"
    assert figure.axes[1].get_ylabel() == "examples in a cell"


@pytest.mark.parametrize(
    ("num_classes", "with_shares"), [(2, True), (12, True), (13, False), (20, False)]
)
def test_numbers_up_to_twenty_classes(num_classes, with_shares):
    axes = plots.confusion_matrix(random_matrix(num_classes)).axes[0]
    assert len(axes.texts) >= num_classes
    assert ("\n" in axes.texts[0].get_text()) == with_shares
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == num_classes


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [12, 20])
def test_many_numbers_are_drawable(num_classes, render):
    render(plots.confusion_matrix(random_matrix(num_classes)))


@pytest.mark.parametrize(
    ("num_classes", "ticks"), [(21, 21), (50, 50), (51, 26), (100, 50), (101, 21), (1000, 50)]
)
def test_many_classes_have_fewer_names_and_no_numbers(num_classes, ticks):
    names = [f"class {index}" for index in range(num_classes)]
    axes = plots.confusion_matrix(random_matrix(num_classes), names).axes[0]
    assert not axes.texts
    labels = axes.get_xticklabels()
    assert len(labels) == len(axes.get_yticklabels()) == ticks
    for place, label in zip(axes.get_xticks(), labels, strict=True):
        assert label.get_text() == names[int(place)]


def test_a_hundred_classes_are_all_drawn(render):
    matrix = random_matrix(100)
    figure = plots.confusion_matrix(matrix, [f"an unusually long name, {i}" for i in range(100)])
    _, drawn = figure.axes[0].images
    shares = 100 * matrix / matrix.sum(axis=1, keepdims=True)
    assert (~drawn.get_array().mask == (matrix > 0)).all()
    np.testing.assert_allclose(drawn.get_array().compressed(), shares[matrix > 0])
    picture = render(figure)
    cells = np.argwhere(np.ones_like(matrix))
    points = figure.axes[0].transData.transform(cells[:, ::-1]) / figure.bbox.size
    height, width = picture.shape[:2]
    x, y = (points * [width, height]).astype(int).T
    red, _, blue = picture[height - 1 - y, x].reshape(100, 100, 3).transpose(2, 0, 1)
    off = (matrix > 0) & ~np.eye(100, dtype=bool)
    assert (np.diag(red) < red[off].min()).all()
    assert ((blue - red)[matrix > 0] > 20).all()
    assert (red == blue)[matrix == 0].all()


def test_a_class_without_examples_is_a_gray_row(render):
    matrix = MATRIX.copy()
    matrix[1] = 0
    figure = plots.confusion_matrix(matrix)
    absent, cells = figure.axes[0].images
    assert (~absent.get_array().mask).tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert cells.get_array().mask[1].all()
    assert not [cell for cell in texts(figure.axes[0]) if cell[0] == 1]
    render(figure)


def test_a_rare_error_is_seen_and_none_is_drawable(render):
    _, cells = plots.confusion_matrix([[999, 1], [0, 1000]]).axes[0].images
    rare, right = (cells.to_rgba(value)[:3] for value in (0.1, 99.9))
    assert np.max(1 - np.array(rare)) > 0.1  # not white
    assert np.sum(rare) > np.sum(right) + 1
    figure = plots.confusion_matrix([[5, 0], [0, 5]])
    assert figure.axes[0].images[1].get_array().mask.tolist() == [[False, True], [True, False]]
    render(figure)


def test_nothing_right_is_drawable(render):
    figure = plots.confusion_matrix([[0, 5], [5, 0]])
    assert figure.axes[0].get_title() == "accuracy 0% (0 of 10)"
    assert texts(figure.axes[0])[0, 0].get_text() == "0\n0%"
    render(figure)


@pytest.mark.parametrize("normalize", ["true", None])
def test_sums_of_weights_and_large_counts(normalize):
    axes = plots.confusion_matrix([[1 / 3, 0], [0, 1234567]], normalize=normalize).axes[0]
    assert texts(axes)[0, 0].get_text().startswith("0.3333")
    assert texts(axes)[1, 1].get_text().startswith("1234567")
    assert texts(axes)[1, 1].get_fontsize() <= texts(axes)[0, 0].get_fontsize()


def test_numbers_can_be_read_on_their_cells():
    axes = plots.confusion_matrix(random_matrix(20, 400)).axes[0]
    _, image = axes.images

    def luminance(color):
        srgb = np.asarray(color[:3])
        return np.where(srgb < 0.04, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]

    for (row, column), text in texts(axes).items():
        value = image.get_array()[row, column]
        shown = (1, 1, 1) if np.ma.is_masked(value) else image.to_rgba(value)
        background = luminance(shown)
        ink = luminance(to_rgb(text.get_color()))
        low, high = sorted((background, ink))
        assert (high + 0.05) / (low + 0.05) > 4.5  # what WCAG asks of text


def test_names_are_shortened_and_taken_literally(render):
    names = ["black-footed albatross of the north", "$x", "a $b$ c", "_hidden"]
    figure = plots.confusion_matrix(np.eye(4), names)
    shown = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert shown == ["black-foo…he north", "$x", "a $b$ c", "_hidden"]
    assert not figure.axes[0].get_xticklabels()[2].get_parse_math()
    render(figure)


def test_one_class_and_a_jax_array(render):
    figure = plots.confusion_matrix(jnp.array([[3]]))
    assert texts(figure.axes[0])[0, 0].get_text() == "3\n100%"
    render(figure)


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        (np.ones((2, 3)), {}, r"shape \(classes, classes\), got \(2, 3\)"),
        (np.ones(4), {}, r"got \(4,\)"),
        (np.ones((0, 0)), {}, r"got \(0, 0\)"),
        ([[1, -1], [0, 1]], {}, "0 or more, got -1"),
        ([[1, np.nan], [0, 1]], {}, "got nan"),
        (np.zeros((2, 2)), {}, "all 0"),
        (np.eye(2), {"class_names": ["one"]}, "2 classes need as many names, got 1"),
        (np.eye(2), {"normalize": "pred"}, "unknown normalize 'pred'"),
    ],
)
def test_what_cannot_be_drawn(matrix, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        plots.confusion_matrix(matrix, **options)
