"""Images of a data set for the figures of tasks."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from jaxvision import plots
from jaxvision.data import Dataset

Images = Shaped[np.ndarray, "batch height width channels"]


def some_images(
    dataset: Dataset, indices: Int[np.ndarray, " examples"], count: int
) -> tuple[Int[np.ndarray, " rows"], Images]:
    """Returns rows of the predictions, at most `count` and equally spaced, and their images."""
    last = len(indices) - 1
    rows = np.unique(np.linspace(0, last, min(count, len(indices))).round().astype(int))
    return rows, np.stack([dataset[int(indices[row])]["image"] for row in rows])


def from_0_to_1(images: Any) -> Float[np.ndarray, "batch height width channels"]:
    """Returns images as floats in [0, 1].

    >>> from_0_to_1(np.full((1, 1, 1, 1), 255, np.uint8)).item()
    1.0
    """
    array = np.asarray(images)
    floats: np.ndarray = array / 255 if array.dtype == np.uint8 else array.astype(np.float32)
    return floats.clip(0, 1)


def drawable(image: np.ndarray) -> np.ndarray:
    """The image with 1, 3 or 4 channels, as uint8 or floats in [0, 1]; rescaled if necessary.

    >>> drawable(np.array([[[-1.0], [3.0]]])).ravel().tolist()
    [0.0, 1.0]
    """
    if image.shape[-1] not in (1, 3, 4):
        image = image[..., :1]
    low, high = float(image.min()), float(image.max())
    if image.dtype == np.uint8 or (image.dtype.kind in "fV" and 0 <= low <= high <= 1):
        return image
    return ((image.astype(np.float32) - low) / max(high - low, 1e-12)).clip(0, 1)


def beside(*kinds: Any) -> list[np.ndarray]:
    """Lists the first image of each kind, then the second of each, for a sheet with a row for each.

    >>> images = np.zeros((3, 2, 2, 1))
    >>> len(beside(images, images + 1))
    6
    """
    return [image for row in zip(*map(from_0_to_1, kinds), strict=True) for image in row]


def plane_of(codes: Float[np.ndarray, "examples latents"]) -> Float[np.ndarray, "examples 2"]:
    """Projects codes onto the two directions in which they vary most, for a picture.

    >>> plane_of(np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [0.0, 3.0, 0.0]])).shape
    (3, 2)
    """
    centered = codes - codes.mean(axis=0)
    _, _, directions = np.linalg.svd(centered, full_matrices=False)
    if len(directions) < 2:
        directions = np.concatenate([directions, np.zeros_like(directions)])
    return centered @ directions[:2].T


def save_figures(folder: pathlib.Path, drawn: Mapping[str, Any]) -> list[pathlib.Path]:
    """Writes figures to `figures/NAME.png` in a run's folder, and returns the paths."""
    paths = []
    for name, figure in drawn.items():
        paths.append(folder / "figures" / f"{name}.png")
        plots.save(figure, paths[-1])
    return paths
