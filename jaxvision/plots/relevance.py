"""Maps of relevance over the image that they explain."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from jaxvision.plots import _style
from jaxvision.plots.images import checked_image

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.colors
    import matplotlib.figure

SIDE = 2.3
"""Width of a panel in inches."""
_PIXELATED = 96  # largest side, in pixels, of images that show square pixels
_LETTERS, _TITLE_LETTERS = 36, 32  # of a line of text under a panel, and above it

Map = Float[np.ndarray, "height width"] | Float[np.ndarray, "height width _"]


def attributions(
    image: _style.ArrayLike,
    maps: Sequence[Map],
    titles: Sequence[str],
    notes: Sequence[str] = (),
    *,
    scores: Mapping[str, float] | None = None,
    scores_title: str = "probability",
    region: _style.ArrayLike | None = None,
    image_title: str = "image",
    columns: int = 4,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws an image, and maps of relevance over a pale copy of it, all in one color scale.

    Each map is divided by the 99.5th percentile of its absolute values, as a few pixels often
    exceed all others; beyond it the color stays the same. Where the relevance is 0, the pale image
    is seen.

    Args:
        image: The image, `height width channels`, gray or RGB: uint8 or floats in [0, 1].
        maps: Relevance of its pixels, such as rows of `Attribution.map`; channels are added up.
        titles: Names of the maps, such as their methods.
        notes: A short text under each map, such as its certificate; without any, none is drawn.
        scores: Numbers to draw as bars by name, such as probabilities of classes. None draws none.
        scores_title: What these numbers are.
        region: A mask, `height width`, of pixels to outline in the image, such as those whose score
            is explained.
        image_title: What the image shows.
        columns: Panels per row.
        title: Title of the figure.

    Returns:
        The figure, with a color bar.

    Raises:
        ValueError: There is no map, the numbers of maps and texts differ, a map is not finite, a
            map or the region is of another size than the image, or the image cannot be shown.
        ImportError: Matplotlib is not installed.

    >>> image = np.linspace(0, 1, 64).reshape(8, 8, 1)
    >>> figure = attributions(image, [image - 0.5], ["gradient"], scores={"cat": 0.9, "dog": 0.1})
    >>> [axes.get_title() for axes in figure.axes][:3]
    ['image', 'probability', 'gradient']
    """
    pixels = as_float(checked_image(image, "image"))
    relevances = _checked(pixels, maps, titles, notes)
    if region is not None and np.shape(region) != pixels.shape[:2]:
        raise ValueError(
            f"region must have the image's height and width, {pixels.shape[:2]}, got "
            f"{np.shape(region)}"
        )
    count = 1 + bool(scores) + len(relevances)
    across = min(columns, count)
    rows = -(-count // across)
    height = SIDE * min(1.6, max(0.5, pixels.shape[0] / pixels.shape[1])) + 0.6
    figure = _style.new_figure(SIDE * across + 0.9, height * rows + 0.4, title)
    grid = figure.subplots(rows, across, squeeze=False)
    panels = list(grid.flat)
    show_image(panels[0], pixels, image_title)
    if region is not None:
        _outline(panels[0], np.asarray(region))
    if scores:
        draw_bars(panels[1], scores, scores_title, ratio=pixels.shape[0] / pixels.shape[1])
    first = 1 + bool(scores)
    for number, relevance in enumerate(relevances):
        note = notes[number] if notes else ""
        show_image(panels[first + number], _painted(pixels, relevance), titles[number], note)
    for axes in panels[count:]:
        axes.set_visible(False)
    draw_scale(figure, grid, rows)
    return figure


def relevance_overlay(
    image: _style.ArrayLike, relevance: Map
) -> Float32[np.ndarray, "height width 3"]:
    """Paints a map of relevance over a pale copy of its image, in the colors of `attributions`.

    Args:
        image: The image, `height width channels`, gray or RGB: uint8 or floats in [0, 1].
        relevance: Relevance of its pixels; channels are added up.

    Returns:
        RGB in [0, 1], for example for `image_grid`.

    Raises:
        ValueError: The map is not finite or of another size than the image, or the image cannot be
            shown.

    >>> painted = relevance_overlay(np.ones((1, 3, 1)), np.array([[-1.0, 0.0, 1.0]]))
    >>> print(painted[0].round(2))
    [[0.   0.45 0.7 ]
     [1.   1.   1.  ]
     [0.84 0.37 0.  ]]
    """
    pixels = as_float(checked_image(image, "image"))
    return _painted(pixels, _checked(pixels, [relevance], ["map"], [])[0]).astype(np.float32)


def _painted(pixels: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    behind = 0.75 + 0.25 * pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
    share = scaled(relevance)
    strength = np.abs(share)[..., None]
    painted: np.ndarray = (1 - strength) * behind + strength * colors()(share / 2 + 0.5)[..., :3]
    return painted


def colors() -> "matplotlib.colors.ListedColormap":
    """The colors of relevance, from the lowest to the highest."""
    return _style.diverging(_style.BLUE, _style.VERMILLION)


def scaled(relevance: Float[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Divides a map by the 99.5th percentile of its absolute values, and cuts it at -1 and 1.

    >>> scaled(np.array([[0.0, -4.0]])).tolist()
    [[0.0, -1.0]]
    """
    values = np.asarray(relevance, np.float64)
    most = np.percentile(np.abs(values), 99.5) or np.abs(values).max()
    return np.clip(values / most, -1, 1) if most else values


def _checked(
    pixels: np.ndarray, maps: Sequence[Map], titles: Sequence[str], notes: Sequence[str]
) -> list[np.ndarray]:
    """Maps with their channels added up."""
    check_texts(maps, titles, notes)
    found = []
    for number, each in enumerate(maps):
        array = np.asarray(each, np.float64)
        if array.ndim == 3:
            array = array.sum(axis=2)
        if array.shape != pixels.shape[:2]:
            raise ValueError(
                f"map {number} must have the image's height and width, {pixels.shape[:2]}, got "
                f"{np.shape(each)}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"map {number} ({titles[number]}) is not finite")
        found.append(array)
    return found


def check_texts(maps: Sequence[Any], titles: Sequence[str], notes: Sequence[str]) -> None:
    """Raises ValueError if there is no map, or the numbers of maps and texts differ."""
    if not len(maps):
        raise ValueError("maps is empty: there is nothing to show")
    if len(titles) != len(maps) or len(notes) not in (0, len(maps)):
        raise ValueError(
            f"{len(maps)} maps need as many titles, and no notes or as many; got {len(titles)} "
            f"and {len(notes)}"
        )


def as_float(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 1."""
    return pixels / 255 if pixels.dtype == np.uint8 else pixels


def show_image(
    axes: "matplotlib.axes.Axes", pixels: np.ndarray, title: str, note: str = ""
) -> None:
    """Shows an image without ticks, with a text below."""
    dress(axes, title, note)
    axes.imshow(
        pixels if pixels.shape[2] != 1 else pixels[..., 0],
        cmap="gray",
        vmin=0,
        vmax=1,
        origin="upper",
        interpolation="nearest" if max(pixels.shape) <= _PIXELATED else "antialiased",
    )


def _outline(axes: "matplotlib.axes.Axes", region: Bool[np.ndarray, "height width"]) -> None:
    """Draws the borders of a region: a bright line on a dark one, to be seen on any image."""
    from matplotlib.collections import LineCollection

    padded = np.pad(region, 1)
    rows, columns = np.nonzero(padded[1:] != padded[:-1])
    lines = [[(x - 1.5, y - 0.5), (x - 0.5, y - 0.5)] for y, x in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(padded[:, 1:] != padded[:, :-1])
    lines += [[(x - 0.5, y - 1.5), (x - 0.5, y - 0.5)] for y, x in zip(rows, columns, strict=True)]
    for color, width in ((_style.INK, 2.0), (_style.ORANGE, 1.0)):
        axes.add_collection(LineCollection(lines, colors=color, linewidths=width, capstyle="round"))


def dress(axes: "matplotlib.axes.Axes", title: str, note: str) -> None:
    """Sets the title of a panel without ticks, and a text below it."""
    _style.dress(axes, title=textwrap.fill(title, _TITLE_LETTERS))
    axes.set_xlabel(
        textwrap.fill(note, _LETTERS),
        fontsize=_style.SMALL_SIZE,
        color=_style.INK,
        parse_math=False,
    )
    axes.set(xticks=[], yticks=[])


def draw_bars(
    axes: "matplotlib.axes.Axes",
    scores: Mapping[str, float],
    title: str,
    note: str = "",
    *,
    ratio: float = 1.0,
    color: Any = _style.BLUE,
) -> None:
    """Draws numbers as bars with their names above them, the first on top."""
    dress(axes, title, note)
    values = list(scores.values())
    places = np.arange(len(values))[::-1]
    axes.barh(places, values, height=0.35, color=color, linewidth=0)
    axes.axvline(0, color=_style.QUIET, linewidth=0.8, marker="")
    for place, (name, value) in zip(places, scores.items(), strict=True):
        axes.text(
            0.0,
            place + 0.24,
            f"{_style.elide(str(name), _LETTERS - 8)}  {value:z.3g}",
            transform=axes.get_yaxis_transform(),
            fontsize=_style.SMALL_SIZE,
            color=_style.INK,
            parse_math=False,
        )
    axes.set_ylim(-0.6, len(values) - 0.2)
    axes.margins(x=0.02)
    axes.set_box_aspect(ratio)
    axes.spines[:].set_visible(False)


def draw_scale(figure: "matplotlib.figure.Figure", grid: np.ndarray, rows: int) -> None:
    """Draws the color bar of relevance beside all panels."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shown = ScalarMappable(Normalize(-1, 1), colors())
    what = "relevance / its 99.5th percentile\nblue lowers the score, red raises it"
    _style.color_bar(figure, shown, grid, what, shrink=min(1.0, 2.0 / rows), aspect=25.0)
