"""Points in the plane, colored by class."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Integer

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_COLORS = (*_style.PALETTE, "#000000", "#882255", "#999933", "#332288")
"""The palette, and darker colors, so that ten classes differ where markers are hidden."""
_MARKERS = ("o", "s", "^", "D", "v", "P")
_MOST_NAMED = 20
"""The most classes for which there is a legend."""
_PANEL = 4.0  # inches
_THUMBNAIL = 0.035
"""Side of an image relative to that of the panel."""
_Plane = Float64[np.ndarray, "points 2"]
_Classes = Integer[np.ndarray, " points"]


def scatter(
    points: ArrayLike,
    labels: ArrayLike | None = None,
    class_names: Sequence[str] = (),
    *,
    axes: tuple[str, str] = ("", ""),
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws points in the plane, such as the codes or embeddings of images.

    Each of up to 60 classes has its own color and marker; its name is at the median of its points.

    Args:
        points: Points of shape (points, 2).
        labels: Class of each point; negative ones are gray. None draws all points gray.
        class_names: Class names; a class without a name is shown by its number.
        axes: Labels of the two axes.
        title: Title of the figure.

    Raises:
        ValueError: There are no points, they are not finite or not in the plane, or the number of
            labels is not that of the points.
        ImportError: Matplotlib is not installed.

    >>> figure = scatter([[0.0, 1.0], [1.0, 0.0]], [0, 1], ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['cat', 'dog']
    """
    plane, classes = _checked(points, labels)
    figure = _style.new_figure(6.0, 5.4, title)
    drawing = figure.subplots()
    _style.dress(drawing, x=axes[0], y=axes[1])
    _draw_classes(drawing, plane, classes)
    _draw_names(drawing, plane, classes, class_names)
    return figure


def embeddings(
    points: Mapping[str, ArrayLike],
    labels: ArrayLike | None = None,
    class_names: Sequence[str] = (),
    *,
    images: ArrayLike | None = None,
    columns: int = 3,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws several embeddings of the same points side by side.

    The panels have no axes, because only the nearness of points is meaningful. A legend has the
    colors of up to 20 classes.

    Args:
        points: Points of shape (points, 2), by the title of their panel.
        labels: Class of each point; negative ones are gray. None draws all points gray.
        class_names: Class names; a class without a name is shown by its number.
        images: (points, height, width) or (points, height, width, channels), floats in [0, 1] or
            integers from 0 to 255. Images that do not overlap are drawn at their points, framed in
            the color of their class.
        columns: Panels per row.
        title: Title of the figure.

    Raises:
        ValueError: There are no panels or points, points are not finite or not in the plane, or the
            number of labels or images is not that of the points.
        ImportError: Matplotlib is not installed.

    >>> figure = embeddings({"t-SNE": [[0.0, 1.0], [1.0, 0.0]]}, [0, 1])
    >>> figure.axes[0].get_title()
    't-SNE'
    """
    if not points:
        raise ValueError("points is empty: there is nothing to draw")
    rows, across = -(-len(points) // columns), min(columns, len(points))
    figure = _style.new_figure(_PANEL * across, (_PANEL + 0.25) * rows, title)
    grid = figure.subplots(rows, across, squeeze=False)
    for axes in grid.flat[len(points) :]:
        axes.set_visible(False)
    for axes, (name, each) in zip(grid.flat, points.items(), strict=False):
        plane, classes = _checked(each, labels)
        _style.dress(axes, title=name)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", adjustable="datalim")
        _draw_classes(axes, plane, classes)
        if images is not None:
            _draw_images(axes, plane, classes, np.asarray(images))
        _draw_names(axes, plane, classes, class_names)
    if 0 < len(np.unique(classes[classes >= 0])) <= _MOST_NAMED:
        _legend(figure, classes, class_names)
    return figure


def _checked(points: ArrayLike, labels: ArrayLike | None) -> tuple[_Plane, _Classes]:
    plane = np.asarray(points, np.float64)
    if plane.ndim != 2 or plane.shape[1] != 2 or not len(plane) or not np.isfinite(plane).all():
        raise ValueError(f"points must be finite, (points, 2), and at least one, got {plane.shape}")
    classes = np.full(len(plane), -1) if labels is None else np.asarray(labels)
    if classes.shape != (len(plane),) or classes.dtype.kind not in "iu":
        raise ValueError(
            f"{len(plane)} points need as many labels, whole numbers, got {classes.dtype} of "
            f"{classes.shape}"
        )
    return plane, classes


def _look(number: int) -> tuple[str, str]:
    """Color and marker of a class."""
    if number < 0:
        return _style.QUIET, "o"
    return _COLORS[number % len(_COLORS)], _MARKERS[number // len(_COLORS) % len(_MARKERS)]


def _draw_classes(axes: "matplotlib.axes.Axes", plane: _Plane, classes: _Classes) -> None:
    size = float(np.clip(6000 / len(plane), 3, 30))
    for number in np.unique(classes).tolist():
        color, marker = _look(number)
        row = plane[classes == number]
        axes.scatter(row[:, 0], row[:, 1], s=size, c=color, marker=marker, linewidths=0, alpha=0.75)


def _name(number: int, class_names: Sequence[str]) -> str:
    name = class_names[number] if 0 <= number < len(class_names) else str(number)
    return "no class" if number < 0 else _style.elide(str(name), 20)


def _legend(
    figure: "matplotlib.figure.Figure", classes: _Classes, class_names: Sequence[str]
) -> None:
    """Draws one legend below all panels."""
    from matplotlib.lines import Line2D

    handles = []
    for number in np.unique(classes).tolist():
        color, marker = _look(number)
        name = _name(number, class_names)
        handles.append(Line2D([], [], color=color, marker=marker, linestyle="None", label=name))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), max(1, int(figure.get_size_inches()[0] / 0.8))),
        frameon=False,
        handletextpad=0.1,
        fontsize=_style.SMALL_SIZE,
        labelcolor=_style.INK,
    )


def _draw_names(
    axes: "matplotlib.axes.Axes", plane: _Plane, classes: _Classes, class_names: Sequence[str]
) -> None:
    """Writes the name of each class at the median of its points."""
    for number in np.unique(classes[classes >= 0]).tolist():
        axes.annotate(
            _name(number, class_names),
            np.median(plane[classes == number], axis=0),
            ha="center",
            va="center",
            fontsize=_style.TEXT_SIZE,
            color=_style.INK,
            parse_math=False,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.8, "lw": 0},
        )


def _draw_images(
    axes: "matplotlib.axes.Axes", plane: _Plane, classes: _Classes, images: np.ndarray
) -> None:
    """Draws the images of points, except those that would overlap earlier ones."""
    if images.ndim not in (3, 4) or len(images) != len(plane):
        raise ValueError(
            f"{len(plane)} points need as many images, (points, height, width) or with channels, "
            f"got {images.shape}"
        )
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    whole = images.dtype.kind in "iu"
    middle = (plane.min(axis=0) + plane.max(axis=0)) / 2
    side = np.ptp(plane, axis=0).max() * 1.1 or 1.0
    axes.set_xlim(middle[0] - side / 2, middle[0] + side / 2)
    axes.set_ylim(middle[1] - side / 2, middle[1] + side / 2)
    half = side * _THUMBNAIL / 2
    shown: list[int] = []
    for index, place in enumerate(plane):
        if shown and np.abs(plane[shown] - place).max(axis=1).min() < 2.6 * half:
            continue
        shown.append(index)
        x, y = place
        axes.imshow(
            images[index],
            cmap="gray_r" if images.ndim == 3 else None,
            vmin=0,
            vmax=255 if whole else 1,
            extent=(x - half, x + half, y - half, y + half),
            origin="upper",
            interpolation="nearest",
            aspect="auto",
            zorder=2.5,
        )
        color, _ = _look(int(classes[index]))
        axes.plot(
            x + half * np.array([-1, 1, 1, -1, -1]),
            y + half * np.array([-1, -1, 1, 1, -1]),
            color=color,
            linewidth=0.8,
            linestyle="-",
            marker="",
            zorder=2.6,
        )
    axes.set_aspect("equal", adjustable="box")
