"""Receptive fields: what a unit of a network depends on, over the image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxvision.plots import _style

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure
    import matplotlib.image

_SIDE = 2.5  # inches

Map = Float[np.ndarray, "height width"]
Box = tuple[tuple[int, int], tuple[int, int]]


def receptive_fields(
    maps: Sequence[Map],
    titles: Sequence[str],
    boxes: Sequence[Box | None] = (),
    ellipses: Sequence[tuple[_style.ArrayLike, _style.ArrayLike] | None] = (),
    *,
    columns: int = 3,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws how much a unit depends on each pixel, one panel per unit, each to its own scale.

    Args:
        maps: How much each pixel matters, such as `EffectiveField.map`; 0 or more.
        titles: Titles of the panels.
        boxes: Theoretical field of each unit, drawn as a frame: its rows and columns as
            ((first, end), (first, end)). None if the unit sees all. Parts outside of the image are
            not drawn.
        ellipses: Mean row and column of each map, and their standard deviations: an ellipse of two
            standard deviations is drawn. None draws none.
        columns: Panels per row.
        title: Title of the figure.

    Returns:
        The figure, with a color bar and a legend.

    Raises:
        ValueError: There is no map, a map is negative or not finite, or the arguments differ in
            length.
        ImportError: Matplotlib is not installed.

    >>> field = np.outer(np.hanning(9), np.hanning(9))
    >>> figure = receptive_fields([field], ["stride 4"], [((1, 8), (1, 8))], [((4, 4), (1, 1))])
    >>> figure.axes[0].get_title()
    'stride 4'
    """
    _check(maps, {"titles": titles, "boxes": boxes, "ellipses": ellipses})
    across = min(columns, len(maps))
    rows = -(-len(maps) // across)
    figure = _style.new_figure(max(_SIDE * across + 0.9, 4.6), (_SIDE + 0.35) * rows + 0.7, title)
    grid = figure.subplots(rows, across, squeeze=False)
    shown = None
    for index, axes in enumerate(grid.flat):
        if index >= len(maps):
            axes.set_visible(False)
            continue
        below, right = index + across < len(maps), index % across > 0
        x, y = "" if below else "column (pixels)", "" if right else "row (pixels)"
        _style.dress(axes, title=titles[index], x=x, y=y)
        shown = _draw_map(axes, maps[index])
        if boxes and (box := boxes[index]) is not None:
            _draw_box(axes, box)
        if ellipses and (ellipse := ellipses[index]) is not None:
            _draw_ellipse(axes, ellipse)
    assert shown is not None
    what = "dependence, as a share of the largest"
    _style.color_bar(figure, shown, grid, what, shrink=min(1.0, 1.6 / rows), aspect=25.0)
    _style.legend(figure, grid.flat)
    return figure


def _check(maps: Sequence[Map], others: dict[str, Sequence[Any]]) -> None:
    if not len(maps):
        raise ValueError("maps is empty: there is nothing to show")
    for name, given in others.items():
        if len(given) != len(maps) and (name == "titles" or len(given)):
            raise ValueError(f"{len(maps)} maps need as many {name}, got {len(given)}")
    for index, each in enumerate(maps):
        array = np.asarray(each)
        if array.ndim != 2 or not (np.isfinite(array) & (array >= 0)).all():
            raise ValueError(
                f"map {index} must be (height, width), finite and not negative, got "
                f"{array.shape} from {array.min():.4g} to {array.max():.4g}"
            )


def _draw_map(axes: "matplotlib.axes.Axes", values: Map) -> "matplotlib.image.AxesImage":
    array = np.asarray(values, np.float64)
    return axes.imshow(
        array / max(array.max(), np.finfo(np.float64).tiny),
        cmap=_style.ramp("white", _style.BLUE),
        vmin=0,
        vmax=1,
        origin="upper",
        interpolation="nearest",
    )


def _draw_box(axes: "matplotlib.axes.Axes", box: Box) -> None:
    from matplotlib.patches import Rectangle

    (top, bottom), (left, right) = box
    # Pixels reach half a pixel to each side of their row and column.
    frame = Rectangle(
        (left - 0.5, top - 0.5),
        right - left,
        bottom - top,
        fill=False,
        edgecolor=_style.INK,
        linewidth=1.2,
        label="can depend on (theoretical field)",
    )
    axes.add_patch(frame)


def _draw_ellipse(
    axes: "matplotlib.axes.Axes", ellipse: tuple[_style.ArrayLike, _style.ArrayLike]
) -> None:
    from matplotlib.patches import Ellipse

    (row, column), (height, width) = (np.asarray(pair, np.float64) for pair in ellipse)
    axes.add_patch(
        Ellipse(
            (column, row),
            4 * width,
            4 * height,
            fill=False,
            edgecolor=_style.VERMILLION,
            linewidth=1.2,
            label="two standard deviations",
        )
    )
