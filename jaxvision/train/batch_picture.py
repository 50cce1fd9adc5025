"""A picture of what a model is trained on."""

import pathlib
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from jaxvision import plots
from jaxvision._labels import IGNORED
from jaxvision.data import Dataset, mask_colors
from jaxvision.train.inputs import Inputs

if TYPE_CHECKING:
    import matplotlib.figure

_SHARE_SHOWN = 0.005
"""The least share of a class in a mixed label that is written."""


def draw_batch(
    run_dir: str | pathlib.Path,
    dataset: Dataset,
    inputs: Inputs,
    seed: int = 0,
    *,
    num_images: int = 24,
) -> pathlib.Path | None:
    """Draws training images as the model will see them, into `figures/batch.png` of a run's folder.

    They are augmented as in training, with their labels or masks. Mean and deviation are undone, so
    that the images look as people know them. It is worth a look before the training: mistakes in
    labels, colors and augmentation show at once.

    Args:
        run_dir: The run's folder.
        dataset: The training data, with `image`, and `label` or `mask` or neither.
        inputs: How batches are augmented and normalized.
        seed: Chooses the images and what the augmentation draws.
        num_images: How many images to show at the most.

    Returns:
        The file; None for data that are not images, such as volumes.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    folder = pathlib.Path(run_dir).expanduser()
    if "image" not in dataset.fields or len(dataset.image_shape) != 3:
        return None
    count = min(num_images if "mask" not in dataset.fields else num_images // 2, len(dataset))
    batch = next(dataset.batches(count, seed=seed, process_index=0, process_count=1))
    seen: Any = jax.device_get(jax.jit(inputs.train)(jax.random.key(seed), batch))
    path = folder / "figures" / "batch.png"
    plots.save(_figure(dataset, inputs, seen), path)
    return path


def _figure(dataset: Dataset, inputs: Inputs, seen: dict[str, Any]) -> "matplotlib.figure.Figure":
    images = _shown(seen["image"], inputs)
    what = "training images" if inputs.augment is None else "augmented training images"
    title = f"{dataset.name}/{dataset.split}: {what}, as the model sees them"
    mask = seen.get("mask")
    if mask is not None and mask.ndim == 3:
        names = dataset.fields["mask"].names
        labeled = mask[mask != IGNORED]
        count = len(names) or int(labeled.max(initial=0)) + 1
        numbers = [str(index) for index in range(count)]
        return plots.labeled_masks(
            images, mask.astype(np.int64), mask_colors(count), names or numbers, title=title
        )
    titles = None
    if "label" in seen and dataset.class_names:
        titles = [label_in_words(label, dataset.class_names) for label in seen["label"]]
    return plots.image_grid(images, titles, min(6, len(images)), title=title)


def label_in_words(label: Any, names: tuple[str, ...]) -> str:
    r"""Writes the label of an image, or the shares of classes that mixing made of it.

    Args:
        label: The number of a class, or a share for each.
        names: The names of the classes.

    Returns:
        A line for each class that has a share.

    >>> label_in_words(np.array([0.25, 0.0, 0.75]), ("cat", "dog", "owl"))
    'owl 75%\ncat 25%'
    """
    if np.ndim(label) == 0:
        return names[int(label)] if 0 <= int(label) < len(names) else "no label"
    order = [index for index in np.argsort(-label, kind="stable") if label[index] >= _SHARE_SHOWN]
    if len(order) == 1:
        return names[order[0]]
    return "\n".join(f"{names[index]} {label[index]:.0%}" for index in order)


def _shown(images: Any, inputs: Inputs) -> Float[np.ndarray, "batch height width channels"]:
    """Normalized images as they are drawn; of other numbers of channels the first."""
    pixels = np.asarray(images, np.float32) * np.array(inputs.std) + np.array(inputs.mean)
    if pixels.shape[-1] not in (1, 3, 4):
        pixels = pixels[..., :1]
    return np.nan_to_num(pixels).clip(0, 1).astype(np.float32)
