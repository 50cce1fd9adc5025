"""Figures of a segmenter's run folder."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int

from jaxvision import metrics, ops, plots
from jaxvision._labels import IGNORED
from jaxvision.data import Dataset, mask_colors
from jaxvision.files import file_name
from jaxvision.train._pictures import drawable, save_figures
from jaxvision.train.run.log import read_metrics
from jaxvision.train.segmentation.prediction import Predictions
from jaxvision.train.segmentation.scores import count, mean_iou, names_of

if TYPE_CHECKING:
    import matplotlib.figure


def draw(
    run_dir: str | pathlib.Path,
    predictions: Predictions,
    dataset: Dataset,
    class_names: Sequence[str] = (),
    *,
    num_images: int = 8,
    remark: str = "",
) -> list[pathlib.Path]:
    """Draws the figures of a segmenter into `figures/` of its run folder.

    The learning curves are written there; the figures about the data go to a subfolder named after
    the data set and split.

    Args:
        run_dir: Folder of the run.
        predictions: Output of `predict` on `dataset`.
        dataset: Data set with the images. Of a volume, the plane with the most foreground pixels
            (classes above 0) is shown.
        class_names: Class names; a class without a name is shown by its number.
        num_images: Largest number of images, spread evenly from the lowest mean IoU to the highest.
        remark: Text that follows the data set in titles, such as how predictions were refined.

    Returns:
        Paths of the figures: learning curves (if the run has a log), and, if there are labels, the
        confusion matrix of pixels and the images with their masks.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    folder = pathlib.Path(run_dir).expanduser()
    title = f"{dataset.name}/{dataset.split}"
    place = file_name(title)
    title += f", {remark}" if remark else ""
    drawn: dict[str, matplotlib.figure.Figure] = {}
    if history := read_metrics(folder):
        drawn["learning_curves"] = plots.learning_curves(
            history, title=f"{folder.name}: training on {dataset.name}"
        )
    known = predictions.labels != IGNORED
    if known.any():
        names = names_of(predictions, class_names)
        matrix = metrics.confusion_matrix(
            predictions.labels[known], predictions.classes[known], predictions.num_classes
        )
        drawn[f"{place}/confusion_matrix"] = plots.confusion_matrix(
            matrix, names, title=f"{title}: true and predicted pixels"
        )
        drawn[f"{place}/masks"] = _masks(predictions, dataset, names, num_images, title)
    return save_figures(folder, drawn)


def _masks(
    predictions: Predictions, dataset: Dataset, names: Sequence[str], num_images: int, title: str
) -> "matplotlib.figure.Figure":
    rows, scores = _from_worst_to_best(predictions, num_images)
    shown = [_plane(predictions, dataset, int(row)) for row in rows]
    images, truths, guesses = zip(*shown, strict=True)
    indices = predictions.indices[rows]
    return plots.segmentations(
        images,
        truths,
        guesses,
        mask_colors(predictions.num_classes),
        names,
        captions=[
            f"image {index}, IoU {score:.2f}" for index, score in zip(indices, scores, strict=True)
        ],
        title=f"{title}: from the lowest mean IoU to the highest",
    )


def _from_worst_to_best(
    predictions: Predictions, num_images: int
) -> tuple[Int[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
    """Rows and mean IoU of images from worst to best; images without labels are skipped."""
    scores = np.array([mean_iou(each[None]) for each in count(predictions)])
    labelled = (predictions.labels != IGNORED).reshape(len(scores), -1).any(axis=1)
    order = np.flatnonzero(labelled)[np.argsort(scores[labelled], kind="stable")]
    chosen = order[np.linspace(0, len(order) - 1, min(num_images, len(order))).round().astype(int)]
    return chosen, scores[chosen]


def _plane(predictions: Predictions, dataset: Dataset, row: int) -> tuple[Any, Any, Any]:
    """An image with its true and predicted mask; of a volume, the plane with most foreground."""
    image: np.ndarray = dataset[int(predictions.indices[row])]["image"]
    truth, guess = predictions.labels[row], predictions.classes[row]
    image = drawable(ops.center_crop(image, truth.shape, first_axis=0))
    if truth.ndim == 2:
        return image, truth, guess
    foreground = (truth > 0) & (truth != IGNORED)
    plane = int(foreground.sum(axis=(1, 2)).argmax())
    return image[plane], truth[plane], guess[plane]
