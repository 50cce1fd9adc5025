"""Image files that a command names."""

import pathlib
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import UnidentifiedImageError

from jaxvision import data
from jaxvision.files import file_name
from jaxvision.folders import no_such_folder


def found(given: Sequence[str]) -> list[str]:
    """The named image files, and those in named folders."""
    paths: list[str] = []
    for name in given:
        place = pathlib.Path(name).expanduser()
        images = [str(path) for path in data.find_images(place)] if place.is_dir() else [name]
        if not images:
            raise SystemExit(f"{name} holds no images, which have suffixes such as .png and .jpg")
        paths += images
    return paths


def stems_of(paths: Sequence[str]) -> dict[str, str]:
    """Names for what is made of each image, without suffix; images that share one add folders."""
    stems = [pathlib.Path(path).stem for path in paths]
    return {
        path: stem if stems.count(stem) == 1 else file_name(str(pathlib.Path(path).with_suffix("")))
        for path, stem in zip(paths, stems, strict=True)
    }


def decoded(paths: Sequence[str], channels: int, names: list[str]) -> Iterator[np.ndarray]:
    """Yields readable images and appends their paths to `names`; prints errors of the others."""
    for path in paths:
        try:
            image = data.decode_image(pathlib.Path(path), channels=channels)
        except (OSError, data.CorruptImageError) as error:
            print(unreadable(path, error), file=sys.stderr)
            continue
        names.append(path)
        yield image


def unreadable(path: str, error: Exception) -> str:
    """Why an image file cannot be read."""
    if isinstance(error, FileNotFoundError):
        return no_such_folder(path, "image file")
    if isinstance(error.__cause__, UnidentifiedImageError):
        return f"{path} is not an image, or of a kind that Pillow cannot read"
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{path}: {reason or str(error).removeprefix(f'cannot decode {path}: ')}"
