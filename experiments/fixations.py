"""Learns where people look: a network predicts the density of fixations of rendered scenes.

    python experiments/fixations.py
    python experiments/fixations.py --model unet --backbone resnet18 \
        --backbone-options channels 16 --run-dir runs/fixations_unet

The fixations are synthetic: their density is known in closed form (data.Observers), and so is the
best that a prediction can reach. The script trains the network once with each seed, and scores it
on the test split beside predictions that learn nothing from the images (the mean density of the
training data), that learn nothing at all (two classical maps of saliency), and the true density.

The same command continues an interrupted run. Each seed has a run folder, for
experiments/evaluate.py and experiments/predict.py, which writes densities as gray images.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Annotated

from common import script
from common.augmentation import Augmentation
from common.fixations import FixationData
from common.learning import Devices, Inputs, Optimization
from common.masks import PixelModel
from common.run import Run, train_model
from common.script import FLAT
from common.seeds import Summary, each_over_seeds, over_seeds

import evaluate
import numpy as np
from jaxtyping import Float
from scipy import ndimage

from jaxvision import data, train

Maps = Float[np.ndarray, "images height width"]
BLUR = 2.5
"""Standard deviation of the blur of classical maps, in pixels, for images 64 pixels wide."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training with several seeds."""

    run: Annotated[Run, FLAT] = dataclasses.field(
        default_factory=lambda: Run(run_dir="runs/fixations")
    )
    data: Annotated[FixationData, FLAT] = dataclasses.field(default_factory=FixationData)
    model: Annotated[PixelModel, FLAT] = dataclasses.field(default_factory=PixelModel)
    inputs: Annotated[Inputs, FLAT] = dataclasses.field(
        default_factory=lambda: Inputs(
            mean=(0.5,),
            std=(0.25,),
            augmentation=Augmentation(flip=True, vertical_flip=True, diagonal_flip=True),
        )
    )
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(
        default_factory=lambda: Optimization(
            batch_size=8, num_steps=1_000, learning_rate=4e-3, ema_decay=0.99
        )
    )
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; the network is trained once with each seed."""


def fit(settings: Settings) -> train.FitResult:
    """Trains a network and writes a run folder."""
    if settings.inputs.augmentation.mixup or settings.inputs.augmentation.cutmix:
        raise SystemExit(
            "leave out --mixup and --cutmix: where people look in a mixture of images is unknown"
        )
    settings.run.begin(settings.devices)
    train_data, eval_data = settings.data.load_splits()
    model = settings.model.with_outputs(1, train_data.image_shape[-1], auxiliary=False)
    with script.checking():
        loss_fn = train.fixations.make_loss_fn(model, inputs=settings.inputs.make(1))
    return train_model(settings, model, loss_fn, train_data, eval_data)


def train_one(_: str, settings: Settings) -> dict[str, float]:
    """Trains with one seed; returns the scores of the run, restored from its folder."""
    fit(settings)
    return values(evaluate.main(evaluate.Settings(settings.run.run_dir, figures=False)).scores)


def values(scores: Mapping[str, evaluate.Score]) -> dict[str, float]:
    """Scores without their intervals."""
    return {name: score.value for name, score in scores.items()}


def center_prior(train_data: data.Dataset, count: int) -> Maps:
    """The mean density of the training data, for each of some images."""
    total = sum(
        train_data[i]["fixation_density"].astype(np.float64) for i in range(len(train_data))
    )
    return np.broadcast_to(total, (count, *np.shape(total)))


def color_contrast(images: Float[np.ndarray, "images height width channels"]) -> Maps:
    """The distance of each pixel's color from the mean color of its image.

    Reference: Achanta et al., Frequency-tuned salient region detection, CVPR 2009; here in RGB.
    """
    blurred = ndimage.gaussian_filter(images, blur(images), axes=(1, 2))
    distances: Maps = np.linalg.norm(blurred - images.mean(axis=(1, 2), keepdims=True), axis=-1)
    return distances


def spectral_residual(images: Float[np.ndarray, "images height width channels"]) -> Maps:
    """The energy of an image whose amplitudes are replaced by how much they stand out.

    Reference: Hou and Zhang, Saliency detection: a spectral residual approach, CVPR 2007.
    """
    spectrum = np.fft.fft2(images.mean(axis=-1))
    log_amplitude = np.log(np.abs(spectrum) + 1e-9)
    residual = log_amplitude - ndimage.uniform_filter(log_amplitude, 3, axes=(1, 2), mode="wrap")
    energy = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    filtered: Maps = ndimage.gaussian_filter(energy, blur(images), axes=(1, 2))
    return filtered


def blur(images: np.ndarray) -> float:
    """The standard deviation of the blur of classical maps, in pixels."""
    return BLUR * images.shape[2] / 64


def score_map(maps: Maps, known: train.fixations.Predictions) -> dict[str, float]:
    """The scores of maps, divided by their sums, on images whose fixations are known."""
    with np.errstate(divide="ignore"):
        logs = np.log(maps / maps.sum(axis=(1, 2), keepdims=True)).astype(np.float32)
    return values(train.fixations.score(known._replace(log_density=logs)))


def others(settings: Settings) -> dict[str, Callable[[int], dict[str, float]]]:
    """Functions that score the predictions beside the network's, the same for each seed."""
    train_data, test_data = settings.data.load_splits()
    names = ("image", "fixation_density", "fixations")
    images, density, fixations = (
        np.stack([test_data[i][name] for i in range(len(test_data))]) for name in names
    )
    images = images / 255
    known = train.fixations.Predictions(
        log_density=density,  # which each prediction replaces
        indices=np.arange(len(test_data)),
        density=density,
        fixations=fixations,
        valid=np.ones(fixations.shape[:2], bool),
    )
    return {
        "center prior": lambda _: score_map(center_prior(train_data, len(test_data)), known),
        "color contrast": lambda _: score_map(color_contrast(images), known),
        "spectral residual": lambda _: score_map(spectral_residual(images), known),
        "true density": lambda _: score_map(density, known),
    }


def run(settings: Settings) -> dict[str, Summary]:
    """Trains every seed, scores all predictions, prints a table, and keeps summaries."""
    summaries = each_over_seeds(("network",), settings, train_one)
    folder = pathlib.Path(settings.run.run_dir)
    for name, scored in others(settings).items():
        place = folder / name.replace(" ", "_")
        summaries[name] = over_seeds(settings.seeds, scored, place)
        summaries[name].save(place, settings)
    names = list(summaries["network"].scores)
    print("\n" + "  ".join([f"{'mean over the seeds':20}", *(f"{name:>8}" for name in names)]))
    for each, summary in summaries.items():
        print("  ".join([f"{each:20}", *(f"{summary.mean(name):z8.4f}" for name in names)]))
    return summaries


if __name__ == "__main__":
    script.start(run, Settings, __doc__)
