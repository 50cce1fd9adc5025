"""Image files to arrays."""

import io
import pathlib

import numpy as np
from jaxtyping import Int, Shaped, UInt8
from PIL import Image, ImageOps

from jaxvision.data.errors import CorruptImageError

ImageArray = Shaped[np.ndarray, "height width channels"] | Shaped[np.ndarray, "height width"]
Resized = Shaped[np.ndarray, "new_height new_width *channels"]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def decode_image(
    encoded: bytes | pathlib.Path, *, channels: int | None = 3, name: str | None = None
) -> UInt8[np.ndarray, "height width channels"]:
    """Decodes an image, the right way up.

    Of 16 bits the higher 8 are kept. Transparency is left out if it is not asked for.

    Args:
        encoded: The bytes of a file in any format that Pillow reads, or the file's path.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA; None keeps what the file has.
        name: How to call the image in an error; None uses the path.

    Returns:
        The pixels, 0 to 255.

    Raises:
        CorruptImageError: The image is truncated, too large for Pillow, or none at all.
        OSError: The file cannot be read.
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
            upright = _in_8_bits(_upright(image))
            mode = _MODES[channels or _channels_of(upright)]
            pixels = np.array(upright if upright.mode == mode else upright.convert(mode))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        if isinstance(error, OSError) and error.errno is not None:
            raise  # it is the file system's, and says nothing about the image
        raise CorruptImageError(f"cannot decode {name}: {error}") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _upright(image: Image.Image) -> Image.Image:
    """Turns an image as its EXIF data say; where they are damaged, it stays as it is stored."""
    if "exif" not in image.info:
        return image
    image.load()  # so that what fails below is the EXIF data, not the pixels
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Keeps the high byte of 16 bits, where Pillow would cut off at 255."""
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are 32-bit numbers (Pillow's mode {image.mode})")
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


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
        Pixels of the same type, at that size. Shrinking averages over the area (no aliasing), in
        at most 32 bits.

    >>> resize_and_crop(np.zeros((20, 30, 3), np.uint8), (8, 8)).shape
    (8, 8, 3)
    """
    height, width = image.shape[:2]
    if (height, width) == tuple(size):
        return image
    scale = max(size[0] / height, size[1] / width)
    covering = max(size[0], round(height * scale)), max(size[1], round(width * scale))
    top, left = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    if nearest:
        rows = _nearest(height, covering[0])[top : top + size[0]]
        columns = _nearest(width, covering[1])[left : left + size[1]]
        return image[np.ix_(rows, columns)]
    return _bilinear(image, covering)[top : top + size[0], left : left + size[1]]


def _nearest(old: int, new: int) -> Int[np.ndarray, " new"]:
    """The pixel that lies under the centre of each new one."""
    return ((np.arange(new) + 0.5) * (old / new)).astype(np.int64)


def _bilinear(image: ImageArray, size: tuple[int, int]) -> Resized:
    if image.ndim == 3 and not (image.dtype == np.uint8 and image.shape[-1] == 3):
        planes = [_bilinear(image[..., channel], size) for channel in range(image.shape[-1])]
        return np.stack(planes, axis=-1)
    if image.dtype == np.uint8:
        pillow = Image.fromarray(image)
    else:
        floating = np.issubdtype(image.dtype, np.floating)
        pillow = Image.fromarray(image.astype(np.float32 if floating else np.int32))
    resized = pillow.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized).astype(image.dtype)
