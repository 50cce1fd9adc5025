"""Relevance of the numbers of a vector, such as what an agent observes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from jaxvision.plots import _style
from jaxvision.plots.images import checked_image
from jaxvision.plots.relevance import (
    SIDE,
    as_float,
    check_texts,
    colors,
    draw_bars,
    draw_scale,
    scaled,
    show_image,
)

if TYPE_CHECKING:
    import matplotlib.figure


def number_attributions(
    values: _style.ArrayLike,
    maps: Sequence[_style.ArrayLike],
    titles: Sequence[str],
    notes: Sequence[str] = (),
    *,
    names: Sequence[str],
    image: _style.ArrayLike | None = None,
    scores: Mapping[str, float] | None = None,
    scores_title: str = "probability",
    most: int = 8,
    columns: int = 5,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws the relevance of named numbers as bars, a panel for each map, in one color scale.

    The bars of a map are as long as its largest one allows; each number is written beside its name.
    As in `attributions`, colors are relative to the 99.5th percentile of the map.

    Args:
        values: The numbers that are explained.
        maps: Relevance of each number, such as rows of `Attribution.map`.
        titles: Names of the maps, such as their methods.
        notes: A short text under each map, such as its certificate; without any, none is drawn.
        names: Name of each number.
        image: What the numbers describe, as `height width channels`; None shows nothing.
        scores: Numbers to draw as bars by name, such as probabilities of actions. None draws none.
        scores_title: What these numbers are.
        most: How many numbers are shown: those with the most relevance in all maps together.
        columns: Panels per row.
        title: Title of the figure.

    Returns:
        The figure, with a color bar.

    Raises:
        ValueError: There is no map, the numbers of maps and texts differ, a map is not finite, or
            values, names and maps are not equally many.
        ImportError: Matplotlib is not installed.

    >>> seen = np.array([0.5, -2.0])
    >>> figure = number_attributions(seen, [2 * seen], ["gradient"], names=["speed", "angle"])
    >>> [axes.get_title() for axes in figure.axes][:2]
    ['observed numbers', 'gradient']
    """
    check_texts(maps, titles, notes)
    relevances = [np.asarray(each, np.float64) for each in maps]
    observed = np.asarray(values, np.float64)
    for number, each in enumerate([observed, *relevances]):
        what = "values" if number == 0 else f"map {number - 1} ({titles[number - 1]})"
        if np.shape(each) != (len(names),):
            raise ValueError(
                f"{what} must have a number for each of the {len(names)} names, got the shape "
                f"{np.shape(each)}"
            )
        if not np.isfinite(each).all():
            raise ValueError(f"{what} is not finite")
    shares = [scaled(each) for each in relevances]
    order = np.argsort(-np.abs(shares).sum(axis=0), kind="stable")[:most]
    order.sort()

    def named(numbers: Float64[np.ndarray, " numbers"]) -> dict[str, float]:
        return {str(names[index]): float(numbers[index]) for index in order}

    count = 1 + (image is not None) + bool(scores) + len(maps)
    across = min(columns, count)
    rows = -(-count // across)
    figure = _style.new_figure(SIDE * across + 0.9, (SIDE + 0.6) * rows + 0.4, title)
    grid = figure.subplots(rows, across, squeeze=False)
    panels = iter(grid.flat)
    if image is not None:
        show_image(next(panels), as_float(checked_image(image, "image")), "scene")
    some = "" if len(order) == len(names) else f"the most relevant {len(order)} of {len(names)}"
    draw_bars(next(panels), named(observed), "observed numbers", some, color=_style.QUIET)
    if scores:
        draw_bars(next(panels), scores, scores_title)
    for number, (relevance, share) in enumerate(zip(relevances, shares, strict=True)):
        note = notes[number] if notes else ""
        painted = colors()(share[order] / 2 + 0.5)
        draw_bars(next(panels), named(relevance), titles[number], note, color=painted)
    for axes in panels:
        axes.set_visible(False)
    draw_scale(figure, grid, rows)
    return figure
