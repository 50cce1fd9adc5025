"""Image files to arrays."""

import io
import math
import pathlib

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int, Shaped, UInt8
from PIL import Image, ImageOps

from jaxvision._preprocessing import Preprocessing
from jaxvision.data.errors import CorruptImageError
from jaxvision.data.normalization import normalize, to_float

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


def resize_and_crop(image: ImageArray, how: Preprocessing, *, nearest: bool = False) -> Resized:
    """Resizes an image until it covers what is asked for, and cuts out the centre.

    Sizes and places are rounded as in torchvision's `Resize` and `CenterCrop`, and Pillow, which
    they call too, interpolates: pixels are the same.

    Args:
        image: Pixels of any numeric type, with or without channels.
        how: Size, crop, interpolation and `squash`; nothing is normalized.
        nearest: Takes the nearest pixel instead, as label maps need.

    Returns:
        Pixels of the same type, at that size. Shrinking averages over the area (no aliasing), but
        for "nearest", in at most 32 bits.

    >>> resize_and_crop(np.zeros((20, 30, 3), np.uint8), Preprocessing(8)).shape
    (8, 8, 3)
    """
    height, width = image.shape[:2]
    covered = math.floor(how.size[0] / how.crop), math.floor(how.size[1] / how.crop)
    if not how.squash:
        covered = _cover((height, width), covered)
    if covered != (height, width):
        if nearest or how.interpolation == "nearest":
            image = image[np.ix_(_nearest(height, covered[0]), _nearest(width, covered[1]))]
        else:
            image = _interpolate(image, covered, Image.Resampling[how.interpolation.upper()])
    top, left = (round((old - new) / 2) for old, new in zip(covered, how.size, strict=True))
    return image[top : top + how.size[0], left : left + how.size[1]]


def preprocess(
    image: UInt8[np.ndarray, "height width channels"], preprocessing: Preprocessing
) -> Float32[np.ndarray, "new_height new_width channels"]:
    """Does all to one image that a model's weights need: resizing, cutting and normalizing.

    To train or evaluate on many images, give `preprocessing` to `load` or `load_folder`, which
    resize and cut, and its `mean` and `std` to the loss, which normalizes after augmentation.

    Args:
        image: Pixels from 0 to 255.
        preprocessing: What to do.

    Returns:
        What the model takes, without the axis of the batch.

    Raises:
        ValueError: The means are not as many as the channels.

    >>> white = np.full((40, 30, 3), 255, np.uint8)
    >>> preprocess(white, Preprocessing(8, mean=[0.5], std=[0.5])).max()
    np.float32(1.0)
    """
    resized = resize_and_crop(image, preprocessing)
    normalized = normalize(to_float(jnp.asarray(resized)), preprocessing.mean, preprocessing.std)
    return np.asarray(normalized)


def _cover(old: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The least size of the same aspect ratio that covers another."""
    if size[0] * old[1] >= size[1] * old[0]:
        return size[0], max(size[1], size[0] * old[1] // old[0])
    return max(size[0], size[1] * old[0] // old[1]), size[1]


def _nearest(old: int, new: int) -> Int[np.ndarray, " new"]:
    """The pixel that lies under the centre of each new one."""
    return ((np.arange(new) + 0.5) * (old / new)).astype(np.int64)


def _interpolate(image: ImageArray, size: tuple[int, int], how: Image.Resampling) -> Resized:
    if image.ndim == 3 and not (image.dtype == np.uint8 and image.shape[-1] == 3):
        planes = [
            _interpolate(image[..., channel], size, how) for channel in range(image.shape[-1])
        ]
        return np.stack(planes, axis=-1)
    if image.dtype == np.uint8:
        pillow = Image.fromarray(image)
    else:
        floating = np.issubdtype(image.dtype, np.floating)
        pillow = Image.fromarray(image.astype(np.float32 if floating else np.int32))
    resized = np.asarray(pillow.resize((size[1], size[0]), how))
    if np.issubdtype(image.dtype, np.integer):  # interpolation may overshoot
        limits = np.iinfo(image.dtype)
        resized = resized.clip(limits.min, limits.max)
    return resized.astype(image.dtype)
