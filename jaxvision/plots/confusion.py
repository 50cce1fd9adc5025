"""Confusion matrices."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float64

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

_COLORS = "#E3EEF7", "#0B4F8A"
_NO_EXAMPLE = "#F0F0F0"
_GAMMA = 0.5
"""Colors follow the square root of the values, so that rare errors stay visible."""


def confusion_matrix(
    matrix: ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    normalize: Literal["true"] | None = "true",
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws a confusion matrix whose colors make rare errors visible.

    Colors follow the square root of a cell's value; cells without examples are white, and the rows
    of classes without examples are gray. With up to 20 classes, cells show counts; with up to 12,
    also shares of their row. With more than 50 classes, only every second, fifth, ... class is
    named.

    Args:
        matrix: Output of `metrics.confusion_matrix`: true classes in rows, predicted ones in
            columns. Sums of weights and sums of matrices are allowed.
        class_names: One per class; long names are shortened in the middle. None numbers the
            classes.
        normalize: "true" colors cells by their share of the true class; None colors them by their
            count, and shows no shares.
        title: Title of the figure; the accuracy is shown below it.

    Returns:
        The figure: axes with the matrix, and a color bar.

    Raises:
        ValueError: The matrix is not square, has an entry that is negative or not finite, or is all
            0; the number of names is not that of the classes; or `normalize` is something else.
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
    image = _draw_cells(axes, counts if normalize is None else percents, normalize)
    if num_classes <= _MAX_NUMBERS:
        in_percent = normalize is not None and num_classes <= _MAX_PERCENTS
        shares = percents if in_percent else None
        _write_numbers(axes, counts, shares, image, cell=72 * side / num_classes)
    what = (
        "examples in a cell" if normalize is None else "% of the examples of the true class (row)"
    )
    _style.color_bar(figure, image, axes, what, shrink=0.85, aspect=30)
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
) -> "matplotlib.image.AxesImage":
    """Draws the cells with examples, over gray rows of classes without examples."""
    from matplotlib.colors import PowerNorm

    present = np.broadcast_to(np.nansum(values, axis=1, keepdims=True) > 0, values.shape)
    top = 100.0 if normalize is not None else max(1.0, float(values.max()))
    gray = _style.ramp(_NO_EXAMPLE, _NO_EXAMPLE)
    kept: Any = {"origin": "upper", "interpolation": "nearest"}
    axes.imshow(np.ma.masked_array(np.zeros_like(values), present), cmap=gray, **kept)
    shown = np.ma.masked_array(values, ~(present & (values > 0)))
    return axes.imshow(shown, cmap=_style.ramp(*_COLORS), norm=PowerNorm(_GAMMA, 0, top), **kept)


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
        # Slanted names are easier to read than vertical ones, but need more room.
        slope = 45 if len(shown) <= _MAX_NUMBERS else 90
        for label in axes.get_xticklabels():
            label.set(rotation=slope, rotation_mode="anchor", ha="right")
            label.set_verticalalignment("center" if slope == 90 else "top")


def _draw_rules(axes: "matplotlib.axes.Axes", num_classes: int) -> None:
    """Draws lines between cells, or grid lines at the ticks if there are too many cells."""
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
    image: "matplotlib.image.AxesImage",
    *,
    cell: float,
) -> None:
    """Writes counts, and shares of rows if given, into cells of a size in points."""
    present = counts.any(axis=1, keepdims=True)
    shown = present & ((counts > 0) | np.eye(len(counts), dtype=bool))
    cells: Any = np.ma.asarray(image.get_array())
    colors = np.where(np.ma.getmaskarray(cells)[..., None], 1.0, image.to_rgba(cells))
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
            color=_style.text_color(colors[row, column]),
            # A digit is about 0.6 font sizes wide.
            fontsize=min(_style.TEXT_SIZE, cell / (0.65 * longest)),
        )


def _number(count: float) -> str:
    """Whole counts in full, sums of weights with four digits."""
    return f"{count:.0f}" if count == round(count) else f"{count:.4g}"
