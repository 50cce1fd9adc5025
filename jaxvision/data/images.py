"""Decoding, resizing and cropping of images."""

import contextlib
import io
import math
import pathlib
import re
import warnings
from collections.abc import Iterator
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, Shaped, UInt8
from PIL import ExifTags, Image, ImageOps

from jaxvision import ops
from jaxvision._preprocessing import Preprocessing
from jaxvision.data.errors import CorruptImageError
from jaxvision.data.normalization import normalize, to_float

ImageArray = Shaped[np.ndarray, "height width channels"] | Shaped[np.ndarray, "height width"]
Resized = Shaped[np.ndarray, "new_height new_width *channels"]

SixteenBit = Literal["high", "range"]
Depth = Literal["8", "16", "upper 8 of 16"]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ORIENTATION = ExifTags.Base.Orientation
_IN_XMP = re.compile(r"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])""")


def decode_image(
    encoded: bytes | pathlib.Path,
    *,
    channels: int | None = 3,
    name: str | None = None,
    sixteen_bit: SixteenBit = "high",
) -> UInt8[np.ndarray, "height width channels"]:
    """Decodes an image and turns it upright, as its EXIF or XMP data say.

    Transparency is dropped unless `channels` asks for it. Of several frames, the first is taken.

    Args:
        encoded: Bytes of a file in any format that Pillow reads, or the file's path.
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA; None keeps the channels of the file.
        name: Name of the image in errors; None uses the path.
        sixteen_bit: Conversion of 16-bit pixels to 8 bits. `"high"` keeps the upper 8 bits, and
            warns if the image becomes nearly black, as 12-bit data stored in 16 bits do. `"range"`
            scales each image from its own minimum and maximum to 0 and 255; it needs grayscale
            without transparency, because Pillow reads only the upper 8 bits of other images.

    Returns:
        Pixels from 0 to 255.

    Raises:
        CorruptImageError: The file is truncated, too large for Pillow or not an image, or its
            pixels cannot be converted to 8 bits.
        OSError: The file cannot be read.
        ValueError: `channels` or `sixteen_bit` is not one of the values above.

    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 3), "red").save(file, "PNG")
    >>> decode_image(file.getvalue())[0, 0].tolist()
    [255, 0, 0]
    """
    if channels is not None and channels not in _MODES:
        raise ValueError(f"channels must be 1, 3, 4 or None, got {channels}")
    if sixteen_bit not in get_args(SixteenBit):
        raise ValueError(f"sixteen_bit must be 'high' or 'range', got {sixteen_bit!r}")
    name = name or (str(encoded) if isinstance(encoded, pathlib.Path) else "an image in memory")
    source = encoded if isinstance(encoded, pathlib.Path) else io.BytesIO(encoded)
    with decoding(name), Image.open(source) as image:
        depth = _depth(image)
        upright = _upright(image)
        is_dark = sixteen_bit == "high" and depth != "8" and _is_dark(upright, depth)
        upright = _in_8_bits(upright, depth, sixteen_bit)
        mode = _MODES[channels or _channels_of(upright)]
        pixels = np.array(upright if upright.mode == mode else upright.convert(mode))
    if is_dark:
        # Always in the same words, so that Python shows it once for a folder of such images.
        warnings.warn(
            "an image of 16 bits uses the lower 12 at most and becomes nearly black, because the "
            "higher 8 are kept; give sixteen_bit='range' to scale images by their own range",
            stacklevel=2,
        )
    return pixels[..., None] if pixels.ndim == 2 else pixels


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turns errors inside the `with` block into a CorruptImageError that names the image."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the file system, not of the image
        raise CorruptImageError(f"cannot decode {name}: {error}") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turns an image as its EXIF or else its XMP data say; damaged data are ignored."""
    image.load()  # first: a PNG may store EXIF behind the pixels, and damaged pixels must raise
    try:
        exif = image.getexif()
        # Pillow turns TIFF files while loading, and reads the XMP data of other formats in part.
        if _ORIENTATION not in exif and image.format != "TIFF":
            exif[_ORIENTATION] = _orientation_in_xmp(image)
        return image if exif.get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    except Exception:
        return image


def _orientation_in_xmp(image: Image.Image) -> int:
    xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or ""
    found = _IN_XMP.search(xmp if isinstance(xmp, str) else xmp.decode("utf-8", "replace"))
    return int(found[1]) if found else 1


def _depth(image: Image.Image) -> Depth:
    """Returns how many bits per pixel Pillow decodes; the image must not be loaded yet."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return "16"
    tiles: Any = getattr(image, "tile", None)  # (decoder, extents, offset, arguments)
    told = tiles[0][3] if tiles else None
    stored = told[0] if isinstance(told, tuple) and told else told
    return "upper 8 of 16" if ";16" in str(stored) else "8"


def _is_dark(image: Image.Image, depth: Depth) -> bool:
    """Whether a 16-bit image uses at most its lower 12 bits; False if it is wholly black."""
    pixels = np.asarray(image)
    if "A" in image.getbands():
        pixels = pixels[..., :-1]
    return bool(0 < pixels.max() < (4096 if depth == "16" else 16))


def _in_8_bits(image: Image.Image, depth: Depth, sixteen_bit: SixteenBit) -> Image.Image:
    """Converts 16-bit pixels to 8 bits, where Pillow would clip at 255."""
    if depth == "16":
        values = np.asarray(image)
        if sixteen_bit == "high":
            return Image.fromarray((values >> 8).astype(np.uint8))
        low, high = int(values.min()), int(values.max())
        scaled = (values - np.float32(low)) * np.float32(255 / max(high - low, 1))
        return Image.fromarray(np.rint(scaled).astype(np.uint8))
    if depth == "upper 8 of 16" and sixteen_bit == "range":
        raise ValueError(
            f"Pillow reads the higher 8 of its 16 bits only (as {image.mode}), so that "
            "sixteen_bit='range' has too little to scale; store it in 8 bits, or as grayscale of "
            "16 bits without transparency"
        )
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are 32-bit numbers (Pillow's mode {image.mode})")
    return image


def _channels_of(image: Image.Image) -> int:
    bands = len(image.getbands())
    if image.mode == "P":  # a palette stands for colors
        return 4 if "transparency" in image.info else 3
    return {1: 1, 2: 4, 3: 3, 4: 4 if image.mode == "RGBA" else 3}[bands]


def resize_and_crop(image: ImageArray, how: Preprocessing, *, nearest: bool = False) -> Resized:
    """Resizes an image until it covers the size of `how`, and crops its center.

    Pixels equal those of torchvision's `Resize` and `CenterCrop`: sizes and offsets are rounded as
    there, and Pillow interpolates.

    Args:
        image: Pixels of any numeric type, with or without channels.
        how: Size, crop, interpolation and `squash`; nothing is normalized.
        nearest: Takes the nearest pixel instead, as label maps need.

    Returns:
        Pixels of the same type, in the size of `how`. Shrinking averages over the area
        (antialiasing) except with "nearest". Interpolation computes in at most 32 bits.

    >>> resize_and_crop(np.zeros((20, 30, 3), np.uint8), Preprocessing(8)).shape
    (8, 8, 3)
    """
    height, width = image.shape[:2]
    covered, (top, left) = placement((height, width), how)
    if covered != (height, width):
        if nearest or how.interpolation == "nearest":
            image = image[np.ix_(_nearest(height, covered[0]), _nearest(width, covered[1]))]
        else:
            image = _interpolate(image, covered, Image.Resampling[how.interpolation.upper()])
    return image[top : top + how.size[0], left : left + how.size[1]]


def resize_and_crop_batch(
    images: UInt8[Array, "*batch height width channels"], how: Preprocessing
) -> UInt8[Array, "*batch new_height new_width channels"]:
    """Does the same as `resize_and_crop` to images of one size, inside a compiled program.

    Args:
        images: Pixels from 0 to 255.
        how: Size, crop, interpolation and `squash`; nothing is normalized.

    Returns:
        The same pixels as from `resize_and_crop`; see `ops.resample`.

    >>> resize_and_crop_batch(jnp.zeros((2, 20, 30, 3), jnp.uint8), Preprocessing(8)).shape
    (2, 8, 8, 3)
    """
    covered, (top, left) = placement((images.shape[-3], images.shape[-2]), how)
    resized = ops.resample(images, covered, how.interpolation)
    return resized[..., top : top + how.size[0], left : left + how.size[1], :]


def placement(size: tuple[int, int], how: Preprocessing) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the size that `resize_and_crop` resizes to, and the crop's first row and column.

    >>> placement((20, 30), Preprocessing(8))
    ((8, 12), (0, 2))
    """
    covered = math.floor(how.size[0] / how.crop), math.floor(how.size[1] / how.crop)
    if not how.squash:
        covered = _cover(size, covered)
    top, left = (round((old - new) / 2) for old, new in zip(covered, how.size, strict=True))
    return covered, (top, left)


def preprocess(
    image: UInt8[np.ndarray, "height width channels"], preprocessing: Preprocessing
) -> Float32[np.ndarray, "new_height new_width channels"]:
    """Resizes, crops and normalizes one image as a model's weights need it.

    To train or evaluate on many images, give `preprocessing` to `load` or `load_folder`, which
    resize and crop, and its `mean` and `std` to the loss, which normalizes after augmentation.

    Args:
        image: Pixels from 0 to 255.
        preprocessing: Preprocessing of the weights.

    Returns:
        The model's input, without the batch axis.

    Raises:
        ValueError: `mean` or `std` does not have one number per channel.

    >>> white = np.full((40, 30, 3), 255, np.uint8)
    >>> preprocess(white, Preprocessing(8, mean=[0.5], std=[0.5])).max()
    np.float32(1.0)
    """
    resized = resize_and_crop(image, preprocessing)
    normalized = normalize(to_float(jnp.asarray(resized)), preprocessing.mean, preprocessing.std)
    return np.asarray(normalized)


def _cover(old: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Returns the smallest size with the aspect ratio of `old` that covers `size`."""
    if size[0] * old[1] >= size[1] * old[0]:
        return size[0], max(size[1], size[0] * old[1] // old[0])
    return max(size[0], size[1] * old[0] // old[1]), size[1]


def _nearest(old: int, new: int) -> Int[np.ndarray, " new"]:
    """Returns the index of the old pixel under the center of each new one."""
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
