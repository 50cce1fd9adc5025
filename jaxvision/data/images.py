"""Image files to arrays."""

import io
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from jaxvision.data.errors import CorruptImageError

ImageArray = Shaped[np.ndarray, "height width channels"] | Shaped[np.ndarray, "height width"]
Resized = Shaped[np.ndarray, "new_height new_width *channels"]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def decode_image(
    encoded: bytes | pathlib.Path, *, channels: int | None = 3, name: str | None = None
) -> UInt8[np.ndarray, "height width channels"]:
    """Decodes an image, the right way up.

    Args:
        encoded: The bytes of a file in any format that Pillow reads, or the file's path.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA; None keeps what the file has.
        name: How to call the image in an error; None uses the path.

    Returns:
        The pixels, 0 to 255.

    Raises:
        CorruptImageError: The image is truncated or none at all.
        ValueError: No such number of channels.

    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 3), "red").save(file, "PNG")
    >>> decode_image(file.getvalue())[0, 0].tolist()
    [255, 0, 0]
    """
    if channels is not None and channels not in _MODES:
        raise ValueError(f"channels must be 1, 3, 4 or None, got {channels}")
    name = name or (str(encoded) if isinstance(encoded, pathlib.Path) else "an image in memory")
    try:
        source = encoded if isinstance(encoded, pathlib.Path) else io.BytesIO(encoded)
        with Image.open(source) as image:
            upright = ImageOps.exif_transpose(image) if "exif" in image.info else image
            mode = _MODES[channels or _channels_of(upright)]
            pixels = np.array(upright if upright.mode == mode else upright.convert(mode))
    except (OSError, SyntaxError, ValueError, EOFError, UnidentifiedImageError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise CorruptImageError(f"cannot decode {name}: {error}") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _channels_of(image: Image.Image) -> int:
    bands = len(image.getbands())
    if image.mode == "P":  # a palette stands for colours
        return 4 if "transparency" in image.info else 3
    return {1: 1, 2: 4, 3: 3, 4: 4 if image.mode == "RGBA" else 3}[bands]


def resize_and_crop(image: ImageArray, size: tuple[int, int], *, nearest: bool = False) -> Resized:
    """Resizes an image until it just covers a size, and cuts out the centre.

    Args:
        image: Pixels of any numeric type, with or without channels.
        size: Height and width wanted.
        nearest: Takes the nearest pixel, as label maps need, instead of a bilinear average.

    Returns:
        Pixels of the same type, at that size. Shrinking averages over the area (no aliasing).

    >>> resize_and_crop(np.zeros((20, 30, 3), np.uint8), (8, 8)).shape
    (8, 8, 3)
    """
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    scale = max(size[0] / height, size[1] / width)
    covering = max(size[0], round(height * scale)), max(size[1], round(width * scale))
    resample = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    planes = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
    resized = np.stack([_resize_plane(plane, covering, resample) for plane in planes])
    top, left = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    resized = resized[:, top : top + size[0], left : left + size[1]]
    return np.moveaxis(resized, 0, -1) if image.ndim == 3 else resized[0]


def _resize_plane(
    plane: Shaped[np.ndarray, "height width"], size: tuple[int, int], resample: Any
) -> Resized:
    if plane.dtype == np.uint8:
        image = Image.fromarray(plane)
    elif np.issubdtype(plane.dtype, np.floating):
        image = Image.fromarray(plane.astype(np.float32))
    else:
        image = Image.fromarray(plane.astype(np.int32))
    resized = np.asarray(image.resize((size[1], size[0]), resample))
    return resized.astype(plane.dtype)
