"""Figures of a classifier's run folder."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from jaxvision import metrics, plots
from jaxvision.data import Dataset
from jaxvision.files import file_name
from jaxvision.train._pictures import save_figures
from jaxvision.train.classification.mistakes import names_of_files
from jaxvision.train.classification.prediction import Predictions
from jaxvision.train.run.log import read_metrics

if TYPE_CHECKING:
    import matplotlib.figure


def draw(
    run_dir: str | pathlib.Path,
    predictions: Predictions,
    dataset: Dataset,
    *,
    num_mistakes: int = 25,
) -> list[pathlib.Path]:
    """Draws the figures of a classifier into `figures/` of its run folder.

    The learning curves are written there; the figures about the data go to a subfolder named after
    the data set and split.

    Args:
        run_dir: Folder of the run.
        predictions: Output of `predict` on `dataset`.
        dataset: Data set with the images and class names.
        num_mistakes: Largest number of mistakes shown.

    Returns:
        Paths of the figures: learning curves (if the run has a log), confusion matrix, most
        confident mistakes, reliability diagram.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    folder = pathlib.Path(run_dir).expanduser()
    logits, labels, indices = predictions
    names = dataset.class_names or None
    title = f"{dataset.name}/{dataset.split}"
    place = file_name(title)
    drawn: dict[str, matplotlib.figure.Figure] = {}
    if history := read_metrics(folder):
        drawn["learning_curves"] = plots.learning_curves(
            history, title=f"{folder.name}: training on {dataset.name}"
        )
    drawn[f"{place}/confusion_matrix"] = plots.confusion_matrix(
        metrics.confusion_matrix(labels, predictions.classes, logits.shape[1]),
        names,
        title=f"{title}: true and predicted classes",
    )
    drawn[f"{place}/mistakes"] = plots.mistakes(
        _Images(dataset, indices),
        labels,
        predictions.classes,
        predictions.probabilities.max(axis=1),
        names,
        file_names=names_of_files(dataset, indices),
        count=num_mistakes,
        title=title,
    )
    drawn[f"{place}/reliability"] = plots.reliability_diagram(
        predictions.probabilities, labels, title=f"{title}: confidence and accuracy"
    )
    return save_figures(folder, drawn)


class _Images(Sequence[np.ndarray]):
    """Images of a data set at some indices, decoded on access."""

    def __init__(self, dataset: Dataset, indices: Int[np.ndarray, " examples"]) -> None:
        self._dataset = dataset
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> np.ndarray:  # type: ignore[override]
        image: np.ndarray = self._dataset[int(self._indices[position])]["image"]
        return image
