"""Image sequences, as an animation or side by side."""

import pathlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxvision.files import writing

Frames = UInt8[np.ndarray, "time height width 3"]

_GAP, _LETTERS = 4, 14
"""Distance of the images of a strip, and least size of the letters of its caption, in pixels."""
_HELD, _SHORTEST = 1_500, 3_000
"""Shortest display of the last image, and shortest duration of a film, in milliseconds."""


def save_gif(frames: Frames, path: str | pathlib.Path, *, frames_per_second: float = 30.0) -> None:
    """Writes images as an animated GIF that repeats.

    The last image is held for 1.5 seconds, or longer if the film is shorter than three seconds, so
    that its end can be seen.

    Args:
        frames: Images of the film.
        path: File name ending in `.gif`; missing folders are created.
        frames_per_second: Speed of the film; GIF rounds it to hundredths of a second per image.

    Raises:
        ValueError: The file name has another ending, there are no images, or the speed is not
            positive.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_gif(np.zeros((3, 8, 8, 3), np.uint8), f"{folder}/episode.gif")
    ...     with Image.open(f"{folder}/episode.gif") as image:
    ...         print(image.size)
    (8, 8)
    """
    if not len(frames) or not frames_per_second > 0:
        raise ValueError(
            "a film needs images, and positive frames_per_second, got "
            f"{len(frames)} and {frames_per_second}"
        )
    first, *others = (Image.fromarray(frame).quantize(64) for frame in frames)
    each = max(20, round(1000 / frames_per_second))
    last = max(each, _HELD, _SHORTEST - each * len(others))
    with _file(path, ".gif") as file:
        first.save(
            file,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=[*[each] * len(others), last],
            loop=0,
        )


def save_strip(
    frames: Frames, path: str | pathlib.Path, *, count: int = 8, caption: str = ""
) -> None:
    """Writes evenly spaced images of a film side by side, as a PNG.

    Args:
        frames: Images of the film.
        path: File name ending in `.png`; missing folders are created.
        count: Number of images shown.
        caption: Text below the images.

    Raises:
        ValueError: The file name has another ending, or there are no images.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_strip(np.zeros((3, 8, 8, 3), np.uint8), f"{folder}/episode.png", count=2)
    ...     with Image.open(f"{folder}/episode.png") as image:
    ...         print(image.size)
    (20, 8)
    """
    if not len(frames) or count < 1:
        raise ValueError(f"a strip needs images, got {count} of {len(frames)}")
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    gap = np.full((frames.shape[1], _GAP, 3), 255, np.uint8)
    pieces: Sequence[np.ndarray] = [piece for index in chosen for piece in (frames[index], gap)]
    strip = Image.fromarray(np.concatenate(pieces[:-1], axis=1))
    with _file(path, ".png") as file:
        (_captioned(strip, caption) if caption else strip).save(file, format="PNG")


def _captioned(strip: Image.Image, caption: str) -> Image.Image:
    """An image above a line of text, which fits into its width."""
    letters = max(_LETTERS, strip.height // 8)
    font = ImageFont.load_default(size=letters)
    wide = font.getlength(caption) + 2 * _GAP
    if wide > strip.width:
        font = ImageFont.load_default(size=max(6.0, letters * strip.width / wide))
    whole = Image.new("RGB", (strip.width, strip.height + 2 * letters), "white")
    whole.paste(strip)
    middle = (strip.width / 2, strip.height + letters)
    ImageDraw.Draw(whole).text(middle, caption, fill="black", font=font, anchor="mm")
    return whole


def _file(path: str | pathlib.Path, suffix: str) -> AbstractContextManager[BinaryIO]:
    path = pathlib.Path(path)
    if path.suffix.lower() != suffix:
        raise ValueError(f"the name must end in {suffix}, got {path.name!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return writing(path)
