"""Download of published archives, and reading of their files without TensorFlow."""

import contextlib
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from jaxvision.data.errors import DatasetError


def fetch(manager: tfds.download.DownloadManager, urls: Mapping[str, str]) -> dict[str, Any]:
    """Downloads archives unless they are on disk, and returns their paths by the names of `urls`.

    Raises a DatasetError if a checksum differs from the published one, which TFDS knows.
    """
    try:
        paths: dict[str, Any] = manager.download(dict(urls))
    except NonMatchingChecksumError as error:
        what, *_ = str(error).splitlines()
        raise DatasetError(
            f"{what.rstrip(':')}: it is damaged, cut short, or another file. Delete it, and "
            "download it again"
        ) from error
    return paths


@contextlib.contextmanager
def reading(path: Any) -> Iterator[None]:
    """Turns errors of a truncated or damaged archive into a DatasetError that names it."""
    try:
        yield
    except (EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path} is cut short or damaged: {error}") from error


def read_idx(file: io.IOBase, name: str) -> UInt8[np.ndarray, "..."]:
    """Reads an array of bytes in the IDX format of MNIST from a decompressed file.

    Raises a DatasetError, which calls the file `name`, if its format or length is wrong.

    >>> content = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])
    >>> read_idx(io.BytesIO(content), "labels").tolist()
    [7, 8, 9]
    """
    start = file.read(4)
    if len(start) < 4 or start[:3] != b"\0\0\x08":
        raise DatasetError(f"{name} is not an IDX file of bytes: it begins with {start!r}")
    sizes = file.read(4 * start[3])
    shape = np.frombuffer(sizes[: len(sizes) // 4 * 4], ">u4").astype(np.int64)
    content = np.frombuffer(file.read(), np.uint8)
    if len(shape) != start[3] or content.size != shape.prod():
        raise DatasetError(
            f"{name} holds {content.size:,} bytes, and its header says that they are an array of "
            f"shape {tuple(shape.tolist())}"
        )
    return content.reshape(shape)


def png(pixels: UInt8[np.ndarray, "height width *channels"]) -> bytes:
    r"""Encodes pixels as PNG; the axis of a single channel may be left out.

    >>> png(np.zeros((2, 2, 1), np.uint8))[:4]
    b'\x89PNG'
    """
    if pixels.shape[2:] == (1,):
        pixels = pixels[..., 0]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
