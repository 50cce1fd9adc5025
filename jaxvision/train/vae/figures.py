"""Figures of a variational autoencoder's run folder."""

import pathlib
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxvision import plots
from jaxvision.data import Dataset
from jaxvision.files import file_name
from jaxvision.train._paths import Path
from jaxvision.train._pictures import beside, from_0_to_1, plane_of, save_figures, some_images
from jaxvision.train.run.log import read_metrics
from jaxvision.train.vae.prediction import Predictions

if TYPE_CHECKING:
    import matplotlib.figure

    from jaxvision.train.vae.trained import TrainedVAE

STEPS = 9
"""Images per row of an interpolation or a traversal."""


def draw(
    trained: "TrainedVAE", predictions: Predictions, dataset: Dataset, *, num_images: int = 10
) -> list[pathlib.Path]:
    """Draws the figures of a variational autoencoder into `figures/` of its run folder.

    The learning curves and samples are written there; the figures about the data go to a subfolder
    named after the data set and split.

    Args:
        trained: Restored run.
        predictions: Output of `trained.predict` on `dataset`.
        dataset: Data set with the images.
        num_images: Images per figure.

    Returns:
        Paths of the figures: learning curves (if the run has a log), samples, reconstructions,
        interpolations on a line and on a sphere, traversals of the most active code dimensions,
        images with the lower half filled in, and the codes in the plane.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    folder = trained.run.folder
    title = f"{dataset.name}/{dataset.split}"
    place = file_name(title)
    rows, images = some_images(dataset, predictions.indices, num_images)
    labels = None if trained.model.num_classes is None else predictions.labels[rows]
    drawn: dict[str, matplotlib.figure.Figure] = {}
    if history := read_metrics(folder):
        drawn["learning_curves"] = plots.learning_curves(
            history, title=f"{folder.name}: training on {dataset.name}"
        )
    drawn["samples"] = _samples(trained)
    drawn[f"{place}/reconstructions"] = plots.image_grid(
        beside(images, predictions.reconstructions[rows]),
        ["image", "reconstruction"] * len(rows),
        10,
        title=f"{title}: reconstructions of mean codes",
    )
    drawn[f"{place}/interpolations"] = _interpolations(trained, images, labels, title)
    drawn[f"{place}/traversals"] = _traversals(trained, predictions, images[:1], labels, title)
    drawn[f"{place}/completed"] = _completed(trained, images, labels, title)
    drawn[f"{place}/codes"] = _codes(trained, predictions, title)
    return save_figures(folder, drawn)


def _samples(trained: "TrainedVAE", count: int = 50) -> "matplotlib.figure.Figure":
    classes = trained.model.num_classes
    labels = None if classes is None else np.arange(count) % classes
    images = trained.sample(jax.random.key(0), count, labels)
    return plots.image_grid(images, None, 10, title="expected images of codes from the prior")


def _interpolations(
    trained: "TrainedVAE", images: np.ndarray, labels: Any, title: str
) -> "matplotlib.figure.Figure":
    """Two rows for each pair of images, at most three pairs: on a line, and on a sphere."""
    pairs = min(len(images) // 2, 3)
    first, second = images[:pairs], images[pairs : 2 * pairs]
    of_first = None if labels is None else labels[:pairs]
    paths: tuple[Path, ...] = ("linear", "spherical")
    between = np.stack(
        [trained.interpolate(first, second, STEPS, of_first, path=path) for path in paths]
    )  # paths, steps, pairs
    grid = between.transpose(2, 0, 1, 3, 4, 5).reshape(-1, *between.shape[3:])
    titles = [
        path if step == 0 else "" for _ in range(pairs) for path in paths for step in range(STEPS)
    ]
    return plots.image_grid(
        grid, titles, STEPS, title=f"{title}: from one image (left) to another (right)"
    )


def _traversals(
    trained: "TrainedVAE", predictions: Predictions, image: np.ndarray, labels: Any, title: str
) -> "matplotlib.figure.Figure":
    order = np.argsort(-predictions.kl.mean(axis=0))[:6]
    values = np.linspace(-3, 3, STEPS)
    panels, titles = [], []
    for index in order:
        one = None if labels is None else labels[:1]
        moved = np.asarray(trained.traverse(image, int(index), values, one))[:, 0]
        panels += list(moved)
        titles += [f"z{index} = {value:+.1f}" for value in values]
    return plots.image_grid(
        panels, titles, STEPS, title=f"{title}: one number of a code moves, the others stay"
    )


def _completed(
    trained: "TrainedVAE", images: np.ndarray, labels: Any, title: str
) -> "matplotlib.figure.Figure":
    known = np.zeros(images.shape, bool)
    known[:, : (images.shape[1] + 1) // 2] = True
    found = np.asarray(trained.complete(images, known, labels, key=jax.random.key(0)))
    hidden = np.where(known, from_0_to_1(images), 0.5)
    return plots.image_grid(
        beside(images, hidden, found),
        ["image", "what is known", "filled in"] * len(images),
        9,
        title=f"{title}: the lower half filled in by the most probable code",
    )


def _codes(
    trained: "TrainedVAE", predictions: Predictions, title: str
) -> "matplotlib.figure.Figure":
    plane = predictions.means
    axes = ("z0", "z1")
    if plane.shape[1] != 2:
        plane, axes = plane_of(plane), ("first principal axis", "second principal axis")
    return plots.scatter(
        plane, predictions.labels, trained.class_names, axes=axes, title=f"{title}: mean codes"
    )
