"""Compares the samples of models that make images, whatever their kind.

    python experiments/samples.py runs/autoencode/undercomplete runs/vae runs/gan/hinge \
        --classifier runs/gan/classifier

Each RUN is a run's folder, or a folder with one run per seed as autoencode.py, vae.py and gan.py
leave. All are measured as gan.py measures its own, in the features of a classifier of the same
data, and beside them images that no model has seen. `figures/samples.png` shows some of each.

An autoencoder has no distribution of codes to draw from. Its samples are decoded from the normal
distribution nearest to the codes of the training images, which is the best that one can do with
it, and the table says how far that is from a model that was trained to be sampled.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import tyro
from common import script
from common.generative import pixels
from common.quality import Images, Judge, draw_rows
from common.restored import load_for
from common.seeds import Summary, over_seeds

from jaxvision import plots, train

SHOWN = 10
"""How many samples of each model are drawn."""
HELD_OUT = "held_out_images"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a comparison of samples."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
    """Folders of runs, or folders with one run per seed."""
    classifier: str
    """The run of the classifier whose features measure the samples."""
    run_dir: str = "runs/samples"
    """Where summaries and the figure go."""
    samples: int = 5_000
    """How many samples are measured."""
    figures: bool = True
    """Whether to draw samples."""


def main(settings: Settings) -> dict[str, Summary]:
    """Measures the samples of all runs, prints a table, draws, and keeps summaries."""
    train.start()
    if settings.figures:
        plots.require_matplotlib()
    if not settings.runs:
        raise SystemExit("name the folders of one run or more")
    found = {pathlib.Path(run).name: seeds_in(pathlib.Path(run)) for run in settings.runs}
    if len(found) < len(settings.runs):
        raise SystemExit(f"two of the runs are called alike: {', '.join(settings.runs)}")
    first = train.restore(next(iter(found[pathlib.Path(settings.runs[0]).name].values())))
    train_data = load_for(first, split=first.record.data["split"])
    held_out = pixels(load_for(first, split=None))
    judge = Judge.make(settings.classifier, train_data)
    folder = pathlib.Path(settings.run_dir)
    shown: dict[str, Images] = {HELD_OUT: held_out[:SHOWN]}
    summaries = {}

    def measure(name: str, seeds: Mapping[int, pathlib.Path]) -> None:
        def of_seed(seed: int) -> dict[str, float]:
            made = judge.samples_of(train.restore(seeds[seed]), settings.samples)
            shown.setdefault(name, made[:SHOWN])
            return judge.scores(made)

        summaries[name] = over_seeds(tuple(seeds), of_seed, folder / name)
        summaries[name].save(folder / name, settings)

    for name, seeds in found.items():
        measure(name, seeds)
    print(table(judge.scores(held_out), summaries))
    if settings.figures:
        draw_rows(shown, f"samples of models of {train_data.name}", folder / "figures/samples.png")
    return summaries


def seeds_in(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The runs in a folder by seed; the folder itself if it is a run."""
    found = {
        int(path.name.removeprefix("seed")): path
        for path in folder.glob("seed*")
        if path.name.removeprefix("seed").isdecimal()
    }
    return dict(sorted(found.items())) or {0: folder}


def table(of_real: Mapping[str, float], summaries: Mapping[str, Summary]) -> str:
    """The measures of all, means over seeds."""
    columns = {
        "frechet_ratio": "8.3f",
        "kernel_distance": "8.4f",
        "precision": "9.3f",
        "recall": "7.3f",
        "density": "7.3f",
        "coverage": "8.3f",
        "modes": "6.1f",
        "rarest_share": "7.1%",
        "copies": "7.1%",
    }
    heads = ("Frechet", "kernel", "precision", "recall", "density", "coverage", "modes", "rarest")
    widths = [int(form.split(".")[0]) for form in columns.values()]
    lines = [
        "\nsamples of              "
        + "".join(
            f"{head:>{width + 2}}" for head, width in zip((*heads, "copies"), widths, strict=True)
        )
    ]
    means: dict[str, Mapping[str, Any]] = {HELD_OUT: of_real}
    means |= {name: {key: each.mean(key) for key in columns} for name, each in summaries.items()}
    for name, scores in means.items():
        lines.append(
            f"{name:24}" + "".join(f"  {scores[key]:{form}}" for key, form in columns.items())
        )
    lines.append("Frechet distances are multiples of that between two halves of the training data")
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
