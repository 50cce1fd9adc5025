"""Compares the samples of generative models of any kind.

    python experiments/samples.py runs/autoencode/undercomplete runs/vae runs/gan/hinge \
        --classifier runs/gan/classifier

Each RUN is a run folder, or a folder with one run per seed, as written by autoencode.py, vae.py and
gan.py. Samples are measured as by gan.py, in the features of a classifier of the same data. So are
held-out images, for comparison. Of each model, figures/samples.png shows some samples,
figures/distances.png the distances of all samples to their nearest training images, and
figures/closest_MODEL.png the samples that are nearest to one.

An autoencoder has no distribution of codes to sample from. Its samples are decoded from a normal
distribution that is fitted to the codes of the training images.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated

from common import script
from common.generative import pixels
from common.quality import Images, Judge, draw_closest, draw_distances, draw_rows
from common.restored import load_for
from common.seeds import Summary, over_seeds

import tyro

from jaxvision import plots, train

SHOWN = 10
"""Number of samples of each model in the figure."""
HELD_OUT = "held_out_images"
COLUMNS = (
    ("Frechet", "frechet_ratio", ".3f"),
    ("of equals", "frechet_ratio_of_equals", ".3f"),
    ("kernel", "kernel_distance", ",.2f"),
    ("precision", "precision", ".3f"),
    ("recall", "recall", ".3f"),
    ("density", "density", ".3f"),
    ("coverage", "coverage", ".3f"),
    ("modes", "modes", ".1f"),
    ("rarest", "rarest_share", ".1%"),
    ("copies", "copies", ".1%"),
)
"""Columns of the table: heading, name of the score, number format."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a comparison of samples."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
    """Run folders, or folders with one run per seed."""
    classifier: str
    """Run folder of the classifier whose features measure the samples."""
    run_dir: str = "runs/samples"
    """Folder to write summaries and the figure to."""
    samples: int = 5_000
    """Number of samples that are measured."""
    truncation: float | None = None
    """Largest absolute value of the noise of GANs; smaller values give less varied images. None
    does not limit it."""
    figures: bool = True
    """Draw samples (needs matplotlib)."""


def main(settings: Settings) -> dict[str, Summary]:
    """Measures the samples of all runs, prints a table, draws, and keeps summaries."""
    train.start()
    if settings.figures:
        with script.checking():
            plots.require_matplotlib()
    if not settings.runs:
        raise SystemExit(
            f"name at least one run folder: {script.command('samples')} RUN... --classifier RUN_DIR"
        )
    found = {pathlib.Path(run).name: seeds_in(pathlib.Path(run)) for run in settings.runs}
    if len(found) < len(settings.runs):
        raise SystemExit(f"two of the runs have the same name: {', '.join(settings.runs)}")
    first = train.restore(next(iter(next(iter(found.values())).values())))
    train_data = load_for(first, split=first.record.data["split"])
    held_out = pixels(load_for(first, split=None))
    judge = Judge.make(settings.classifier, train_data)
    folder = pathlib.Path(settings.run_dir)
    shown: dict[str, Images] = {HELD_OUT: held_out}
    summaries = {}

    def measure(name: str, seeds: Mapping[int, pathlib.Path]) -> None:
        def of_seed(seed: int) -> dict[str, float]:
            trained = train.restore(seeds[seed])
            made = judge.samples_of(trained, settings.samples, settings.truncation)
            shown.setdefault(name, made)
            return judge.judged(trained, made)

        summaries[name] = over_seeds(tuple(seeds), of_seed, folder / name)
        runs = (next(iter(seeds.values())), pathlib.Path(settings.classifier))
        commands = [command for run in runs if (command := script.kept_command(run))]
        summaries[name].save(folder / name, settings, commands)

    for name, seeds in found.items():
        measure(name, seeds)
    of_real = judge.scores(held_out)
    summary = over_seeds(next(iter(summaries.values())).seeds, lambda _: of_real, folder / HELD_OUT)
    summary.save(folder / HELD_OUT, settings)
    print(table(of_real, summaries))
    ideal = judge.ideal_ratio(settings.samples)
    print(f"of {settings.samples:,} perfect samples, this multiple is about {ideal:.2f}")
    if settings.figures:
        draw(judge, shown, folder / "figures")
    return summaries


def draw(judge: Judge, shown: Mapping[str, Images], folder: pathlib.Path) -> None:
    """Draws samples, and how near they are to training images."""
    few = {name: images[:SHOWN] for name, images in shown.items()}
    draw_rows(few, f"samples of models of {judge.dataset.name}", folder / "samples.png")
    draw_distances(judge, shown, folder / "distances.png")
    for name, images in shown.items():
        if name != HELD_OUT:
            draw_closest(judge, images, folder / f"closest_{name}.png")


def seeds_in(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The runs in a folder, by seed; the folder itself if it is a run."""
    names = {path.name.removeprefix("seed"): path for path in folder.glob("seed*")}
    found = {int(name): path for name, path in names.items() if name.isdecimal()}
    return dict(sorted(found.items())) or {0: folder}


def table(of_real: Mapping[str, float], summaries: Mapping[str, Summary]) -> str:
    """Formats the scores of all models, averaged over seeds, as a table."""
    lines = [f"\n{'samples of':24}" + "".join(f"{head:>11}" for head, _, _ in COLUMNS)]
    means: dict[str, Mapping[str, float]] = {HELD_OUT: of_real}
    for name, summary in summaries.items():
        means[name] = {score: summary.mean(score) for score in summary.scores}
    for name, scores in means.items():
        cells = (format(scores[score], form) for _, score, form in COLUMNS)
        lines.append(f"{name:24}" + "".join(f"{cell:>11}" for cell in cells))
    lines.append("Frechet distances are multiples of that between two halves of the training data;")
    lines.append("of equals: compared with as many other training images as samples")
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
