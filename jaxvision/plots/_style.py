"""Shared style of all figures: colors, sizes, text and layout.

The style is set on the artists, not in `rcParams`, which are global: even a temporary change would
affect a figure that another thread is drawing.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float64

from jaxvision._palette import OKABE_ITO

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis
    import matplotlib.cm
    import matplotlib.colors
    import matplotlib.figure

ArrayLike = np.ndarray | jax.Array | Sequence[Any]
"""Accepted arrays: NumPy and JAX arrays, lists, tuples."""

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = PALETTE = OKABE_ITO

INK, QUIET, RULE = "#333333", "#999999", "#E4E4E4"
"""Colors of text, of references to compare with, and of guide lines."""

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 11.0, 9.0, 8.0
"""Font sizes in points."""

# Matrices of Oklab: from linear sRGB to cone responses, and from their cube roots to lightness
# and two opponent colors (Ottosson, A perceptual color space for image processing, 2020).
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def require_matplotlib() -> None:
    """Raises an ImportError if Matplotlib is missing; call it before a run that ends in figures.

    >>> require_matplotlib()
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError("figures need matplotlib: pip install matplotlib") from None


def new_figure(width: float, height: float, title: str | None = None) -> "matplotlib.figure.Figure":
    """Makes an empty figure, of a size in inches, that pyplot does not manage.

    >>> new_figure(4.0, 3.0).get_size_inches()
    array([4., 3.])
    """
    require_matplotlib()
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from jaxvision.plots._figure import NotebookFigure

    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.06, hspace=0.06)
    figure = NotebookFigure(figsize=(width, height), layout=layout, facecolor="white")
    if title is not None:
        entitle(figure, title)
    return figure


def entitle(figure: "matplotlib.figure.Figure", title: str, *, y: float | None = None) -> None:
    """Sets the title of a figure; `y` is its top as a share of the height, or None."""
    figure.suptitle(title, y=y, fontsize=TITLE_SIZE, color=INK, parse_math=False)


def dress(
    axes: "matplotlib.axes.Axes", *, title: str = "", x: str = "", y: str = "", grid: bool = False
) -> None:
    """Sets title and labels of axes, and the look that all axes share; `grid` draws grid lines."""
    axes.set_title(title, fontsize=TEXT_SIZE, color=INK, parse_math=False)
    axes.set_xlabel(x, fontsize=TEXT_SIZE, color=INK, parse_math=False)
    axes.set_ylabel(y, fontsize=TEXT_SIZE, color=INK, parse_math=False)
    axes.set_facecolor("white")
    axes.tick_params(labelsize=SMALL_SIZE, color=QUIET, labelcolor=INK)
    axes.tick_params(which="minor", color=QUIET)
    axes.spines[:].set_color(QUIET)
    axes.grid(visible=False, which="both")
    if grid:
        axes.grid(visible=True, color=RULE, linewidth=0.8, linestyle="-")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)


def log_ticks(axis: "matplotlib.axis.Axis", least: float, largest: float) -> None:
    """Labels a logarithmic axis with a few plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    few = largest < 1000 * least
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def color_bar(
    figure: "matplotlib.figure.Figure",
    colors: "matplotlib.cm.ScalarMappable",
    beside: Any,
    what: str,
    *,
    shrink: int | float,
    aspect: int | float,
) -> None:
    """Draws a color bar beside axes; `shrink` and `aspect` are those of `Figure.colorbar`."""
    bar = figure.colorbar(colors, ax=beside, shrink=shrink, aspect=aspect, pad=0.02)
    bar.outline.set_visible(False)
    dress(bar.ax, y=what)


def legend(figure: "matplotlib.figure.Figure", panels: Iterable["matplotlib.axes.Axes"]) -> None:
    """Draws one legend below all panels, with each label once."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    # Widths in inches, 0.06 per letter. One row if it fits, else columns as wide as the widest.
    widths = [0.6 + 0.06 * len(label) for label in handles]
    room = figure.get_size_inches()[0]
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=len(widths) if sum(widths) <= room else max(1, int(room / max(widths))),
        frameon=False,
        fontsize=SMALL_SIZE,
        labelcolor=INK,
    )


def elide(text: str, length: int) -> str:
    """Shortens the middle of a text, since similar names differ at their ends.

    >>> elide("black-footed albatross", 15)
    'black-f…batross'
    """
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def percent(share: float) -> str:
    """A share as a percentage with at most one decimal; only 1 is written as 100%, only 0 as 0%.

    >>> percent(1.0), percent(0.125), percent(0.9999), percent(0.0001)
    ('100%', '12.5%', '>99.9%', '<0.1%')
    """
    if 0.9995 <= share < 1:
        return ">99.9%"
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def ramp(light: str, dark: str) -> "matplotlib.colors.ListedColormap":
    """Makes a perceptually uniform color map of 256 colors: a straight line in Oklab.

    Reference: Ottosson, A perceptual color space for image processing, 2020.

    >>> from matplotlib.colors import to_hex
    >>> [to_hex(color) for color in ramp("white", "black")([0.0, 0.5, 1.0])]
    ['#ffffff', '#636363', '#000000']
    """
    from matplotlib.colors import ListedColormap, to_rgb

    ends = _to_oklab(np.array([to_rgb(light), to_rgb(dark)]))
    return ListedColormap(_from_oklab(np.linspace(ends[0], ends[1], 256)))


def diverging(low: str, high: str) -> "matplotlib.colors.ListedColormap":
    """Makes a color map from one color through white to another; each half is a `ramp`.

    >>> from matplotlib.colors import to_hex
    >>> [to_hex(color) for color in diverging("red", "blue")([0.0, 0.5, 1.0])]
    ['#ff0000', '#ffffff', '#0000ff']
    """
    from matplotlib.colors import ListedColormap

    halves = [np.asarray(ramp("white", color).colors) for color in (low, high)]
    return ListedColormap(np.concatenate([halves[0][:0:-1], halves[1]]))


def text_color(background: ArrayLike) -> str:
    """Black or white, whichever is more readable on an RGB color in [0, 1].

    >>> text_color((1.0, 0.9, 0.8)), text_color((0.1, 0.1, 0.5))
    ('black', 'white')
    """
    rgb = np.asarray(background, dtype=np.float64)[:3]
    luminance = _linear(rgb) @ np.array([0.2126, 0.7152, 0.0722])
    # Black and white have equal WCAG 2 contrast here: (l + .05) / .05 = 1.05 / (l + .05).
    return "black" if luminance > 0.179 else "white"


def _linear(srgb: Float64[np.ndarray, "*colors rgb"]) -> Float64[np.ndarray, "*colors rgb"]:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _to_oklab(srgb: Float64[np.ndarray, "*colors rgb"]) -> Float64[np.ndarray, "*colors lab"]:
    return np.cbrt(_linear(srgb) @ _CONES.T) @ _OKLAB.T


def _from_oklab(lab: Float64[np.ndarray, "*colors lab"]) -> Float64[np.ndarray, "*colors rgb"]:
    linear = (lab @ np.linalg.inv(_OKLAB).T) ** 3 @ np.linalg.inv(_CONES).T
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
