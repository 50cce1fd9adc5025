"""Demonstration: trains LeNet-5 on real handwritten digits with three seeds.

    python experiments/demo.py

Each run is trained, restored from its folder alone, and evaluated on the test split, with figures.
If the runs are finished already, the same command only evaluates them.
"""

import dataclasses
import pathlib

from common import script
from common.augmentation import Augmentation
from common.learning import Inputs, Optimization
from common.run import Run
from common.run import Settings as TrainSettings
from common.seeds import over_seeds, percents

import classify
import evaluate


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the demonstration."""

    run_dir: str = "runs/demo"
    """Folder to write to, with one run folder per seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds, one run for each."""
    num_steps: int = 1_000
    """Training steps of each run."""


def train_settings(settings: Settings, seed: int) -> TrainSettings:
    """Settings for LeNet-5 with slightly rotated, shifted, scaled and sheared digits."""
    augmentation = Augmentation(rotation=10, translation=0.08, scale=0.1, shear=8)
    return TrainSettings(
        run=Run(run_dir=str(pathlib.Path(settings.run_dir) / f"seed{seed}"), seed=seed),
        inputs=Inputs(mean=(0.3,), std=(0.35,), augmentation=augmentation),
        optimization=Optimization(num_steps=settings.num_steps),
    )


def run(settings: Settings) -> float:
    """Trains and evaluates every seed; returns the mean test accuracy."""
    rows, paths = [], []

    def train_one(seed: int) -> dict[str, float]:
        chosen = train_settings(settings, seed)
        classify.main(chosen)
        evaluated = evaluate.main(evaluate.Settings(run_dir=chosen.run.run_dir))
        predictions, score = evaluated.predictions, evaluated.scores["accuracy"]
        paths.extend(evaluated.figures)
        errors = int((predictions.classes != predictions.labels).sum())
        rows.append(f"{score.value:13.2%}  [{score.low:.2%}, {score.high:.2%}]  {errors:6d}")
        return {"accuracy": score.value, "examples": len(predictions.labels)}

    summary = over_seeds(settings.seeds, train_one, settings.run_dir)
    summary.save(settings.run_dir, settings)
    print(f"\nLeNet-5 on the {summary.scores['examples'][0]:.0f} test digits\n")
    print("seed  test accuracy  95% interval       errors  seconds")
    for seed, row, seconds in zip(settings.seeds, rows, summary.seconds, strict=True):
        print(f"{seed:4d}  {row}  {seconds:7.1f}")
    mean = summary.mean("accuracy")
    if interval := summary.interval("accuracy"):
        print(f"mean  {mean:13.2%}  {percents(interval)}  over seeds")
    print("\nFigures:")
    for path in paths:
        print(f"  {path}")
    return mean


if __name__ == "__main__":
    script.start(run, Settings, __doc__)
