"""Figures of the run folder of a model of fixations."""

import pathlib
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxvision import plots
from jaxvision.data import Dataset
from jaxvision.files import file_name
from jaxvision.train._pictures import drawable, save_figures, some_images
from jaxvision.train.fixations.prediction import Predictions
from jaxvision.train.fixations.scores import scores_of_images
from jaxvision.train.run.log import read_metrics

if TYPE_CHECKING:
    import matplotlib.figure


def draw(
    run_dir: str | pathlib.Path,
    predictions: Predictions,
    dataset: Dataset,
    *,
    num_images: int = 6,
) -> list[pathlib.Path]:
    """Draws the figures of a model of fixations into `figures/` of its run folder.

    The learning curves are written there; the images with fixations and densities go to a subfolder
    named after the data set and split.

    Args:
        run_dir: Folder of the run.
        predictions: Output of `predict` on `dataset`.
        dataset: Data set with the images.
        num_images: Largest number of images. With true densities, they are spread evenly from the
            highest divergence to the lowest; else over the data.

    Returns:
        Paths of the figures: learning curves (if the run has a log), and the densities.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    folder = pathlib.Path(run_dir).expanduser()
    title = f"{dataset.name}/{dataset.split}"
    drawn: dict[str, matplotlib.figure.Figure] = {}
    if history := read_metrics(folder):
        drawn["learning_curves"] = plots.learning_curves(
            history, title=f"{folder.name}: training on {dataset.name}"
        )
    drawn[f"{file_name(title)}/densities"] = _densities(predictions, dataset, num_images, title)
    return save_figures(folder, drawn)


def _densities(
    predictions: Predictions, dataset: Dataset, num_images: int, title: str
) -> "matplotlib.figure.Figure":
    order = np.arange(len(predictions.indices))
    captions = [f"image {index}" for index in predictions.indices]
    if predictions.density is not None:
        kl = scores_of_images(predictions.log_density, predictions.density)["kl"]
        order = np.argsort(-kl, kind="stable")
        captions = [f"{text}, KL {x:.3f}" for text, x in zip(captions, kl, strict=True)]
        title += ": from the highest divergence (KL, in nats) to the lowest"
    chosen, images = some_images(dataset, predictions.indices[order], num_images)
    rows = order[chosen]
    densities = {} if predictions.density is None else {"true density": predictions.density[rows]}
    densities["prediction"] = np.exp(predictions.log_density[rows])
    return plots.fixation_densities(
        np.stack([drawable(image) for image in images]),
        densities,
        _dots(predictions, rows),
        captions=[captions[row] for row in rows],
        title=title,
    )


def _dots(
    predictions: Predictions, rows: np.ndarray
) -> Float[np.ndarray, "rows fixations 2"] | None:
    """The fixations of some rows, NaN for those that do not count."""
    if predictions.fixations is None or predictions.valid is None:
        return None
    return np.where(predictions.valid[rows, :, None], predictions.fixations[rows], np.nan)
