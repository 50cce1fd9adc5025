"""Published archives: where they come from, and how files in them are read without TensorFlow."""

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
    """Downloads archives, unless they lie on the disk, and compares their checksums.

    Args:
        manager: The download manager of TFDS, which knows the published checksums.
        urls: Addresses by any names.

    Returns:
        The paths of the archives, by the same names.

    Raises:
        DatasetError: An archive is not the one that was published.
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
    """Names the archive in the errors of whatever reads it.

    Args:
        path: The archive.

    Raises:
        DatasetError: The archive is cut short or damaged.
    """
    try:
        yield
    except (EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path} is cut short or damaged: {error}") from error


def read_idx(file: io.IOBase, name: str) -> UInt8[np.ndarray, "..."]:
    """Reads an array of bytes in the IDX format of MNIST.

    Args:
        file: The file, decompressed.
        name: The name of the file in errors.

    Returns:
        The array.

    Raises:
        DatasetError: The file is of another format, or of another length than its header says.

    >>> content = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])
    >>> read_idx(io.BytesIO(content), "labels").tolist()
    [7, 8, 9]
    """
    start = file.read(4)
    if len(start) < 4 or start[:3] != b"\0\0\x08":
        raise DatasetError(f"{name} is no IDX file of bytes: it begins with {start!r}")
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
    r"""Encodes an image.

    Args:
        pixels: The pixels; one channel may be left out.

    Returns:
        A PNG file.

    >>> png(np.zeros((2, 2, 1), np.uint8))[:4]
    b'\x89PNG'
    """
    if pixels.shape[2:] == (1,):
        pixels = pixels[..., 0]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
