"""Values and policies of grid worlds."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from jaxvision.plots import _style

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_WAYS = ((0, -1), (1, 0), (0, 1), (-1, 0))  # (right, down) of the actions up, right, down, left
_CELL = 0.75  # inches
_TRAP = "#D0D0D0"
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}


def gridworld(
    values: Float[np.ndarray, "rows columns"],
    policy: Float[np.ndarray, "rows columns 4"] | None = None,
    *,
    terminal: Bool[np.ndarray, "rows columns"] | None = None,
    traps: Bool[np.ndarray, "rows columns"] | None = None,
    title: str | None = None,
    decimals: int = 1,
) -> "matplotlib.figure.Figure":
    """Draws the value of every cell as a color and a number, and the policy as arrows.

    The length of an arrow is the probability of its action, relative to the most probable one.

    Args:
        values: Values of the cells; NaN is a wall.
        policy: Probabilities of going up, right, down and left; None draws no arrows.
        terminal: Cells that end an episode; they have a frame and a name instead of arrows.
        traps: Bad terminal cells, hatched in gray and named `trap`; the others are named `goal`.
            None names all `end`.
        title: Title of the figure.
        decimals: Decimals of the numbers.

    Raises:
        ValueError: The shapes do not fit, or there are no cells.
        ImportError: Matplotlib is not installed.

    >>> figure = gridworld(np.array([[0.0, -1.0], [-1.0, np.nan]]))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.0', '-1.0', '-1.0']
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not np.isfinite(values).any():
        raise ValueError(f"values must be rows of cells, not all walls, got shape {values.shape}")
    for name, array, shape in (
        ("policy", policy, (*values.shape, 4)),
        ("terminal", terminal, values.shape),
        ("traps", traps, values.shape),
    ):
        if array is not None and np.shape(array) != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {np.shape(array)}")
    rows, columns = values.shape
    figure = _style.new_figure(max(2.5, _CELL * columns + 0.6), _CELL * rows + 0.8, title)
    axes = figure.add_subplot()
    colors = _style.ramp("#F4F8FB", _style.BLUE).with_extremes(bad=_style.INK)
    low, high = np.nanmin(values), np.nanmax(values)
    shares = (values - low) / (high - low if high > low else 1)
    axes.imshow(np.ma.masked_invalid(shares), cmap=colors, vmin=0, vmax=1, interpolation="nearest")
    for row, column in np.argwhere(np.isfinite(values)).tolist():
        kind = _kind(terminal, traps, row, column)
        ink = "black" if kind == "trap" else _style.text_color(colors(shares[row, column]))
        _number(axes, row, column, f"{values[row, column]:.{decimals}f}", ink)
        if kind is not None:
            _frame(axes, row, column, kind, ink)
        elif policy is not None:
            _arrows(axes, row, column, np.asarray(policy[row, column]), ink)
    axes.set_xticks(np.arange(columns + 1) - 0.5, [])
    axes.set_yticks(np.arange(rows + 1) - 0.5, [])
    axes.tick_params(length=0)
    axes.grid(visible=True, color="white", linewidth=1.5)
    axes.spines[:].set_visible(False)
    return figure


def _kind(
    terminal: Bool[np.ndarray, "rows columns"] | None,
    traps: Bool[np.ndarray, "rows columns"] | None,
    row: int,
    column: int,
) -> str | None:
    """The name of a terminal cell; None for others."""
    if terminal is None or not terminal[row, column]:
        return None
    return "end" if traps is None else "trap" if traps[row, column] else "goal"


def _number(axes: "matplotlib.axes.Axes", row: int, column: int, text: str, color: str) -> None:
    """Writes the value in the middle of a cell."""
    size = _style.SMALL_SIZE
    axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)


def _arrows(
    axes: "matplotlib.axes.Axes",
    row: int,
    column: int,
    odds: Float[np.ndarray, "4"],
    color: str,
) -> None:
    """Draws arrows from around the number towards the edges of the cell."""
    for (right, down), probability in zip(_WAYS, odds, strict=True):
        length = 0.2 * probability / odds.max()
        if length < 0.02:
            continue
        start = np.array([column + 0.24 * right, row + 0.24 * down])
        axes.annotate(
            "",
            xy=(start[0] + length * right, start[1] + length * down),
            xytext=tuple(start),
            arrowprops={"arrowstyle": "->", "color": color, "lw": 1.1, "shrinkA": 0, "shrinkB": 0},
        )


def _frame(axes: "matplotlib.axes.Axes", row: int, column: int, kind: str, ink: str) -> None:
    """Draws the frame of a terminal cell, and its name."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (column - 0.45, row - 0.45),
            0.9,
            0.9,
            fill=kind == "trap",
            facecolor=_TRAP,
            edgecolor=_style.VERMILLION if kind == "trap" else _style.GREEN,
            linewidth=2.5,
            hatch="////" if kind == "trap" else None,
        )
    )
    axes.text(
        column,
        row + 0.34,
        kind,
        ha="center",
        va="center",
        fontsize=_style.SMALL_SIZE,
        fontweight="bold",
        color="black" if kind == "trap" else ink,
        bbox=_PAPER if kind == "trap" else None,
    )
