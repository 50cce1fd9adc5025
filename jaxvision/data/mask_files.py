"""Reads and writes mask files, which have a class per pixel."""

import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Integer, UInt8
from PIL import Image

from jaxvision._labels import IGNORED
from jaxvision._palette import OKABE_ITO
from jaxvision.data.errors import DatasetError
from jaxvision.data.images import decoding
from jaxvision.files import writing

Color = tuple[int, int, int]
"""Red, green, blue, each from 0 to 255."""

Classes = Mapping[int, int] | Mapping[Color, int]
"""The class of each gray value or palette index, or of each color."""

_LOSSY = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_DISTINCT = tuple(tuple(bytes.fromhex(color[1:])) for color in OKABE_ITO)


def read_mask(
    path: str | pathlib.Path, classes: Classes | None = None
) -> UInt8[np.ndarray, "height width"]:
    """Reads a file with a class per pixel.

    Args:
        path: Lossless file of gray values, palette indices or colors, in a format that Pillow
            reads.
        classes: Class of each gray value or palette index, or of each color; None takes the values
            themselves.

    Returns:
        Class of each pixel; 255 marks unlabeled pixels.

    Raises:
        CorruptImageError: The file is truncated, or Pillow cannot read it.
        DatasetError: The file is a JPEG, or has a value that is not a class.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "mask.png")
    ...     Image.new("RGB", (2, 1), (128, 64, 128)).save(path)
    ...     read_mask(path, {(128, 64, 128): 3})
    array([[3, 3]], dtype=uint8)
    """
    path = pathlib.Path(path).expanduser()
    if path.suffix.lower() in _LOSSY:
        raise DatasetError(f"{path} is a JPEG, which does not keep classes exactly: use PNG")
    by_color = classes is not None and isinstance(next(iter(classes), 0), tuple)
    values = _values(path, by_color=by_color)
    if classes is None:
        if values.max(initial=0) > IGNORED:
            raise DatasetError(
                f"{path} has the value {values.max()}, and classes go up to {IGNORED - 1}: give "
                "classes={value: class, ...}"
            )
        return values.astype(np.uint8)
    keys = np.array([*classes])
    keys = _packed(keys) if by_color else keys
    order = np.argsort(keys)
    keys, targets = keys[order], np.array([*classes.values()])[order]
    places = np.searchsorted(keys, values).clip(max=len(keys) - 1)
    if (unknown := keys[places] != values).any():
        row, column = np.argwhere(unknown)[0].tolist()
        found = int(values[row, column])
        shown = (found >> 16, found >> 8 & 255, found & 255) if by_color else found
        raise DatasetError(
            f"{path} has {shown} at row {row}, column {column}, which `classes` does not name"
        )
    return targets[places].astype(np.uint8)


def write_mask(
    path: str | pathlib.Path,
    classes: UInt8[np.ndarray, "height width"],
    colors: Sequence[Color] | UInt8[np.ndarray, "classes 3"] | None = None,
) -> None:
    """Writes a mask as a PNG with a palette, which viewers show in colors.

    Pixel values are the classes, so `read_mask` reads back the same mask, including 255
    (unlabeled).

    Args:
        path: Path that ends in `.png`. An existing file is replaced in one step.
        classes: Class of each pixel, or 255 for none.
        colors: Color of each class, in order; 255 is white unless there are 256 colors. None takes
            `mask_colors(256)`.

    Raises:
        ValueError: The path does not end in `.png`, there are no pixels, a color is not valid, or a
            class has no color.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "mask.png")
    ...     write_mask(path, np.array([[0, 1, 255]], np.uint8))
    ...     read_mask(path)
    array([[  0,   1, 255]], dtype=uint8)
    """
    path = pathlib.Path(path).expanduser()
    if path.suffix.lower() != ".png":
        raise ValueError(f"masks are written as PNG, so the name must end in .png, got {path}")
    if classes.dtype != np.uint8 or classes.ndim != 2 or classes.size == 0:
        raise ValueError(
            "classes must be uint8 of shape (height, width), with a pixel at least, got "
            f"{classes.dtype} of shape {classes.shape}"
        )
    palette = _palette(colors)
    largest = int(classes.max(initial=0, where=classes != IGNORED))
    if colors is not None and largest >= len(colors):
        raise ValueError(
            f"the mask has the class {largest}, and there are colors of {len(colors)} classes: "
            "give a color for each"
        )
    height, width = classes.shape
    image = Image.frombytes("P", (width, height), np.ascontiguousarray(classes).tobytes())
    image.putpalette(palette.tobytes())
    with writing(path) as file:
        image.save(file, format="PNG")


@functools.cache
def mask_colors(num_classes: int) -> UInt8[np.ndarray, "classes 3"]:
    """Returns distinguishable colors for classes, the same ones whatever the number of classes.

    Class 0 is black, and the colors of 1 to 6 can be told apart with red-green color blindness.
    Each further color is the one farthest from all previous ones and white, on a grid of 8 levels
    each of red, green and blue.

    Args:
        num_classes: Number of colors, at most 256. The last of 256 is white, for unlabeled pixels,
            so that `mask_colors(256)[mask]` is a picture of any mask.

    Returns:
        Read-only red, green and blue of each class, from 0 to 255.

    Raises:
        ValueError: `num_classes` is not from 1 to 256.

    References: Okabe and Ito, Color universal design, 2008, for classes 1 to 6. Glasbey et al.,
    Colour displays for categorical images, Color Research and Application 32, 2007, for further
    ones; here distances are weighted by the mean red, as is usual for screen colors.

    >>> mask_colors(3).tolist()
    [[0, 0, 0], [0, 114, 178], [213, 94, 0]]
    """
    if not 1 <= num_classes <= IGNORED + 1:
        raise ValueError(f"there are colors of 1 to {IGNORED + 1} classes, got {num_classes}")
    if num_classes <= IGNORED:
        return mask_colors(IGNORED + 1)[:num_classes]
    levels = np.linspace(0, 255, 8).round()
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    chosen = [np.array(color, np.float64) for color in (_WHITE, _BLACK, *_DISTINCT)]
    nearest = np.min([_distances(candidates, color) for color in chosen], axis=0)
    while len(chosen) <= IGNORED:
        chosen.append(candidates[nearest.argmax()])
        nearest = np.minimum(nearest, _distances(candidates, chosen[-1]))
    colors = np.array([*chosen[1:], chosen[0]], np.uint8)
    colors.flags.writeable = False
    return colors


def _distances(
    colors: Float64[np.ndarray, "colors 3"], other: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, " colors"]:
    """Squared distances between colors, weighted to approximate how different they look."""
    red, green, blue = ((colors - other) ** 2).T
    mean_red = (colors[:, 0] + other[0]) / 2 / 255
    return (2 + mean_red) * red + 4 * green + (3 - mean_red) * blue


def _palette(
    colors: Sequence[Color] | UInt8[np.ndarray, "classes 3"] | None,
) -> UInt8[np.ndarray, "256 3"]:
    """Colors of all 256 pixel values: the given ones, then gray, and white for 255."""
    if colors is None:
        return mask_colors(IGNORED + 1)
    given = np.asarray(colors)
    whole = given.dtype.kind in "ui" and given.ndim == 2 and given.shape[1] == 3
    most = IGNORED + 1
    if not whole or not 1 <= len(given) <= most or given.min() < 0 or given.max() > 255:
        raise ValueError(
            f"colors must be (red, green, blue) from 0 to 255 of 1 to {most} classes, got "
            f"{colors!r}"
        )
    palette = np.full((most, 3), 128, np.uint8)
    palette[IGNORED] = _WHITE
    palette[: len(given)] = given
    return palette


def _values(path: pathlib.Path, *, by_color: bool) -> np.ndarray:
    """Gray values or palette indices of a file, or its colors packed into one number each."""
    with decoding(str(path)), Image.open(path) as image:
        image.load()
        if by_color:
            return _packed(np.asarray(image.convert("RGB")))
        mode, values = image.mode, np.asarray(image)
    if values.ndim != 2:
        raise DatasetError(
            f"{path} has colors (Pillow's mode {mode}): give classes={{(red, green, blue): class}}"
        )
    return values.astype(np.int64)


def _packed(colors: Integer[np.ndarray, "*shape 3"]) -> Integer[np.ndarray, "*shape"]:
    packed: np.ndarray = colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return packed
