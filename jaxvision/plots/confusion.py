"""Which classes are taken for which."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float64

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike
from jaxvision.suggest import unknown

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure
    import matplotlib.image

_MAX_PERCENTS = 12
_MAX_NUMBERS = 20
_MAX_TICKS = 50
_NAME_LENGTH = 18

# In percent. The scale of the errors goes at least so far: a single one is not to look alarming.
_LEAST_ERROR_SCALE = 5.0

_RIGHT = "#EAF2F8", "#3F86B8"
_WRONG = "#FDE3CF", "#8A2F00"
_NO_EXAMPLE = "#F0F0F0"


def confusion_matrix(
    matrix: ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    normalize: Literal["true"] | None = "true",
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws a confusion matrix so that its errors are seen.

    Right answers (the diagonal, blue) and errors (orange) have a color scale each, as on a common
    one the diagonal leaves nothing for the rest; cells without an error are white. Up to 20 classes
    the cells show what they count, up to 12 also their share of the row. Above 50 classes only
    every second, fifth, ... class is named. A gray row is a class without examples.

    Args:
        matrix: What `metrics.confusion_matrix` returns: true classes in rows, predicted ones in
            columns; sums of weights or of several matrices will do.
        class_names: One per class; long ones are shortened in the middle. None numbers them.
        normalize: "true" colors by the share of a true class's examples, None by their number; the
            cells then show no shares.
        title: Of the figure; the accuracy stands below it.

    Returns:
        The figure: axes with the matrix, and a color bar for each of the two scales.

    Raises:
        ValueError: The matrix is not square, has an entry that is negative or not finite, or is all
            0; there are fewer or more names than classes; or `normalize` is something else.
        ImportError: Matplotlib is not installed.

    >>> figure = confusion_matrix([[8, 1], [0, 9]], ["cat", "dog"])
    >>> figure.axes[0].get_title()
    'accuracy 94.4% (17 of 18)'
    """
    if normalize not in ("true", None):
        raise ValueError(unknown("normalize", str(normalize), ["true", "None"]))
    counts = _checked(matrix)
    num_classes = len(counts)
    names = _names(class_names, num_classes)
    support = counts.sum(axis=1, keepdims=True)
    percents = 100 * np.divide(counts, support, out=np.full_like(counts, np.nan), where=support > 0)

    side = float(np.clip(0.62 * min(num_classes, _MAX_PERCENTS) + 0.02 * num_classes, 2.5, 8.5))
    figure = _style.new_figure(side + 2.8, side + 1.0, title)
    figure.set_layout_engine("compressed")
    axes = figure.add_subplot()
    total, right = counts.sum(), np.trace(counts)
    _style.dress(
        axes,
        title=f"accuracy {_style.percent(right / total)} ({_number(right)} of {_number(total)})",
        x="predicted class",
        y="true class",
    )
    _name_classes(axes, names)
    _draw_rules(axes, num_classes)
    images = _draw_cells(axes, counts if normalize is None else percents, normalize)
    if num_classes <= _MAX_NUMBERS:
        in_percent = normalize is not None and num_classes <= _MAX_PERCENTS
        shares = percents if in_percent else None
        _write_numbers(axes, counts, shares, images, cell=72 * side / num_classes)
    for image, what in zip(images, ("right answers", "errors"), strict=True):
        unit = "examples" if normalize is None else "% of true class"
        _style.color_bar(figure, image, axes, f"{what}, {unit}", shrink=0.75, aspect=30)
    return figure


def _checked(matrix: ArrayLike) -> Float64[np.ndarray, "classes classes"]:
    counts = np.asarray(matrix, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(f"matrix must be of shape (classes, classes), got {counts.shape}")
    wrong = ~(np.isfinite(counts) & (counts >= 0))
    if wrong.any():
        raise ValueError(f"matrix must hold counts, 0 or more, got {counts[wrong][0]}")
    if not counts.any():
        raise ValueError("matrix is all 0: there is no example to show")
    return counts


def _names(class_names: Sequence[str] | None, num_classes: int) -> list[str]:
    if class_names is None:
        return [str(index) for index in range(num_classes)]
    if len(class_names) != num_classes:
        raise ValueError(f"{num_classes} classes need as many names, got {len(class_names)}")
    return [str(name) for name in class_names]


def _draw_cells(
    axes: "matplotlib.axes.Axes",
    values: Float64[np.ndarray, "classes classes"],
    normalize: str | None,
) -> tuple["matplotlib.image.AxesImage", "matplotlib.image.AxesImage"]:
    """The right answers and the errors, each an image with its own scale."""
    diagonal = np.eye(len(values), dtype=bool)
    present = np.broadcast_to(np.nansum(values, axis=1, keepdims=True) > 0, values.shape)
    errors = np.where(diagonal | ~present, 0.0, values)
    if normalize is None:
        tops = max(1.0, np.diag(values).max()), max(1.0, errors.max())
    else:
        tops = 100.0, max(_LEAST_ERROR_SCALE, errors.max())
    _image(axes, np.zeros_like(values), ~present, (_NO_EXAMPLE, _NO_EXAMPLE), 1.0)
    return (
        _image(axes, values, diagonal & present, _RIGHT, tops[0]),
        _image(axes, values, errors > 0, _WRONG, tops[1]),
    )


def _image(
    axes: "matplotlib.axes.Axes",
    values: Float64[np.ndarray, "classes classes"],
    shown: Bool[np.ndarray, "classes classes"],
    ends: tuple[str, str],
    top: float,
) -> "matplotlib.image.AxesImage":
    return axes.imshow(
        np.ma.masked_array(values, ~shown),
        cmap=_style.ramp(*ends),
        vmin=0,
        vmax=top,
        origin="upper",
        interpolation="nearest",
    )


def _name_classes(axes: "matplotlib.axes.Axes", names: Sequence[str]) -> None:
    every = next(
        step
        for power in range(len(str(len(names))))
        for step in (10**power, 2 * 10**power, 5 * 10**power)
        if math.ceil(len(names) / step) <= _MAX_TICKS
    )
    ticks = range(0, len(names), every)
    shown = [_style.elide(names[tick], _NAME_LENGTH) for tick in ticks]
    size = _style.SMALL_SIZE if len(shown) <= _MAX_NUMBERS else 7.0
    axes.set_yticks(ticks, shown, parse_math=False, fontsize=size)
    axes.set_xticks(ticks, shown, parse_math=False, fontsize=size)
    if max(map(len, shown)) > 3:
        # A steep name is easier to read than an upright one, but takes the room of its neighbors.
        slope = 45 if len(shown) <= _MAX_NUMBERS else 90
        for label in axes.get_xticklabels():
            label.set(rotation=slope, rotation_mode="anchor", ha="right")
            label.set_verticalalignment("center" if slope == 90 else "top")


def _draw_rules(axes: "matplotlib.axes.Axes", num_classes: int) -> None:
    """Lines between the cells; where there are too many, from the names into the matrix."""
    if num_classes <= _MAX_TICKS:
        edges = np.arange(num_classes + 1) - 0.5
        axes.set_xticks(edges, minor=True)
        axes.set_yticks(edges, minor=True)
        axes.grid(visible=True, which="minor", color=_style.RULE, linewidth=0.6, linestyle="-")
        axes.tick_params(which="minor", length=0)
    else:
        axes.grid(visible=True, color=_style.RULE, linewidth=0.4, linestyle="-")
        axes.set_axisbelow(True)


def _write_numbers(
    axes: "matplotlib.axes.Axes",
    counts: Float64[np.ndarray, "classes classes"],
    percents: Float64[np.ndarray, "classes classes"] | None,
    images: Sequence["matplotlib.image.AxesImage"],
    *,
    cell: float,
) -> None:
    """What each cell counts, and its share of the row if that is given; `cell` is in points."""
    present = counts.any(axis=1, keepdims=True)
    shown = present & ((counts > 0) | np.eye(len(counts), dtype=bool))
    right, wrong = (image.to_rgba(np.ma.asarray(image.get_array())) for image in images)
    for row, column in np.argwhere(shown):
        text = _number(counts[row, column])
        if percents is not None:
            text += f"\n{_style.percent(float(percents[row, column]) / 100)}"
        longest = max(map(len, text.split("\n")))
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            color=_style.text_color((right if row == column else wrong)[row, column]),
            # A digit is about 0.6 of the font's size wide.
            fontsize=min(_style.TEXT_SIZE, cell / (0.65 * longest)),
        )


def _number(count: float) -> str:
    """Whole counts as they are; sums of weights to four digits."""
    return f"{count:.0f}" if count == round(count) else f"{count:.4g}"
