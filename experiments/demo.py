"""The demonstration: trains LeNet-5 on real handwritten digits with three seeds.

Each run is trained, restored from its folder alone, evaluated on the test split, and drawn. Run
again, it finds the runs finished and only evaluates them.
"""

import dataclasses
import pathlib
import time

import evaluate
import numpy as np
import script
from classify import Augmentation, main
from classify import Settings as TrainSettings

from jaxvision import metrics


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the demonstration."""

    run_dir: str = "runs/demo"
    """Where the runs go, one folder per seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds to train."""
    num_steps: int = 1_000
    """Steps of each."""


def train_settings(settings: Settings, seed: int) -> TrainSettings:
    """LeNet-5 with slightly turned, shifted, scaled and slanted digits."""
    return TrainSettings(
        run_dir=str(pathlib.Path(settings.run_dir) / f"seed{seed}"),
        seed=seed,
        num_steps=settings.num_steps,
        mean=(0.3,),
        std=(0.35,),
        augmentation=Augmentation(rotation=10, translation=0.08, scale=0.1, shear=8),
    )


def run(settings: Settings) -> float:
    """Trains and evaluates every seed; returns the mean test accuracy."""
    rows, accuracies, paths = [], [], []
    for seed in settings.seeds:
        chosen = train_settings(settings, seed)
        began = time.perf_counter()
        main(chosen)
        seconds = time.perf_counter() - began
        evaluated = evaluate.main(evaluate.Settings(run_dir=chosen.run_dir))
        score = evaluated.scores["accuracy"]
        accuracies.append(score.value)
        paths += evaluated.figures
        errors = int((evaluated.predictions.classes != evaluated.predictions.labels).sum())
        rows.append(
            f"{seed:4d}  {score.value:13.2%}  [{score.low:.2%}, {score.high:.2%}]  "
            f"{errors:6d}  {seconds:7.1f}"
        )
    print(f"\nLeNet-5 on the {len(evaluated.predictions.labels)} test digits\n")
    print("seed  test accuracy  95% interval       errors  seconds")
    print("\n".join(rows))
    mean = float(np.mean(accuracies))
    if len(accuracies) > 1:
        low, high = metrics.t_interval(accuracies)
        print(f"mean  {mean:13.2%}  [{max(low, 0):.2%}, {min(high, 1):.2%}]  over seeds")
    print("\nPictures:")
    for path in paths:
        print(f"  {path}")
    return mean


if __name__ == "__main__":
    script.start(run, Settings, __doc__)
