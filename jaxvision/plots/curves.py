"""Curves: a score against a hyperparameter, and functions with their fits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis
    import matplotlib.figure

_SHIFT = 0.2
"""Offset of dots to the left of their mean, relative to the smallest distance of values."""
_Panels = dict[str, Float64[np.ndarray, "repeats places"]]


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
    """Draws a score against a hyperparameter, measured by cross-validation or several seeds.

    Dots are scores of single folds or seeds. A line joins the means, with error bars of one
    standard deviation. Panels share their axes.

    Args:
        scores: Scores of shape (repeats, values), by the title of their panel.
        values: Values of the hyperparameter, in increasing order.
        x: Name of the hyperparameter.
        y: Name of the score.
        repeats: Name of one repeat, in the singular.
        chosen: Panel and value to mark as the chosen ones.
        log_x: Whether the hyperparameter axis is logarithmic.
        log_y: Whether the score axis is logarithmic.
        title: Title of the figure.

    Raises:
        ValueError: There are no scores; scores are not finite or not one column per value; a number
            on a logarithmic axis is not positive; or `chosen` is not drawn.
        ImportError: Matplotlib is not installed.

    >>> rows = [[0.9, 0.8], [0.8, 0.8]]
    >>> figure = validation_curves({"l2": rows}, [1, 3], x="k", chosen=("l2", 1))
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['each fold', 'chosen: k = 1, l2', 'mean of 2 folds ± standard deviation']
    """
    places = np.asarray(values, np.float64)
    panels = _checked(scores, places)
    _check_positive("values", log_x, places)
    _check_positive("scores", log_y, *panels.values())
    figure, drawings = _figure(panels, 3.4, 3.7, (x, y), title)
    for name, axes in drawings.items():
        axes.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
        _draw_scores(axes, places, panels[name], repeats, log_x)
    if chosen is not None:
        _mark(drawings, panels, values, chosen, x)
    first = next(iter(drawings.values()))
    _set_ticks(first.xaxis, log_x, places)
    _set_ticks(first.yaxis, log_y, np.concatenate([*panels.values()]))
    _style.legend(figure, drawings.values())
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
    """Draws a function of one variable, and in each panel the functions fitted to it.

    Args:
        x: Positions at which the functions are known, in increasing order.
        fits: Fitted functions of shape (repeats, positions), by the title of their panel.
        truth: Values of the true function.
        axes: Labels of the two axes.
        repeats: Name of one repeat, in the singular.
        title: Title of the figure.

    Raises:
        ValueError: There are no fits, or a function lacks a finite value at a position.
        ImportError: Matplotlib is not installed.

    >>> figure = fitted_curves([0.0, 1.0, 2.0], {"line": [[0.1, 0.9, 2.0]]}, [0.0, 1.0, 2.0])
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['function', 'fit, each seed']
    """
    places = np.asarray(x, np.float64)
    panels = _checked(fits, places)
    (expected,) = _checked({"truth": np.asarray(truth)[None]}, places)["truth"]
    figure, drawings = _figure(panels, 2.6, 3.2, axes, title)
    look: dict[str, Any] = {"linestyle": "-", "marker": "None"}
    for name, drawing in drawings.items():
        look |= {"color": _style.QUIET, "linewidth": 3.5, "alpha": 0.6}
        drawing.plot(places, expected, label="function", **look)
        look |= {"color": _style.BLUE, "linewidth": 1.1, "alpha": 0.9}
        for row in panels[name]:
            drawing.plot(places, row, label=f"fit, each {repeats}", **look)
    _style.legend(figure, drawings.values())
    return figure


def _checked(rows: Mapping[str, ArrayLike], places: Float64[np.ndarray, " places"]) -> _Panels:
    """Panels as finite arrays with a row per repeat and a column per place."""
    panels = {name: np.asarray(each, np.float64) for name, each in rows.items()}
    if not panels:
        raise ValueError("there is nothing to draw: give one panel or more")
    for name, numbers in panels.items():
        if numbers.ndim != 2 or not numbers.size or numbers.shape[1:] != places.shape:
            raise ValueError(
                f"{name!r} must have one column for each of {places.size} positions, got the shape "
                f"{numbers.shape}"
            )
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name!r} must have finite numbers, got {numbers.tolist()}")
    return panels


def _check_positive(what: str, log: bool, *arrays: Float64[np.ndarray, "..."]) -> None:
    least = min(float(each.min()) for each in arrays)
    if log and least <= 0:
        raise ValueError(f"{what} on a logarithmic axis must be positive, got {least}")


def _figure(
    panels: _Panels, width: float, height: float, words: tuple[str, str], title: str | None
) -> tuple["matplotlib.figure.Figure", dict[str, "matplotlib.axes.Axes"]]:
    """A row of panels with shared axes; sizes are in inches, the width is that of one panel."""
    figure = _style.new_figure(max(4.8, width * len(panels)), height, title)
    row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, name in zip(row, panels, strict=True):
        _style.dress(axes, title=name, x=words[0], y=words[1] if axes is row[0] else "", grid=True)
    return figure, dict(zip(panels, row, strict=True))


def _draw_scores(
    axes: "matplotlib.axes.Axes",
    places: Float64[np.ndarray, " values"],
    rows: Float64[np.ndarray, "repeats values"],
    repeats: str,
    log: bool,
) -> None:
    # Dots are shifted to the left, so that the error bars do not hide them.
    along = np.log(places) if log else places
    along = along - (_SHIFT * np.diff(along).min() if len(places) > 1 else 0)
    axes.plot(
        np.tile(np.exp(along) if log else along, len(rows)),
        rows.ravel(),
        linestyle="None",
        marker="o",
        markersize=3.5,
        markeredgewidth=0,
        color=_style.QUIET,
        label=f"each {repeats}",
    )
    several = len(rows) > 1
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
        label=f"mean of {len(rows)} {repeats}s ± standard deviation" if several else "mean",
        zorder=3,
    )


def _mark(
    drawings: Mapping[str, "matplotlib.axes.Axes"],
    panels: _Panels,
    values: Sequence[int | float],
    chosen: tuple[str, int | float],
    x: str,
) -> None:
    """Draws a ring around the chosen mean."""
    name, value = chosen
    if name not in panels or value not in values:
        raise ValueError(
            f"chosen must be one of the panels {list(panels)} and one of the values "
            f"{list(values)}, got {chosen}"
        )
    index = list(values).index(value)
    drawings[name].plot(
        [value],
        [panels[name][:, index].mean()],
        linestyle="None",
        marker="o",
        markersize=10,
        markerfacecolor="None",
        markeredgecolor=_style.VERMILLION,
        markeredgewidth=2.0,
        label=f"chosen: {x} = {value:g}" + (f", {name}" if name else ""),
        zorder=4,
    )


def _set_ticks(
    axis: "matplotlib.axis.Axis", log: bool, numbers: Float64[np.ndarray, "..."]
) -> None:
    """Sets a few plain tick labels, integers if all numbers are."""
    from matplotlib.ticker import MaxNLocator

    if log:
        _style.log_ticks(axis, float(numbers.min()), float(numbers.max()))
    else:
        whole = bool((numbers == np.round(numbers)).all())
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=whole))
