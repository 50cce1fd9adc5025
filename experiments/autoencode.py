"""Trains autoencoders of several kinds with several seeds, and compares their reconstructions.

    python experiments/autoencode.py
    python experiments/autoencode.py --kinds undercomplete denoising --network conv --latent-size 8
    python experiments/autoencode.py --dataset shapes --image-size 32 --network conv

An undercomplete autoencoder has a small code and no penalty. A denoising one reconstructs clean
images from noisy ones. A sparse one has a large code of which few entries are active: in the kind
sparse, the divergence of their mean activity from a target is penalized, in sparse_l1 the sum of
their absolute values. The code of a contractive one changes little when the image changes. The
table compares reconstructions of test images, and the share of entries near 0 in their codes. The
folder of each run has figures of reconstructions, filters and codes, and of images decoded from
random codes: autoencoders are not trained to generate, so most of these are poor.
"""

import dataclasses
from typing import Annotated, Any, Literal, get_args

from common import script
from common.data import ImageData
from common.generative import Coder
from common.learning import Devices, Inputs, Optimization
from common.run import Run, train_model
from common.script import FLAT
from common.seeds import Summary, each_over_seeds, first_runs

import numpy as np
from jaxtyping import Float

from jaxvision import data, models, train

Kind = Literal["undercomplete", "denoising", "sparse", "sparse_l1", "contractive"]


@dataclasses.dataclass(frozen=True)
class Penalties:
    """Options of each kind of autoencoder."""

    noise: float = 1.0
    """Denoising: standard deviation of the noise added to normalized images."""
    masking: float = 0.0
    """Denoising: share of the values of an image that are set to 0, in [0, 1)."""
    sparse_size: int = 64
    """Sparse and sparse_l1: length of the code, instead of --latent-size."""
    sparsity: float = 0.01
    """Sparse: weight of the divergence between the mean activity of the code and --activity."""
    activity: float = 0.05
    """Sparse: target mean activity of each entry of the code, in [0, 1)."""
    l1: float = 0.001
    """Sparse_l1: weight of the sum of the absolute values of a code."""
    contraction: float = 0.01
    """Contractive: weight of the squared norm of the derivative of the code by the image."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training of autoencoders."""

    run: Annotated[Run, FLAT] = dataclasses.field(
        default_factory=lambda: Run(run_dir="runs/autoencode")
    )
    data: Annotated[ImageData, FLAT] = dataclasses.field(
        default_factory=lambda: ImageData(image_size=None)
    )
    kinds: tuple[Kind, ...] = get_args(Kind)
    """Kinds of autoencoders to train."""
    model: Annotated[Coder, FLAT] = dataclasses.field(
        default_factory=lambda: Coder(network="dense", latent_size=8)
    )
    penalties: Annotated[Penalties, FLAT] = dataclasses.field(default_factory=Penalties)
    inputs: Annotated[Inputs, FLAT] = dataclasses.field(
        default_factory=lambda: Inputs(mean=(0.3,), std=(0.35,))
    )
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(
        default_factory=lambda: Optimization(
            batch_size=128, num_steps=3_000, learning_rate=2e-3, weight_decay=0.0
        )
    )
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; each kind is trained once with each seed."""


def main(settings: Settings) -> dict[Kind, Summary]:
    """Trains and evaluates every kind with every seed, prints a table, and keeps summaries."""
    settings.run.begin(settings.devices)
    settings = dataclasses.replace(settings, data=settings.data.located())
    train_data, eval_data = settings.data.load_splits(settings.run.seed)
    summaries = each_over_seeds(
        settings.kinds, settings, lambda kind, chosen: fit(chosen, kind, train_data, eval_data)
    )
    print(
        f"\n{'kind':14}  {'PSNR, each seed':22}  PSNR (dB)  SSIM    squared error  near 0  seconds"
    )
    for name, summary in summaries.items():
        each = ", ".join(f"{value:.2f}" for value in summary.scores["psnr"])
        print(
            f"{name:14}  {each:22}  {summary.mean('psnr'):9.2f}  {summary.mean('ssim'):.4f}  "
            f"{summary.mean('squared_error'):13.5f}  {summary.mean('near_zero'):6.1%}  "
            f"{max(summary.seconds):7.0f}"
        )
    runs = first_runs(settings.kinds, settings)
    script.ending(script.figures_in(*runs) if settings.run.draws else [], "evaluate", runs[0])
    return summaries


def fit(
    settings: Settings, kind: Kind, train_data: data.Dataset, eval_data: data.Dataset
) -> dict[str, float]:
    """Trains one autoencoder; returns its test scores."""
    given, options, extra = settings.penalties, dict[str, Any](), dict[str, Any]()
    latent_size = settings.model.latent_size
    if kind == "denoising":
        options = {"noise": given.noise, "masking": given.masking}
    elif kind == "sparse":
        latent_size = given.sparse_size
        extra = {"code_activation": "sigmoid"}
        options = {"sparsity": given.sparsity, "activity": given.activity}
    elif kind == "sparse_l1":
        latent_size = given.sparse_size
        extra = {"code_activation": "relu"}
        options = {"l1": given.l1}
    elif kind == "contractive":
        options = {"contraction": given.contraction}
    height, width, channels = train_data.image_shape
    with script.checking():
        model = models.Autoencoder(
            **settings.model.coders((height, width, channels)), latent_size=latent_size, **extra
        )
        inputs = settings.inputs.make(train_data.num_classes)
        loss_fn = train.autoencoding.make_loss_fn(model, inputs=inputs, **options)
    train_model(settings, model, loss_fn, train_data, eval_data)
    trained = train.restore(settings.run.run_dir)
    predictions = trained.predict(eval_data)
    scores = {name: score.value for name, score in trained.evaluate(predictions).items()}
    return {**scores, "near_zero": near_zero(predictions.codes)}


def near_zero(codes: Float[np.ndarray, "examples latents"]) -> float:
    """The share of entries of codes below a tenth of the largest of their code, by size."""
    sizes = np.abs(codes)
    return float((sizes < sizes.max(axis=1, keepdims=True) / 10).mean())


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
