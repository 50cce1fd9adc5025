"""Functions of the plane as colors, with points over them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure
    import matplotlib.image

_SIDE = 2.4  # inches


def fields(
    values: Float[np.ndarray, "panels rows columns"],
    titles: Sequence[str],
    points: Sequence[ArrayLike | None] = (),
    *,
    labels: Sequence[ArrayLike] = (),
    level: int | float | None = None,
    extent: tuple[int | float, int | float, int | float, int | float] = (0.0, 1.0, 0.0, 1.0),
    limits: tuple[int | float, int | float] = (0.0, 1.0),
    columns: int = 3,
    legend: str = "",
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws functions of the plane side by side, with the same colors.

    Args:
        values: Values of each function on a regular grid, with rows from bottom to top and columns
            from left to right; NaN is gray.
        titles: Titles of the panels.
        points: Points over each panel, (points, 2), or None for none.
        labels: Classes of the points over each panel, 0 (hollow) or 1 (filled). Without labels, all
            points are small and filled.
        level: Value whose contour line is drawn, such as a decision boundary; None draws none.
        extent: Bounds of the plane: left, right, bottom, top.
        limits: Values with the strongest colors; their middle is white.
        columns: Panels per row.
        legend: Label of the color bar.
        title: Title of the figure.

    Raises:
        ValueError: There is no panel, the number of titles or points is not that of the panels,
            points are not in the plane, or a point lacks a label 0 or 1.
        ImportError: Matplotlib is not installed.

    >>> figure = fields(np.eye(3)[None], ["the diagonal"], [[[0.5, 0.5]]], legend="value")
    >>> [axes.get_title() for axes in figure.axes if axes.get_title()]
    ['the diagonal']
    """
    if not len(values) or len(titles) != len(values) or len(points) not in (0, len(values)):
        raise ValueError(
            f"{len(values)} panels (at least one) need as many titles, got {len(titles)}, and no "
            f"points or as many, got {len(points)}"
        )
    over = _checked_points(points, labels)
    rows = -(-len(values) // columns)
    across = min(columns, len(values))
    figure = _style.new_figure(_SIDE * across + 0.9, (_SIDE + 0.25) * rows + 0.4, title)
    grid = figure.subplots(rows, across, squeeze=False)
    shown = None
    for index, axes in enumerate(grid.flat):
        if index >= len(values):
            axes.set_visible(False)
            continue
        _style.dress(axes, title=titles[index])
        shown = _draw_field(axes, values[index], extent, limits)
        _draw_level(axes, values[index], extent, level)
        if over:
            _draw_points(axes, *over[index])
        axes.axis(extent)
    assert shown is not None
    _style.color_bar(figure, shown, grid, legend, shrink=min(1.0, 2.0 / rows), aspect=25.0)
    return figure


def _checked_points(
    points: Sequence[ArrayLike | None], labels: Sequence[ArrayLike]
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Points over each panel, and their classes if there are labels."""
    planes = [np.empty((0, 2)) if each is None else np.asarray(each, np.float64) for each in points]
    for plane in planes:
        if plane.ndim != 2 or plane.shape[1] != 2:
            raise ValueError(f"points must be (points, 2), got {plane.shape}")
    if not labels:
        return [(plane, None) for plane in planes]
    classes = [np.asarray(each) for each in labels]
    shapes = [plane.shape[:1] for plane in planes], [each.shape for each in classes]
    if shapes[0] != shapes[1] or not np.isin(np.concatenate(classes), (0, 1)).all():
        raise ValueError(
            f"points of the shapes {shapes[0]} need as many labels, each 0 or 1; got {shapes[1]}"
        )
    return list(zip(planes, classes, strict=True))


def _draw_points(
    axes: "matplotlib.axes.Axes", points: np.ndarray, labels: np.ndarray | None
) -> None:
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=1.5, c=_style.INK, linewidths=0, alpha=0.6)
        return
    # Edges keep points visible on every background color.
    for number, (face, edge) in enumerate((("white", _style.INK), (_style.INK, "white"))):
        shown = points[labels == number]
        axes.scatter(shown[:, 0], shown[:, 1], s=10, c=face, edgecolors=edge, linewidths=0.5)


def _draw_level(
    axes: "matplotlib.axes.Axes",
    values: Float[np.ndarray, "rows columns"],
    extent: tuple[int | float, int | float, int | float, int | float],
    level: int | float | None,
) -> None:
    """Draws the contour line of a level, if the function crosses it."""
    known = values[np.isfinite(values)]
    if level is not None and known.size and known.min() < level < known.max():
        axes.contour(
            np.ma.masked_invalid(values),
            levels=[level],
            colors=[_style.INK],
            linewidths=1.3,
            linestyles="solid",
            extent=extent,
            origin="lower",
        )


def _draw_field(
    axes: "matplotlib.axes.Axes",
    values: Float[np.ndarray, "rows columns"],
    extent: tuple[int | float, int | float, int | float, int | float],
    limits: tuple[int | float, int | float],
) -> "matplotlib.image.AxesImage":
    """Draws one function as colors, without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(
        np.ma.masked_invalid(values),
        cmap=_style.diverging(_style.VERMILLION, _style.BLUE).with_extremes(bad=_style.RULE),
        vmin=limits[0],
        vmax=limits[1],
        origin="lower",
        extent=extent,
        interpolation="nearest",
    )
