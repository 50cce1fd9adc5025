"""Images with the classes of their pixels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from jaxvision._labels import IGNORED
from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike
from jaxvision.plots.images import image_grid

if TYPE_CHECKING:
    import matplotlib.figure

Mask = Integer[np.ndarray, "height width"]
Rgb = UInt8[np.ndarray, "height width 3"]

_OPACITY = 0.6
_WRONG, _NO_LABEL = (226, 0, 122), (255, 255, 255)


def segmentations(
    images: ArrayLike,
    truths: ArrayLike,
    predictions: ArrayLike,
    colors: ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    captions: Sequence[str] | None = None,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws a row for each image: the image, its true classes, the predicted ones, the errors.

    Class colors are laid over a gray version of the image. In the errors, wrong pixels are magenta,
    and pixels without a label (255) are white.

    Args:
        images: (height, width, channels) each; gray, RGB or RGBA; uint8, or floats in [0, 1].
        truths: True class of each pixel; 255 for none.
        predictions: Predicted class of each pixel.
        colors: Red, green and blue of each class, from 0 to 255.
        class_names: One per class; None numbers them.
        captions: Title of each image; None numbers them.
        title: Title of the figure.

    Returns:
        The figure: four axes per image.

    Raises:
        ValueError: There are no images, the size of a mask is not that of its image, a class has no
            color, or the arguments differ in length.
        ImportError: Matplotlib is not installed.

    >>> images, masks = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8), np.uint8)
    >>> figure = segmentations(images, masks, masks, [(0, 0, 0), (230, 159, 0)])
    >>> [axes.get_title() for axes in figure.axes[:4]]
    ['image 0', 'truth', 'prediction', 'errors: 0%']
    """
    table = np.asarray(colors, np.uint8).reshape(-1, 3)
    names = [str(index) for index in range(len(table))] if class_names is None else class_names
    captions = [f"image {row}" for row in range(len(images))] if captions is None else captions
    for what, given in (("truths", truths), ("predictions", predictions), ("captions", captions)):
        if len(given) != len(images):
            raise ValueError(f"{len(images)} images need as many {what}, got {len(given)}")
    if len(names) != len(table):
        raise ValueError(f"{len(table)} colors need as many class names, got {len(names)}")
    panels: list[np.ndarray] = []
    titles: list[str] = []
    for row, caption in enumerate(captions):
        image = np.asarray(images[row])
        truth, guess = (
            _mask(np.asarray(masks[row]), image, row, len(table)) for masks in (truths, predictions)
        )
        known = truth != IGNORED
        wrong = known & (truth != guess)
        gray = _gray(image)
        panels += [
            image,
            _overlay(gray, truth, table),
            _overlay(gray, guess, table),
            _errors(gray, wrong, known),
        ]
        share = _style.percent(wrong.sum() / max(known.sum(), 1))
        titles += [caption, "truth", "prediction", f"errors: {share}"]
    legend = {str(name): _hex(color) for name, color in zip(names, table, strict=True)}
    legend |= {"wrong": _hex(np.array(_WRONG)), **_no_label([*truths, *predictions])}
    return image_grid(panels, titles, 4, title=title, legend=legend)


def labeled_masks(
    images: ArrayLike,
    masks: ArrayLike,
    colors: ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    """Draws images, each followed by the classes of its pixels.

    Args:
        images: (height, width, channels) each; gray, RGB or RGBA; uint8, or floats in [0, 1].
        masks: Class of each pixel; 255 for none.
        colors: Red, green and blue of each class, from 0 to 255.
        class_names: One per class; None numbers them.
        title: Title of the figure.

    Returns:
        The figure: two axes per image.

    Raises:
        ValueError: There are no images, the size of a mask is not that of its image, a class has no
            color, or the arguments differ in length.
        ImportError: Matplotlib is not installed.

    >>> images, masks = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8), np.uint8)
    >>> figure = labeled_masks(images, masks, [(0, 0, 0), (230, 159, 0)])
    >>> [axes.get_title() for axes in figure.axes]
    ['image 0', 'its mask', 'image 1', 'its mask']
    """
    table = np.asarray(colors, np.uint8).reshape(-1, 3)
    names = [str(index) for index in range(len(table))] if class_names is None else class_names
    for what, count, given in (("masks", len(images), masks), ("class names", len(table), names)):
        if len(given) != count:
            raise ValueError(f"{count} {what} are needed, got {len(given)}")
    panels: list[np.ndarray] = []
    for row in range(len(images)):
        image = np.asarray(images[row])
        mask = _mask(np.asarray(masks[row]), image, row, len(table))
        panels += [image, _overlay(_gray(image), mask, table)]
    titles = [text for row in range(len(images)) for text in (f"image {row}", "its mask")]
    legend = {str(name): _hex(color) for name, color in zip(names, table, strict=True)}
    legend |= _no_label(masks)
    return image_grid(panels, titles, min(6, len(panels)), title=title, legend=legend)


def _mask(mask: np.ndarray, image: np.ndarray, row: int, num_classes: int) -> Mask:
    if mask.shape != image.shape[:2] or mask.dtype.kind not in "iu":
        raise ValueError(
            f"the masks of image {row} must be whole numbers of the shape {image.shape[:2]}, got "
            f"{mask.dtype} of {mask.shape}"
        )
    outside = (mask != IGNORED) & ((mask < 0) | (mask >= num_classes))
    if outside.any():
        raise ValueError(
            f"a mask of image {row} has the class {mask[outside][0]}, but there are colors only "
            f"for 0 to {num_classes - 1}"
        )
    return mask


def _no_label(masks: ArrayLike) -> dict[str, str]:
    """The entry of the legend for pixels without a label, if there are any."""
    some = any((np.asarray(mask) == IGNORED).any() for mask in masks)
    return {"no label": _hex(np.array(_NO_LABEL))} if some else {}


def _gray(image: np.ndarray) -> Rgb:
    """The brightness of an image, lightened so that colors over it remain distinct."""
    values = image.astype(np.float64) / (255 if image.dtype == np.uint8 else 1)
    brightness = values[..., :3].mean(axis=-1, keepdims=True).clip(0, 1)
    return np.repeat((255 * (0.25 + 0.75 * brightness)).astype(np.uint8), 3, axis=-1)


def _overlay(gray: Rgb, mask: Mask, colors: UInt8[np.ndarray, "classes 3"]) -> Rgb:
    known = mask != IGNORED
    painted = colors[np.where(known, mask, 0)]
    mixed = (1 - _OPACITY) * gray + _OPACITY * painted
    return np.where(known[..., None], mixed, 255).astype(np.uint8)


def _errors(gray: Rgb, wrong: Bool[np.ndarray, "height width"], known: np.ndarray) -> Rgb:
    painted = np.where(wrong[..., None], np.array(_WRONG), gray)
    return np.where(known[..., None], painted, np.array(_NO_LABEL)).astype(np.uint8)


def _hex(color: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color.tolist())
