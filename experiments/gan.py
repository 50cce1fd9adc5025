"""Trains adversarial networks over seeds, in several games, and measures their samples.

    python experiments/gan.py
    python experiments/gan.py --games minimax non_saturating wgan wgan_gp
    python experiments/gan.py --dataset shapes --image-size 32 --networks residual --spectral

How good samples are is measured in the features of a classifier that is trained on the same data
first: the Frechet distance to the training data, as a multiple of that between two halves of them;
which classes there are; how many of the real images samples stand for; and whether samples are
copies. Each run's folder has samples of the same noise over training, samples at the end, ways
between them, and each of some samples beside the nearest training image.
"""

import dataclasses
import pathlib
from typing import Annotated, Any

import classify
import jax
import numpy as np
from common import script
from common.adversarial import Game, Networks, Playing, images_at, play
from common.data import Data
from common.learning import Devices, Inputs
from common.quality import Judge, draw_rows
from common.run import Run
from common.run import Settings as ClassifierSettings
from common.script import FLAT
from common.seeds import Summary, each_over_seeds

from jaxvision import data, plots, train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training of adversarial networks."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=lambda: Run(run_dir="runs/gan"))
    data: Annotated[Data, FLAT] = dataclasses.field(default_factory=lambda: Data(image_size=None))
    networks: Annotated[Networks, FLAT] = dataclasses.field(default_factory=Networks)
    playing: Annotated[Playing, FLAT] = dataclasses.field(default_factory=Playing)
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    games: tuple[Game, ...] = ("non_saturating_r1",)
    """Which games to play."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds to train each with."""
    classifier: str | None = None
    """The run of the classifier whose features measure the samples; None trains a LeNet-5 first."""
    samples: int = 5_000
    """How many samples are measured."""


def main(settings: Settings) -> dict[Game, Summary]:
    """Trains and measures every game with every seed, prints a table, and keeps summaries."""
    settings.run.begin(settings.devices)
    settings = dataclasses.replace(settings, data=settings.data.located())
    train_data = settings.data.load(settings.data.train_split)
    judge = Judge.make(classifier(settings), train_data)
    summaries = each_over_seeds(
        settings.games, settings, lambda game, chosen: fit(chosen, game, train_data, judge)
    )
    if settings.run.draws:
        draw(settings, judge)
    print(f"\nFrechet distance between two halves of the training data: {judge.halves:.3f}")
    print(f"{'game':18}  {'ratio to that, each seed':26}  modes  rarest  recall  copies  seconds")
    for name, summary in summaries.items():
        each = ", ".join(f"{value:.3f}" for value in summary.scores["frechet_ratio"])
        print(
            f"{name:18}  {each:26}  {summary.mean('modes'):5.1f}  "
            f"{summary.mean('rarest_share'):6.1%}  {summary.mean('recall'):6.3f}  "
            f"{summary.mean('copies'):6.1%}  {max(summary.seconds):7.0f}"
        )
    return summaries


def classifier(settings: Settings) -> str:
    """The run of the classifier that measures samples; it is trained if there is none."""
    if settings.classifier is not None:
        return settings.classifier
    run_dir = str(pathlib.Path(settings.run.run_dir) / "classifier")
    classify.main(
        ClassifierSettings(
            run=Run(run_dir=run_dir, figures=False),
            data=dataclasses.replace(settings.data, image_size=32),
            inputs=Inputs(mean=(0.3,), std=(0.35,)),
        )
    )
    return run_dir


def fit(settings: Settings, game: Game, train_data: data.Dataset, judge: Judge) -> dict[str, float]:
    """Trains one pair of networks; returns what its samples are worth."""
    trained = play(settings, game, train_data, samples_at, num_workers=settings.data.num_workers)
    if settings.run.draws:
        trained.draw(trained.predict(train_data), train_data)
    return judge.scores(judge.samples_of(trained, settings.samples))


def draw(settings: Settings, judge: Judge, count: int = 12) -> None:
    """Draws samples of each game, of the first seed, into `figures/`."""
    folder = pathlib.Path(settings.run.run_dir)
    places = {game: folder / game / f"seed{settings.seeds[0]}" for game in settings.games}
    shown: dict[str, Any] = {}
    for game, place in places.items():
        shown[game] = judge.samples_of(train.restore(place), count)
    title = f"samples of {judge.dataset.name}, a row for each game"
    draw_rows(shown, title, folder / "figures" / "games.png")


def samples_at(
    step: train.gan.GANStep, number: int, state: train.gan.GANState, count: int = 50
) -> dict[str, Any]:
    """The images of the same noise at any time, of all classes in turn where there are some."""
    noise = jax.random.normal(jax.random.key(0), (count, step.generator.noise_size))
    classes = step.generator.num_classes
    labels = None if classes is None else np.arange(count) % classes
    shown = np.asarray(images_at(step, state, noise, labels), np.float32) / 2 + 0.5
    grid = plots.image_grid(shown.clip(0, 1), None, 10, title=f"samples, step {number}")
    return {"samples": grid}


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
