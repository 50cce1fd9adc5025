"""Distributions of numbers as histograms, and of classes as bars."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.figure

_PANEL = 2.2  # inches


def histograms(
    values: Mapping[str, ArrayLike],
    *,
    axis: str = "",
    bins: int = 40,
    mark: int | float | None = None,
    mark_name: str = "",
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws histograms of several sets of numbers over each other, with the same bins.

    Heights are shares of each set, so that sets of different sizes can be compared.

    Args:
        values: The numbers of each set, by its name.
        axis: Label of the horizontal axis.
        bins: Number of bins between the smallest and the largest number.
        mark: Number at which a vertical line is drawn; None draws none.
        mark_name: Name of that line in the legend.
        title: Title of the figure.

    Raises:
        ValueError: There is no set, or one is empty or has a number that is not finite.
        ImportError: Matplotlib is not installed.

    >>> figure = histograms({"a": [0.0, 1.0, 1.0], "b": [0.5, 0.5]}, bins=2)
    >>> [patch.get_data().values.tolist() for patch in figure.axes[0].patches]
    [[0.3333333333333333, 0.6666666666666666], [0.0, 1.0]]
    """
    sets = {name: np.asarray(each, np.float64).ravel() for name, each in values.items()}
    if not sets:
        raise ValueError("values must have one set of numbers or more, got none")
    for name, each in sets.items():
        if not each.size or not np.isfinite(each).all():
            raise ValueError(f"{name!r} must have numbers, all finite, got {each}")
    edges = np.histogram_bin_edges(np.concatenate([*sets.values()]), bins)
    figure = _style.new_figure(6.4, 3.4, title)
    axes = figure.subplots()
    _style.dress(axes, x=axis, y="share of each set", grid=True)
    for number, (name, each) in enumerate(sets.items()):
        heights, _ = np.histogram(each, edges)
        color = _style.PALETTE[number % len(_style.PALETTE)]
        axes.stairs(heights / each.size, edges, color=color, linewidth=1.4, label=name)
    if mark is not None:
        axes.axvline(mark, color=_style.INK, linewidth=1.0, linestyle=":", label=mark_name)
    _style.legend(figure, [axes])
    return figure


def class_shares(
    shares: Mapping[str, ArrayLike],
    class_names: Sequence[str],
    *,
    expected: ArrayLike | None = None,
    columns: int = 4,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws the share of each class as bars, with a panel for each set of examples.

    Args:
        shares: The shares of the classes, in [0, 1], by the name of the set.
        class_names: Names of the classes.
        expected: Share of each class to compare with, drawn as short lines; None draws none.
        columns: Panels per row.
        title: Title of the figure.

    Raises:
        ValueError: There is no set, or a set has not one share per class.
        ImportError: Matplotlib is not installed.

    >>> figure = class_shares({"samples": [0.25, 0.75]}, ["cat", "dog"])
    >>> [float(bar.get_height()) for bar in figure.axes[0].patches]
    [0.25, 0.75]
    """
    rows = {name: np.asarray(each, np.float64) for name, each in shares.items()}
    lines = {} if expected is None else {"expected": np.asarray(expected, np.float64)}
    if not rows:
        raise ValueError("shares must have one set or more, got none")
    for name, each in {**rows, **lines}.items():
        if each.shape != (len(class_names),):
            raise ValueError(
                f"{name!r} must have a share for each of the {len(class_names)} classes, got the "
                f"shape {each.shape}"
            )
    across, down = min(columns, len(rows)), -(-len(rows) // columns)
    width = max(_PANEL, 0.2 * len(class_names))
    figure = _style.new_figure(max(width * across + 0.5, 4.4), _PANEL * down + 0.5, title)
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    places = np.arange(len(class_names))
    for index, axes in enumerate(grid.flat):
        if index >= len(rows):
            axes.set_visible(False)
            continue
        name = [*rows][index]
        _style.dress(axes, title=name, y="share" if index % columns == 0 else "", grid=True)
        axes.grid(visible=False, axis="x")
        axes.bar(places, rows[name], color=_style.BLUE, width=0.7, linewidth=0)
        for line in lines.values():
            axes.hlines(line, places - 0.45, places + 0.45, color=_style.INK, linewidth=1.2)
        turned = 0 if max(map(len, class_names)) <= 2 else 90
        axes.set_xticks(places, class_names, rotation=turned)
        axes.yaxis.set_major_formatter(lambda share, _: _style.percent(share))
    return figure
