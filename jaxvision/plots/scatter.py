"""Points in the plane, with their classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.figure

_MARKERS = ("o", "s", "^", "D", "v", "P")


def scatter(
    points: ArrayLike,
    labels: ArrayLike | None = None,
    class_names: Sequence[str] = (),
    *,
    axes: tuple[str, str] = ("", ""),
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws points in the plane, such as the codes or the embeddings of images.

    Each class has a color and a shape of its own, for up to 36 classes, and its name stands at the
    median of its points.

    Args:
        points: (points, 2).
        labels: The class of each point; negative ones have none, and are gray. None draws all gray.
        class_names: Names of the classes; classes without a name are numbered.
        axes: What the two axes are.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: There are no points, they are not in the plane or not finite, or there are not
            as many labels.
        ImportError: Matplotlib is not installed.

    >>> figure = scatter([[0.0, 1.0], [1.0, 0.0]], [0, 1], ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['cat', 'dog']
    """
    plane = np.asarray(points, np.float64)
    if plane.ndim != 2 or plane.shape[1] != 2 or not len(plane) or not np.isfinite(plane).all():
        raise ValueError(f"points must be finite, (points, 2), and at least one, got {plane.shape}")
    classes = np.full(len(plane), -1) if labels is None else np.asarray(labels)
    if classes.shape != (len(plane),) or classes.dtype.kind not in "iu":
        raise ValueError(
            f"{len(plane)} points need as many labels, whole numbers, got {classes.dtype} of "
            f"{classes.shape}"
        )
    figure = _style.new_figure(6.0, 5.4, title)
    drawing = figure.subplots()
    _style.dress(drawing, x=axes[0], y=axes[1])
    size = float(np.clip(6000 / len(plane), 3, 30))
    for number in np.unique(classes):
        row = plane[classes == number]
        color, marker = _style.QUIET, "o"
        if number >= 0:
            color = _style.PALETTE[number % len(_style.PALETTE)]
            marker = _MARKERS[number // len(_style.PALETTE) % len(_MARKERS)]
        drawing.scatter(
            row[:, 0], row[:, 1], s=size, c=color, marker=marker, linewidths=0, alpha=0.75
        )
        if number >= 0:
            name = class_names[number] if number < len(class_names) else str(number)
            drawing.annotate(
                _style.elide(str(name), 20),
                np.median(row, axis=0),
                ha="center",
                va="center",
                fontsize=_style.TEXT_SIZE,
                color=_style.INK,
                parse_math=False,
                bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.8, "lw": 0},
            )
    return figure
