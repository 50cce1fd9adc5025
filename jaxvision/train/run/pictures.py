"""Pictures of a state, in files and in TensorBoard."""

import io
import pathlib
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxvision.files import file_name, writing

if TYPE_CHECKING:
    import matplotlib.figure

Picture: TypeAlias = Union[np.ndarray, "matplotlib.figure.Figure", Any]
"""Pixels, (height, width) or (height, width, 1, 3 or 4), uint8 or floating point in [0, 1]; or a
Matplotlib figure."""


def to_pixels(name: str, picture: Picture) -> UInt8[np.ndarray, "height width 3"]:
    """Converts a picture to RGB; raises ValueError, which names it, for anything else.

    >>> to_pixels("gray", np.array([[0.0, 1.0]])).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    if hasattr(picture, "savefig"):
        file = io.BytesIO()
        picture.savefig(file, format="png")
        return np.asarray(Image.open(file).convert("RGB"))
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ValueError(
            f"the picture {name!r} must be a figure, or have the shape (height, width) or (height, "
            f"width, 1, 3 or 4), and has {pixels.shape}"
        )
    if pixels.dtype != np.uint8:
        if not np.issubdtype(pixels.dtype, np.floating):
            raise ValueError(
                f"the picture {name!r} must be uint8, or floating point from 0 to 1, and is "
                f"{pixels.dtype}"
            )
        pixels = np.round(np.nan_to_num(pixels).clip(0, 1) * 255).astype(np.uint8)
    return np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3))


def save_picture(
    folder: pathlib.Path, step: int, name: str, pixels: UInt8[np.ndarray, "height width 3"]
) -> pathlib.Path:
    """Writes a picture to `pictures/NAME/STEP.png` in the run's folder, and returns the path."""
    path = folder / "pictures" / file_name(name) / f"{step:09d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return path
