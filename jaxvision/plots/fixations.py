"""Densities of fixations beside their images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure
    import matplotlib.image

Maps = Float64[np.ndarray, "images height width"]

_SIDE = 1.7  # inches
_LOWEST = 0.1
"""Lowest value of the color scale, in multiples of the uniform density."""


def fixation_densities(
    images: ArrayLike,
    densities: dict[str, ArrayLike],
    fixations: ArrayLike | None = None,
    *,
    captions: Sequence[str] | None = None,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws a row for each image: the image with fixations as dots, then each density.

    All densities have one logarithmic color scale, in multiples of the uniform density.

    Args:
        images: (images, height, width, channels); gray, RGB or RGBA; uint8, or floats in [0, 1].
        densities: Densities of the pixels by their name, (images, height, width); each is divided
            by its sum.
        fixations: Positions x, y of fixations, (images, fixations, 2); those that are NaN are left
            out. None draws none.
        captions: Title of each image; None numbers them.
        title: Title of the figure.

    Returns:
        The figure, with a color bar: one axes per image and density.

    Raises:
        ValueError: There are no images or densities, their sizes or numbers differ, or a density is
            negative, not finite or 0 everywhere.
        ImportError: Matplotlib is not installed.

    >>> images, density = np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8))
    >>> figure = fixation_densities(images, {"truth": density}, np.full((2, 1, 2), 3.0))
    >>> [axes.get_title() for axes in figure.axes[:4]]
    ['image 0', 'truth', 'image 1', '']
    """
    pixels = np.asarray(images)
    if not len(pixels) or not densities:
        raise ValueError("there is nothing to show: give an image and a density at least")
    maps = {name: _relative(name, np.asarray(each), pixels) for name, each in densities.items()}
    captions = [f"image {row}" for row in range(len(pixels))] if captions is None else captions
    dots = np.full((len(pixels), 1, 2), np.nan) if fixations is None else np.asarray(fixations)
    for what, given in (("captions", captions), ("rows of fixations", dots)):
        if len(given) != len(pixels):
            raise ValueError(f"{len(pixels)} images need as many {what}, got {len(given)}")
    highest = max(float(each.max()) for each in maps.values())
    columns = 1 + len(maps)
    figure = _style.new_figure(_SIDE * columns + 1.1, (_SIDE + 0.1) * len(pixels) + 0.7, title)
    grid = figure.subplots(len(pixels), columns, squeeze=False)
    shown = None
    for row, axes_of_row in enumerate(grid):
        _draw_image(axes_of_row[0], pixels[row], dots[row], captions[row])
        for axes, (name, each) in zip(axes_of_row[1:], maps.items(), strict=True):
            shown = _draw_density(axes, each[row], highest, "" if row else name)
    assert shown is not None
    what = "density of fixations, as a multiple of the uniform density"
    _style.color_bar(figure, shown, grid, what, shrink=min(1.0, 2 / len(pixels)), aspect=25.0)
    _style.log_ticks(figure.axes[-1].yaxis, _LOWEST, highest)
    if fixations is not None:
        _style.legend(figure, grid[:, 0])
    return figure


def _relative(name: str, density: np.ndarray, images: np.ndarray) -> Maps:
    """A density in multiples of the uniform one."""
    if images.ndim != 4 or density.shape != images.shape[:3]:
        raise ValueError(
            f"the density {name!r} must be (images, height, width) as the images are, got "
            f"{density.shape} for images of the shape {images.shape}"
        )
    sums = density.sum(axis=(1, 2), dtype=np.float64, keepdims=True)
    if not (np.isfinite(density).all() and (density >= 0).all() and (sums > 0).all()):
        raise ValueError(
            f"the density {name!r} must be finite and not negative, and not 0 everywhere, got "
            f"values from {density.min():.4g} to {density.max():.4g}"
        )
    relative: Maps = density * (density[0].size / sums)
    return relative


def _draw_image(
    axes: "matplotlib.axes.Axes", image: np.ndarray, fixations: np.ndarray, caption: str
) -> None:
    _style.dress(axes, title=caption)
    gray = image.shape[-1] == 1
    axes.imshow(
        image[..., 0] if gray else image,
        cmap="gray" if gray else None,
        vmin=0,
        vmax=255 if image.dtype == np.uint8 else 1,
        origin="upper",
        interpolation="nearest",
    )
    axes.plot(
        *fixations.T,
        linestyle="none",
        marker="o",
        markersize=3.2,
        markerfacecolor=_style.VERMILLION,
        markeredgecolor="white",
        markeredgewidth=0.5,
        label="fixation",
    )
    axes.set(xticks=[], yticks=[])


def _draw_density(
    axes: "matplotlib.axes.Axes", density: np.ndarray, highest: float, name: str
) -> "matplotlib.image.AxesImage":
    from matplotlib.colors import LogNorm

    _style.dress(axes, title=name)
    axes.set(xticks=[], yticks=[])
    return axes.imshow(
        np.maximum(density, _LOWEST),
        cmap=_style.ramp("white", _style.BLUE),
        norm=LogNorm(_LOWEST, max(highest, 1.0)),
        origin="upper",
        interpolation="nearest",
    )
