"""Figures of an autoencoder's run folder."""

import pathlib
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxvision import metrics, plots
from jaxvision.data import Dataset
from jaxvision.files import file_name
from jaxvision.train._pictures import beside, plane_of, save_figures, some_images
from jaxvision.train.run.log import read_metrics

if TYPE_CHECKING:
    import matplotlib.figure

    from jaxvision.train.autoencoding.trained import Predictions, TrainedAutoencoder


def draw(
    trained: "TrainedAutoencoder",
    predictions: "Predictions",
    dataset: Dataset,
    *,
    num_images: int = 10,
) -> list[pathlib.Path]:
    """Draws the figures of an autoencoder into `figures/` of its run folder.

    Learning curves, filters and samples are written there; the figures about the data go to a
    subfolder named after the data set and split.

    Args:
        trained: Restored run.
        predictions: Output of `trained.predict` on `dataset`.
        dataset: Data set with the images.
        num_images: Images per figure.

    Returns:
        Paths of the figures: learning curves (if the run has a log), filters of the first layer,
        images of random codes, reconstructions next to the images, and the codes in the plane.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    folder = trained.run.folder
    title = f"{dataset.name}/{dataset.split}"
    place = file_name(title)
    rows, _ = some_images(dataset, predictions.indices, num_images)
    corrupted = bool(trained.loss.noise or trained.loss.masking)
    kinds = [predictions.images, *([predictions.seen] if corrupted else [])]
    kinds.append(predictions.reconstructions)
    names = ["image", *(["what the encoder sees"] if corrupted else []), "reconstruction"]
    drawn: dict[str, matplotlib.figure.Figure] = {}
    if history := read_metrics(folder):
        drawn["learning_curves"] = plots.learning_curves(
            history, title=f"{folder.name}: training on {dataset.name}"
        )
    if (filters := _filters(trained, dataset.image_shape)) is not None:
        drawn["filters"] = filters
    drawn["samples"] = plots.image_grid(
        trained.sample(jax.random.key(0), 50, predictions.codes),
        None,
        10,
        title="images of codes drawn from the normal distribution fitted to all codes",
    )
    drawn[f"{place}/reconstructions"] = plots.image_grid(
        beside(*(each[rows] for each in kinds)),
        _titles(names, kinds, rows),
        len(names) * (2 if corrupted else 4),
        title=f"{title}: reconstructions",
    )
    plane, axes = predictions.codes, ("z0", "z1")
    if plane.shape[1] != 2:
        plane, axes = plane_of(plane), ("first principal axis", "second principal axis")
    drawn[f"{place}/codes"] = plots.scatter(
        plane, predictions.labels, trained.class_names, axes=axes, title=f"{title}: codes"
    )
    return save_figures(folder, drawn)


def _titles(names: list[str], kinds: list[np.ndarray], rows: Int[np.ndarray, " rows"]) -> list[str]:
    """Title of each panel: its name, PSNR and SSIM."""
    images = jnp.asarray(kinds[0])
    lines = [["image"] * len(rows)]
    for name, each in zip(names[1:], kinds[1:], strict=True):
        psnr = np.asarray(metrics.psnr(jnp.asarray(each), images))
        ssim = np.asarray(metrics.ssim(jnp.asarray(each), images, padding="symmetric"))
        lines.append([f"{name}\n{psnr[row]:.1f} dB, SSIM {ssim[row]:.2f}" for row in rows])
    return [title for row in zip(*lines, strict=True) for title in row]


def _filters(
    trained: "TrainedAutoencoder", shape: tuple[int, ...], count: int = 64
) -> "matplotlib.figure.Figure | None":
    """Kernels of the encoder's first layer, each scaled by itself; gray is 0."""
    layers = trained.variables["params"].get("encoder", {})
    first = layers.get("conv0", layers.get("hidden0"))
    if first is None:
        first = trained.variables["params"]["code"]
    kernels = np.asarray(first["kernel"])
    if kernels.ndim == 2:
        if kernels.shape[0] != np.prod(shape):
            return None
        kernels = kernels.reshape(*shape, -1)
    if kernels.shape[2] not in (1, 3):
        return None
    images = np.moveaxis(kernels, -1, 0)[:count]
    largest = np.abs(images).max(axis=(1, 2, 3), keepdims=True)
    return plots.image_grid(
        0.5 + 0.5 * images / np.where(largest == 0, 1, largest),
        None,
        8,
        title="weights of the first layer, each scaled by itself; gray is 0",
    )
