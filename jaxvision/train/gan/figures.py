"""Figures of a GAN's run folder."""

import math
import pathlib
from typing import TYPE_CHECKING

import jax
import numpy as np

from jaxvision import metrics, plots
from jaxvision.data import Dataset
from jaxvision.files import file_name
from jaxvision.train._pictures import save_figures
from jaxvision.train.run.log import read_metrics

if TYPE_CHECKING:
    import matplotlib.figure

    from jaxvision.train.gan.trained import Predictions, TrainedGAN

STEPS = 9
"""Images per row of an interpolation."""


def draw(
    trained: "TrainedGAN", predictions: "Predictions", dataset: Dataset, *, num_images: int = 50
) -> list[pathlib.Path]:
    """Draws the figures of a GAN into `figures/` of its run folder.

    Args:
        trained: Restored run.
        predictions: Output of `trained.predict` on `dataset`.
        dataset: Data set with the real images.
        num_images: Number of samples shown.

    Returns:
        Paths of the figures: learning curves (if the run has a log), samples, and interpolations;
        and, in a subfolder named after the data set and split, samples next to their nearest real
        images.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    folder = trained.run.folder
    place = file_name(f"{dataset.name}/{dataset.split}")
    drawn: dict[str, matplotlib.figure.Figure] = {}
    if history := read_metrics(folder):
        drawn["learning_curves"] = plots.learning_curves(
            history, title=f"{folder.name}: training on {dataset.name}"
        )
    labels = _labels(trained, num_images)
    samples = trained.sample(jax.random.key(0), num_images, labels)
    drawn["samples"] = plots.image_grid(
        samples, None, 10, title=f"samples at step {trained.run.step}"
    )
    drawn["interpolations"] = _interpolations(trained)
    drawn[f"{place}/nearest"] = nearest(
        predictions.fake[:20],
        predictions.real,
        title=f"samples, and the nearest image of {dataset.name}/{dataset.split}",
    )
    return save_figures(folder, drawn)


def nearest(
    fake: np.ndarray, real: np.ndarray, *, title: str | None = None
) -> "matplotlib.figure.Figure":
    """Draws each generated image next to its nearest real image, by squared error.

    Args:
        fake: Generated images, in [0, 1].
        real: Real images, in [0, 1].
        title: Title of the figure.

    Returns:
        The figure; above each real image is its root mean squared difference from the sample.
    """
    flat = [images.reshape(len(images), -1) for images in (fake, real)]
    chosen, distances = metrics.nearest(*flat)
    apart = distances / math.sqrt(flat[0].shape[1])
    panels = [image for row, index in enumerate(chosen) for image in (fake[row], real[index])]
    titles = [text for number in apart for text in ("sample", f"nearest: {number:.2f}")]
    return plots.image_grid(panels, titles, 10, title=title)


def _labels(trained: "TrainedGAN", count: int) -> np.ndarray | None:
    classes = trained.generator.num_classes
    return None if classes is None else np.arange(count) % classes


def _interpolations(trained: "TrainedGAN", rows: int = 5) -> "matplotlib.figure.Figure":
    noise = jax.random.normal(jax.random.key(1), (2, rows, trained.generator.noise_size))
    labels = _labels(trained, rows)
    between = np.asarray(trained.interpolate(noise[0], noise[1], STEPS, labels))
    grid = between.swapaxes(0, 1).reshape(-1, *between.shape[2:])
    return plots.image_grid(grid, None, STEPS, title="from one sample (left) to another (right)")
