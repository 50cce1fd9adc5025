"""Curves: a score over a hyperparameter, and functions of one variable beside their fits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis
    import matplotlib.figure

_WIDTH, _HEIGHT = 3.4, 3.2  # of a panel, in inches
_DODGE = 0.12
"""How far the dots stand from their mean, as a share of the distance to the next value."""


def validation_curves(
    scores: Mapping[str, ArrayLike],
    values: Sequence[int | float],
    *,
    x: str,
    y: str = "accuracy",
    repeats: str = "fold",
    chosen: tuple[str, int | float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws a score over a hyperparameter, as cross-validation or several seeds measured it.

    A dot is the score of one fold or seed. A line goes through the means, and a bar reaches one
    standard deviation up and down from each. Panels have the same axes.

    Args:
        scores: The scores of each panel by its title, (repeats, values).
        values: The values of the hyperparameter.
        x: The name of the hyperparameter.
        y: The name of the score.
        repeats: What one row of scores comes from, in the singular.
        chosen: The panel and the value to mark, as what was chosen.
        log_x: Whether the axis of the hyperparameter is logarithmic.
        log_y: Whether the axis of the score is logarithmic.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: There are no scores, they have not one column per value, they are not finite,
            a number on a logarithmic axis is not positive, or what was chosen is not there.
        ImportError: Matplotlib is not installed.

    >>> figure = validation_curves({"l2": [[0.9, 0.8], [0.8, 0.8]]}, [1, 3], x="k",
    ...                            chosen=("l2", 1))
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['each fold', 'mean of 2 folds ± standard deviation', 'chosen: k = 1, l2']
    """
    places = np.asarray(values, np.float64)
    panels = {name: _checked(name, rows, places) for name, rows in scores.items()}
    if not panels:
        raise ValueError("there are no scores: give one panel or more")
    if chosen is not None and (chosen[0] not in panels or chosen[1] not in values):
        raise ValueError(
            f"chosen must be a panel, one of {', '.join(panels)}, and one of the values "
            f"{list(values)}; got {chosen}"
        )
    for what, numbers, log in (("values", [places], log_x), ("scores", panels.values(), log_y)):
        least = min(float(each.min()) for each in numbers)
        if log and least <= 0:
            raise ValueError(f"{what} on a logarithmic axis must be positive, got {least}")
    figure = _style.new_figure(max(4.5, _WIDTH * len(panels)), _HEIGHT + 0.5, title)
    grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, rows) in zip(grid, panels.items(), strict=True):
        _style.dress(axes, title=name, x=x, y=y if axes is grid[0] else "", grid=True)
        axes.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
        _draw_scores(axes, places, rows, repeats, log_x)
        if chosen is not None and name == chosen[0]:
            of = f", {name}" if name else ""
            index = list(values).index(chosen[1])
            _mark(
                axes, places[index], rows[:, index].mean(), f"chosen: {x} = {chosen[1]:g}{of}"
            )
    _ticks(grid[0].xaxis, log_x, places)
    if log_y:
        _ticks(grid[0].yaxis, log_y, np.concatenate([rows.ravel() for rows in panels.values()]))
    _legend(figure, grid)
    return figure


def fitted_curves(
    x: ArrayLike,
    fits: Mapping[str, ArrayLike],
    truth: ArrayLike,
    *,
    axes: tuple[str, str] = ("x", "y"),
    repeats: str = "seed",
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws a function of one variable, and in each panel what was fitted to it.

    Args:
        x: Where the functions are known, in increasing order.
        fits: The fitted functions of each panel by its title, (repeats, positions).
        truth: The function that they were fitted to.
        axes: What the two axes are.
        repeats: What one fitted function comes from, in the singular.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: There are no fits, or functions are not known at all positions.
        ImportError: Matplotlib is not installed.

    >>> figure = fitted_curves([0.0, 1.0, 2.0], {"line": [[0.1, 0.9, 2.0]]}, [0.0, 1.0, 2.0])
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['function', 'fit, each seed']
    """
    places = np.asarray(x, np.float64)
    expected = np.asarray(truth, np.float64)
    panels = {name: np.asarray(rows, np.float64) for name, rows in fits.items()}
    if not panels:
        raise ValueError("there are no fits: give one panel or more")
    for name, rows in {"truth": expected[None], **panels}.items():
        if rows.ndim != 2 or rows.shape[1:] != places.shape:
            raise ValueError(
                f"{name} must have a number for each of {places.size} positions, got {rows.shape}"
            )
    figure = _style.new_figure(max(4.5, 2.6 * len(panels)), _HEIGHT, title)
    grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for drawing, (name, rows) in zip(grid, panels.items(), strict=True):
        _style.dress(
            drawing, title=name, x=axes[0], y=axes[1] if drawing is grid[0] else "", grid=True
        )
        look = {"linestyle": "-", "marker": "None"}
        drawing.plot(
            places, expected, color=_style.QUIET, linewidth=3.5, alpha=0.6, label="function", **look
        )
        for row in rows:
            drawing.plot(
                places,
                row,
                color=_style.BLUE,
                linewidth=1.1,
                alpha=0.9,
                label=f"fit, each {repeats}",
                **look,
            )
    _legend(figure, grid)
    return figure


def _checked(
    name: str, rows: ArrayLike, places: Float64[np.ndarray, " values"]
) -> Float64[np.ndarray, "repeats values"]:
    numbers = np.asarray(rows, np.float64)
    if numbers.ndim != 2 or not numbers.size or numbers.shape[1:] != places.shape:
        raise ValueError(
            f"the scores {name!r} must be (repeats, values) of {places.size} values, got "
            f"{numbers.shape}"
        )
    if not np.isfinite(numbers).all():
        raise ValueError(f"the scores {name!r} must be finite, got {numbers.tolist()}")
    return numbers


def _draw_scores(
    axes: "matplotlib.axes.Axes",
    places: Float64[np.ndarray, " values"],
    rows: Float64[np.ndarray, "repeats values"],
    repeats: str,
    log: bool,
) -> None:
    """The dots a little to the left, so that the bars do not hide them."""
    logs = np.log(places) if log else places
    shift = _DODGE * np.diff(np.unique(logs)).min(initial=np.inf)
    moved = logs - (shift if np.isfinite(shift) else 0)
    axes.plot(
        np.tile(np.exp(moved) if log else moved, len(rows)),
        rows.ravel(),
        linestyle="None",
        marker="o",
        markersize=3.5,
        markeredgewidth=0,
        color=_style.QUIET,
        label=f"each {repeats}",
    )
    several = len(rows) > 1
    count = f"{len(rows)} {repeats}s ± standard deviation" if several else f"1 {repeats}"
    axes.errorbar(
        places,
        rows.mean(axis=0),
        yerr=rows.std(axis=0, ddof=1) if several else None,
        color=_style.BLUE,
        linestyle="-",
        linewidth=1.4,
        elinewidth=1.0,
        capsize=2.0,
        marker="None",
        label=f"mean of {count}",
        zorder=3,
    )


def _mark(axes: "matplotlib.axes.Axes", place: float, score: float, label: str) -> None:
    axes.plot(
        [place],
        [score],
        linestyle="None",
        marker="o",
        markersize=9,
        markerfacecolor="None",
        markeredgecolor=_style.VERMILLION,
        markeredgewidth=2.0,
        label=label,
        zorder=4,
    )


def _ticks(axis: "matplotlib.axis.Axis", log: bool, numbers: Float64[np.ndarray, "..."]) -> None:
    """A few plain numbers; whole ones where all values are."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if log:
        few = numbers.max() < 1000 * numbers.min()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    else:
        whole = bool((numbers == np.round(numbers)).all())
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=whole))


def _legend(
    figure: "matplotlib.figure.Figure", panels: Sequence["matplotlib.axes.Axes"]
) -> None:
    """One legend under all panels, with a line for each thing that is drawn in any."""
    handles = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=len(handles) if figure.get_size_inches()[0] > 6 else 1,
        frameon=False,
        fontsize=_style.SMALL_SIZE,
        labelcolor=_style.INK,
    )
