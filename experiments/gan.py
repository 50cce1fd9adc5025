"""Trains generative adversarial networks (GANs) with several seeds, and measures their samples.

    python experiments/gan.py
    python experiments/gan.py --games minimax non_saturating wgan wgan_gp
    python experiments/gan.py --dataset shapes --image-size 32 --networks residual --spectral

A game is the pair of losses of generator and critic. Samples are measured in the features of a
classifier that is trained on the same data first: the Frechet distance to the training data, as a
multiple of the distance between two halves of the data; the classes that occur; the share of real
images that samples cover (recall); and the share of samples that are copies. The folder of each run
has samples of the same noise during the training, samples at the end, interpolations between them,
the distances of all samples to their nearest training images, and the nearest samples next to
these. Data without classes need --classifier.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

from common import script
from common.adversarial import Game, Networks, Playing, images_at, play
from common.data import ImageData
from common.learning import Devices, Inputs
from common.quality import Judge, draw_closest, draw_distances, draw_rows
from common.run import Run
from common.run import Settings as ClassifierSettings
from common.script import FLAT
from common.seeds import Summary, each_over_seeds, first_runs

import classify
import jax
import numpy as np

from jaxvision import data, plots, train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training of adversarial networks."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=lambda: Run(run_dir="runs/gan"))
    data: Annotated[ImageData, FLAT] = dataclasses.field(
        default_factory=lambda: ImageData(image_size=None)
    )
    networks: Annotated[Networks, FLAT] = dataclasses.field(default_factory=Networks)
    playing: Annotated[Playing, FLAT] = dataclasses.field(default_factory=Playing)
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    games: tuple[Game, ...] = ("non_saturating_r1",)
    """Games to play; each trains a pair of networks."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; each game is played once with each seed."""
    classifier: str | None = None
    """Run folder of the classifier whose features measure the samples; None trains a LeNet-5
    first."""
    samples: int = 5_000
    """Number of samples that are measured."""
    truncation: float | None = None
    """Largest absolute value of the noise of the samples that are measured; smaller values give
    less varied images. None does not limit it."""


def main(settings: Settings) -> dict[Game, Summary]:
    """Trains and measures every game with every seed, prints a table, and keeps summaries."""
    settings.run.begin(settings.devices)
    settings = dataclasses.replace(settings, data=settings.data.located())
    train_data = settings.data.load_train(settings.run.seed)
    folder, measured_by = pathlib.Path(settings.run.run_dir), classifier(settings, train_data)
    judge = Judge.make(measured_by, train_data)
    summaries = each_over_seeds(
        settings.games, settings, lambda game, chosen: fit(chosen, game, train_data, judge)
    )
    if settings.run.draws:
        draw(settings, judge)
        draw_classes(summaries, judge, folder / "figures" / "classes.png")
    print(f"\nFrechet distance between two halves of the training data: {judge.halves:.3f}")
    ideal = judge.ideal_ratio(settings.samples)
    print(f"ratio to that of {settings.samples:,} perfect samples: about {ideal:.2f}")
    print(f"{'game':18}  {'ratio to that, each seed':26}  modes  rarest  recall  copies  seconds")
    for name, summary in summaries.items():
        each = ", ".join(f"{value:.3f}" for value in summary.scores["frechet_ratio"])
        print(
            f"{name:18}  {each:26}  {summary.mean('modes'):5.1f}  "
            f"{summary.mean('rarest_share'):6.1%}  {summary.mean('recall'):6.3f}  "
            f"{summary.mean('copies'):6.1%}  {max(summary.seconds):7.0f}"
        )
    folders = [folder, *first_runs(settings.games, settings)]
    script.ending(
        script.figures_in(*folders) if settings.run.draws else [],
        "samples",
        *(folder / game for game in settings.games),
        *("--classifier", measured_by),
    )
    return summaries


def classifier(settings: Settings, train_data: data.Dataset) -> str:
    """The run folder of the classifier that measures samples; trains one if none is given."""
    if settings.classifier is not None:
        return settings.classifier
    if not train_data.num_classes:
        raise SystemExit(
            f"{settings.data.dataset} has no classes to train a classifier on: name the run folder "
            "of one with --classifier, whose features measure the samples"
        )
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
    """Trains one pair of networks; returns the scores of its samples."""
    trained = play(settings, game, train_data, samples_at, num_workers=settings.data.num_workers)
    made = judge.samples_of(trained, settings.samples, settings.truncation)
    if settings.run.draws:
        trained.draw(trained.predict(train_data), train_data)
        figures = pathlib.Path(settings.run.run_dir) / "figures"
        draw_distances(judge, {"samples": made}, figures / "distances.png")
        draw_closest(judge, made, figures / "closest.png")
    return judge.judged(trained, made)


def draw(settings: Settings, judge: Judge, count: int = 12) -> None:
    """Draws samples of each game, of the first seed, into `figures/`."""
    folder = pathlib.Path(settings.run.run_dir)
    places = {game: folder / game / f"seed{settings.seeds[0]}" for game in settings.games}
    shown: dict[str, Any] = {}
    for game, place in places.items():
        shown[game] = judge.samples_of(train.restore(place), count, settings.truncation)
    title = f"samples of {judge.dataset.name}, a row for each game"
    draw_rows(shown, title, folder / "figures" / "games.png")


def draw_classes(summaries: Mapping[Game, Summary], judge: Judge, path: pathlib.Path) -> None:
    """Draws the classes of the samples of each game, averaged over the seeds."""
    shares = {
        name.replace("_", " "): [summary.mean(f"share/{each}") for each in judge.class_names]
        for name, summary in summaries.items()
    }
    title = f"classes of samples; lines: {judge.dataset.name}"
    figure = plots.class_shares(shares, judge.class_names, expected=judge.shares, title=title)
    plots.save(figure, path)


def samples_at(
    step: train.gan.GANStep, number: int, state: train.gan.GANState, count: int = 50
) -> dict[str, Any]:
    """Draws images from the same noise at each evaluation, with all classes in turn."""
    noise = jax.random.normal(jax.random.key(0), (count, step.generator.noise_size))
    classes = step.generator.num_classes
    labels = None if classes is None else np.arange(count) % classes
    shown = np.asarray(images_at(step, state, noise, labels), np.float32) / 2 + 0.5
    grid = plots.image_grid(shown.clip(0, 1), None, 10, title=f"samples, step {number}")
    return {"samples": grid}


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
