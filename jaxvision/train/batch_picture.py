"""A picture of training images as the model sees them."""

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
"""The smallest share of a class in a mixed label that is shown."""


def draw_batch(
    run_dir: str | pathlib.Path,
    dataset: Dataset,
    inputs: Inputs,
    seed: int = 0,
    *,
    num_images: int = 24,
) -> pathlib.Path | None:
    """Draws training images as the model sees them, into `figures/batch.png` of a run's folder.

    They are augmented as in training, and shown with their labels or masks. Normalization is
    undone, so that colors look natural. Look at the picture before training: it reveals mistakes in
    labels, colors and augmentation.

    Args:
        run_dir: The run's folder.
        dataset: The training data: `image`, and `label` or `mask` or neither.
        inputs: How batches are augmented and normalized.
        seed: Seed of the choice of images and of the augmentation.
        num_images: How many images to show at most; half as many with masks.

    Returns:
        The path of the file; None for data that are not images, such as volumes.

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
    r"""Returns the class name of a label, or lines with the class shares of a mixed label.

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
    """Images with normalization undone; only the first channel unless there are 1, 3 or 4."""
    pixels = np.asarray(images, np.float32) * np.array(inputs.std) + np.array(inputs.mean)
    if pixels.shape[-1] not in (1, 3, 4):
        pixels = pixels[..., :1]
    return np.nan_to_num(pixels).clip(0, 1).astype(np.float32)
