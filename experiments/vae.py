"""Trains variational autoencoders (VAEs) with several seeds, and measures test likelihoods.

    python experiments/vae.py
    python experiments/vae.py --network dense --latent-size 2 --likelihood bernoulli
    python experiments/vae.py --dataset shapes --image-size 32 --local --latent-size 1280

Each run is trained, restored from its folder alone, and evaluated with many codes per image. Its
folder has figures of samples, reconstructions, interpolations between images, and images of which
one half is filled in. The table has the evidence lower bound (ELBO) and the tighter bound of many
codes per image (importance-weighted). For comparison, it has the bits per dimension of independent
pixels, whose probabilities of gray levels are exact, as those of --likelihood logistic are; and of
one normal distribution of all pixels, which adds uniform noise, as --likelihood gaussian does.
"""

import dataclasses
import pathlib
from typing import Annotated

from common import script
from common.data import ImageData
from common.generative import (
    Coder,
    ImageLikelihood,
    baselines,
    classes_of,
)
from common.learning import Devices, Inputs, Optimization
from common.run import Run, train_model
from common.script import FLAT
from common.seeds import Summary, in_brackets, over_seeds

from jaxvision import data, models, train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training of variational autoencoders."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=lambda: Run(run_dir="runs/vae"))
    data: Annotated[ImageData, FLAT] = dataclasses.field(
        default_factory=lambda: ImageData(image_size=None)
    )
    model: Annotated[Coder, FLAT] = dataclasses.field(default_factory=Coder)
    conditional: bool = False
    """Give the class of the image to encoder and decoder (conditional VAE)."""
    likelihood: Annotated[ImageLikelihood, FLAT] = dataclasses.field(
        default_factory=ImageLikelihood
    )
    beta: float = 1.0
    """Weight of the KL divergence of the codes in the loss; 1 gives the ELBO."""
    free_nats: float = 0.0
    """KL divergence, in nats, that each dimension of the code may have without a cost."""
    kl_warmup_steps: int = 500
    """Number of first steps in which the weight of the divergence rises linearly from 0."""
    inputs: Annotated[Inputs, FLAT] = dataclasses.field(
        default_factory=lambda: Inputs(mean=(0.3,), std=(0.35,))
    )
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(
        default_factory=lambda: Optimization(
            batch_size=128, num_steps=2_000, learning_rate=2e-3, weight_decay=0.1, ema_decay=0.999
        )
    )
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds, one run for each."""
    samples: int = 1_000
    """Number of codes drawn for each test image, for the importance-weighted bound."""


def main(settings: Settings) -> Summary:
    """Trains and evaluates every seed, prints a table, and keeps a summary."""
    settings.run.begin(settings.devices)
    settings = dataclasses.replace(settings, data=settings.data.located())
    train_data, eval_data = settings.data.load_splits(settings.run.seed)
    folder = pathlib.Path(settings.run.run_dir)

    def train_one(seed: int) -> dict[str, float]:
        run = dataclasses.replace(settings.run, run_dir=str(folder / f"seed{seed}"), seed=seed)
        return fit(dataclasses.replace(settings, run=run), train_data, eval_data)

    summary = over_seeds(settings.seeds, train_one, folder)
    summary.save(folder, settings)
    what = f"{eval_data.name}/{eval_data.split}"
    print(f"\n{what:18}  {'each seed':24}      mean  95% interval")
    for name in ("elbo", "bound", "bits_per_dimension", "kl", "active_units"):
        each = ", ".join(f"{value:.3f}" for value in summary.scores[name])
        interval = in_brackets(summary.interval(name), ".3f")
        print(f"{name:18}  {each:24}  {summary.mean(name):8.3f}  {interval}".rstrip())
    levels = settings.likelihood.levels_of(settings.data.dataset)
    found = baselines(train_data, eval_data, levels)
    of_all = {f"{name}/bits_per_dimension": [bits] * len(settings.seeds) for name, bits in found}
    summary = dataclasses.replace(summary, scores={**summary.scores, **of_all})
    summary.save(folder, settings)
    first = folder / f"seed{settings.seeds[0]}"
    script.ending(script.figures_in(first) if settings.run.draws else [], "evaluate", first)
    return summary


def fit(settings: Settings, train_data: data.Dataset, eval_data: data.Dataset) -> dict[str, float]:
    """Trains one model; returns its test scores."""
    likelihood = settings.likelihood.make(settings.data.dataset)
    height, width, channels = train_data.image_shape
    with script.checking():
        model = models.VariationalAutoencoder(
            **settings.model.coders((height, width, channels), likelihood.numbers),
            latent_size=settings.model.latent_size,
            num_classes=classes_of(train_data) if settings.conditional else None,
        )
        loss_fn = train.vae.make_loss_fn(
            model,
            likelihood=likelihood,
            beta=settings.beta,
            free_nats=settings.free_nats,
            warmup_steps=settings.kl_warmup_steps,
            inputs=settings.inputs.make(train_data.num_classes),
        )
    train_model(settings, model, loss_fn, train_data, eval_data)
    trained = train.restore(settings.run.run_dir)
    assert isinstance(trained, train.vae.TrainedVAE)
    predictions = trained.predict(eval_data, samples=settings.samples)
    return {name: score.value for name, score in trained.evaluate(predictions).items()}


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
