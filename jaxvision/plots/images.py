"""Grids of images."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.figure

# The underscores allow images of different sizes in one call.
_SIZES = "_height _width _channels"
Pixels = UInt8[np.ndarray, _SIZES] | Float32[np.ndarray, _SIZES]

# In inches.
_MARGIN = 0.08
_HEADER = 0.35
_TITLE_LINE = 0.2  # of each line of a title after the first
_MAX_WIDTH = 2.0
_LETTER = 0.58 * _style.SMALL_SIZE / 72
_LINE = 1.35 * _style.SMALL_SIZE / 72
_SWATCH = 0.4  # color patch of a legend entry, and the space between two entries

# Largest side, in pixels, of images that show square pixels.
_PIXELATED = 64
# Characters of a class name that fit into the caption of a mistake.
_NAME_LENGTH = 13
# Rounding error allowed outside of [0, 1].
_ROUNDING = 1e-3


def image_grid(
    images: ArrayLike | Iterable[ArrayLike],
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    *,
    title: str | None = None,
    legend: Mapping[str, str] | None = None,
) -> "matplotlib.figure.Figure":
    """Draws images in a grid, row by row.

    Intensities are not rescaled: black is 0, white is 255 or 1. Images of at most 64 pixels a side
    show square pixels; others are resampled.

    Args:
        images: `batch height width channels`, or images of different sizes; gray, RGB or RGBA;
            uint8, floats in [0, 1], or booleans.
        titles: One above each image; lines that are too long are shortened in the middle.
        columns: Images per row; None makes the grid about square, and at most ten wide.
        title: Title of the figure.
        legend: Colors in the images by their meaning, shown below the images.

    Returns:
        The figure: one axes per image, in their order.

    Raises:
        ValueError: There are no images, the shape, type or range of an image is wrong (NaN too),
            the number of titles is not that of the images, or `columns` is below 1.
        ImportError: Matplotlib is not installed.

    >>> images = np.linspace(0, 1, 6 * 8 * 8, dtype=np.float32).reshape(6, 8, 8, 1)
    >>> figure = image_grid(images, titles=list("abcdef"))
    >>> [axes.get_title() for axes in figure.axes]
    ['a', 'b', 'c', 'd', 'e', 'f']
    """
    pixels = [checked_image(image, f"image {index}") for index, image in enumerate(images)]
    if not pixels:
        raise ValueError("images is empty: there is nothing to show")
    if titles is not None and len(titles) != len(pixels):
        raise ValueError(f"{len(pixels)} images need as many titles, got {len(titles)}")
    if columns is None:
        columns = min(math.ceil(math.sqrt(len(pixels))), 10)
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    return _sheet(pixels, titles, min(columns, len(pixels)), title, legend or {})


def mistakes(
    images: ArrayLike | Sequence[ArrayLike],
    labels: ArrayLike,
    predictions: ArrayLike,
    confidences: ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    file_names: Sequence[str] | None = None,
    count: int = 25,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    r"""Draws the mistakes of a classifier, the most confident first.

    Args:
        images: Images as for `image_grid`.
        labels: True class indices.
        predictions: Predicted class indices.
        confidences: Probability of each prediction; NaN comes last.
        class_names: One per class; None numbers them.
        file_names: File of each image, shown above it.
        count: Largest number of mistakes shown.
        title: Title of the figure; the number of mistakes follows it.

    Returns:
        The figure: one axes per mistake; without any, a figure without axes that says so.

    Raises:
        ValueError: There are no images, the lengths differ, an index is negative or has no name, a
            confidence is outside [0, 1], `count` is below 1, or `image_grid` rejects an image.
        ImportError: Matplotlib is not installed.

    >>> images = np.zeros((3, 8, 8, 1), np.uint8)
    >>> figure = mistakes(images, [0, 1, 2], [0, 2, 1], [0.9, 0.6, 0.8])
    >>> [axes.get_title() for axes in figure.axes]
    ['true 2\npredicted 1 (80.0%)', 'true 1\npredicted 2 (60.0%)']
    """
    truth, guess = np.asarray(labels), np.asarray(predictions)
    confidence = np.asarray(confidences, dtype=np.float64)
    names = _checked_names(len(images), truth, guess, confidence, class_names)
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    wrong = np.flatnonzero(truth != guess)
    if len(wrong) == 0:
        return _words(f"no mistakes in {_number(len(truth), 'image')}", title)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    if file_names is not None and len(file_names) != len(truth):
        raise ValueError(f"{len(truth)} images need as many file names, got {len(file_names)}")
    captions = [
        ("" if file_names is None else f"{file_names[row]}\n") + f"true {names[int(truth[row])]}\n"
        f"predicted {names[int(guess[row])]} ({min(confidence[row], 1.0):.1%})"
        for row in chosen
    ]
    counted = f"{_number(len(wrong), 'mistake')} in {_number(len(truth), 'image')}"
    if len(chosen) < len(wrong):
        counted = f"the most confident {len(chosen)} of {counted}"
    shown = counted if title is None else f"{title}: {counted}"
    return image_grid([images[int(row)] for row in chosen], captions, title=shown)


def checked_image(image: ArrayLike, name: str) -> Pixels:
    """The image as uint8, or as float32 in [0, 1]; errors have its name."""
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise ValueError(
            f"{name} must be of shape (height, width, channels) with 1, 3 or 4 channels, "
            f"got {array.shape}; images[..., None] gives grayscale images their channel"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "fVb":  # bfloat16 has the kind V
        raise ValueError(f"{name} must be uint8, float or bool, got {array.dtype}")
    array = array.astype(np.float32)
    low, high = array.min(), array.max()
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        raise ValueError(
            f"{name} has values from {low:.4g} to {high:.4g}, and floats must be in [0, 1]; "
            "undo the normalization first"
        )
    return np.clip(array, 0, 1)


def _sheet(
    images: Sequence[Pixels],
    titles: Sequence[str] | None,
    columns: int,
    title: str | None,
    legend: Mapping[str, str],
) -> "matplotlib.figure.Figure":
    # All sizes are known, so no layout engine is needed.
    rows = math.ceil(len(images) / columns)
    lines = [text.split("\n") for text in titles or []]
    longest = max((len(line) for text in lines for line in text), default=0)
    width = float(np.clip(longest * _LETTER, np.clip(10 / columns, 0.8, 1.6), _MAX_WIDTH))
    height = width * float(np.clip(max(len(image) / image.shape[1] for image in images), 0.3, 2))
    row_height = height + max(map(len, lines), default=0) * _LINE + _MARGIN
    sheet_width = columns * (width + _MARGIN) + _MARGIN
    figure_width = sheet_width if title is None else max(sheet_width, 4.0)
    per_line, legend_height = _legend_size(legend, figure_width)
    figure_height = rows * row_height + _MARGIN + legend_height
    figure_height += 0.0 if title is None else _HEADER + title.count("\n") * _TITLE_LINE
    figure = _style.new_figure(figure_width, figure_height)
    figure.set_layout_engine("none")
    if title is not None:
        _style.entitle(figure, title, y=1 - _MARGIN / figure_height)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        left = (figure_width - sheet_width) / 2 + _MARGIN + column * (width + _MARGIN)
        bottom = (rows - 1 - row) * row_height + _MARGIN + legend_height
        box = np.array([left, bottom, width, height])
        axes = figure.add_axes(tuple(box / np.array([figure_width, figure_height] * 2)))
        gray = image.shape[2] == 1
        axes.imshow(
            image[..., 0] if gray else image,
            cmap="gray" if gray else None,
            vmin=0,
            vmax=255 if image.dtype == np.uint8 else 1,
            origin="upper",
            interpolation="nearest" if max(image.shape) <= _PIXELATED else "antialiased",
        )
        axes.set(xticks=[], yticks=[], facecolor="white")
        axes.spines[:].set(color=_style.RULE, linewidth=0.5)  # so that white images have a border
        if lines:
            axes.set_title(
                "\n".join(_style.elide(line, int(width / _LETTER)) for line in lines[index]),
                fontsize=_style.SMALL_SIZE,
                color=_style.INK,
                parse_math=False,
                pad=3,
                linespacing=1.1,
            )
    if legend:
        _draw_legend(figure, legend, per_line)
    return figure


def _legend_size(legend: Mapping[str, str], width: float) -> tuple[int, float]:
    """Names of a legend that fit into a line, and the height of all lines in inches."""
    if not legend:
        return 0, 0.0
    longest = max(map(len, legend)) * _LETTER + _SWATCH
    per_line = int(np.clip((width - 2 * _MARGIN) // longest, 1, len(legend)))
    return per_line, math.ceil(len(legend) / per_line) * 1.25 * _LINE + _MARGIN


def _draw_legend(
    figure: "matplotlib.figure.Figure", legend: Mapping[str, str], per_line: int
) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=color, edgecolor=_style.QUIET, linewidth=0.5) for color in legend.values()
    ]
    drawn = figure.legend(
        patches,
        list(legend),
        loc="lower center",
        ncols=per_line,
        fontsize=_style.SMALL_SIZE,
        labelcolor=_style.INK,
        frameon=False,
        borderpad=0.2,
        borderaxespad=0.2,
        handlelength=1.0,
        handleheight=1.0,
        columnspacing=1.2,
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)


def _words(text: str, title: str | None) -> "matplotlib.figure.Figure":
    figure = _style.new_figure(4.0, 1.5, title)
    figure.text(
        0.5, 0.45, text, ha="center", va="center", fontsize=_style.TITLE_SIZE, color=_style.INK
    )
    return figure


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _checked_names(
    num_images: int,
    truth: np.ndarray,
    guess: np.ndarray,
    confidence: np.ndarray,
    class_names: Sequence[str] | None,
) -> list[str]:
    """Checks all arrays, and returns class names that are short enough for a caption."""
    shapes = {"labels": truth.shape, "predictions": guess.shape, "confidences": confidence.shape}
    for name, shape in shapes.items():
        if shape != (num_images,):
            raise ValueError(f"{name} must have one value per image, {num_images}, got {shape}")
    if num_images == 0:
        raise ValueError("images is empty: there is nothing to show")
    for name, indices in (("labels", truth), ("predictions", guess)):
        if indices.dtype.kind not in "biu":
            raise ValueError(f"{name} must be class indices, got {indices.dtype}")
        known = math.inf if class_names is None else len(class_names)
        outside = (indices < 0) | (indices >= known)
        if outside.any():
            allowed = "0 or more" if class_names is None else f"0 to {len(class_names) - 1}"
            raise ValueError(f"{name} must be {allowed}, got {indices[outside][0]}")
    outside = (confidence < -_ROUNDING) | (confidence > 1 + _ROUNDING)
    if outside.any():
        raise ValueError(f"confidences must be in [0, 1], got {confidence[outside][0]}")
    num_classes = 1 + int(max(truth.max(), guess.max()))
    names = [str(index) for index in range(num_classes)] if class_names is None else class_names
    return [_style.elide(str(name), _NAME_LENGTH) for name in names]
