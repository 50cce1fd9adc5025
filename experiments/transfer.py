"""What fine-tuning gains: digits that a model has not seen before, from ten images of each.

For every seed, LeNet-5 learns the digits 0 to 4, and from there 5 to 9 with ten images of each;
beside it, the same model learns 5 to 9 from the same images from scratch. The gain is the
difference of the accuracies, with a 95% interval over the seeds. Both are measured on all images of
5 to 9 beyond those that the ten are drawn from, since the test split has only 36 of each.
"""

import dataclasses
import pathlib
from typing import Any

import classify
import evaluate
import finetune
import numpy as np
import script
from augmentation import Augmentation

from jaxvision import metrics


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the comparison."""

    run_dir: str = "runs/transfer"
    """Where the runs go, three folders per seed."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Which seeds to train; they also draw the ten images."""
    per_class: int = 10
    """Images of each new digit."""
    old: tuple[str, ...] = ("0", "1", "2", "3", "4")
    """The digits to learn first."""
    new: tuple[str, ...] = ("5", "6", "7", "8", "9")
    """The digits to learn then."""
    num_steps: int = 2_000
    """Steps of the first training."""
    num_steps_new: int = 300
    """Steps of the second, and of that from scratch."""
    learning_rate: float = 3e-3
    """The highest learning rate of the head in fine-tuning."""
    layer_decay: float = 0.6
    """The ratio of the learning rates of a layer and the one after it, in fine-tuning."""
    frozen: tuple[str, ...] = ("c1",)
    """What stays as it is in fine-tuning."""
    phases: int = 1
    """In how many phases the layers join in fine-tuning."""
    augmentation: Augmentation = dataclasses.field(
        default_factory=lambda: Augmentation(rotation=25, translation=0.15, scale=0.25, shear=20)
    )
    """What is done to the images of the first training."""
    augmentation_new: Augmentation = dataclasses.field(default_factory=Augmentation)
    """What is done to the few images."""
    few_split: str = "train[:40%]"
    """Where the few images are drawn from."""
    eval_split: str = "train[40%:]+validation+test"
    """What the accuracies are of."""


def accuracies(settings: Settings, seed: int) -> tuple[float, float]:
    """The accuracies from scratch and after fine-tuning."""
    folder = pathlib.Path(settings.run_dir) / f"seed{seed}"
    shared: dict[str, Any] = {"seed": seed, "mean": (0.3,), "std": (0.35,)}
    few: dict[str, Any] = {
        **shared,
        "train_split": settings.few_split,
        "eval_split": settings.eval_split,
        "classes": settings.new,
        "per_class": settings.per_class,
        "num_steps": settings.num_steps_new,
        "batch_size": min(50, settings.per_class * len(settings.new)),
        "augmentation": settings.augmentation_new,
    }
    first = classify.Settings(
        run_dir=str(folder / "old"),
        classes=settings.old,
        num_steps=settings.num_steps,
        augmentation=settings.augmentation,
        **shared,
    )
    scratch = classify.Settings(run_dir=str(folder / "scratch"), **few)
    tuned = finetune.Settings(
        start=first.run_dir,
        run_dir=str(folder / "finetuned"),
        learning_rate=settings.learning_rate,
        layer_decay=settings.layer_decay,
        frozen=settings.frozen,
        phases=settings.phases,
        **few,
    )
    classify.main(first)
    classify.main(scratch)
    finetune.main(tuned)
    scores = [
        evaluate.main(evaluate.Settings(run_dir=run.run_dir, num_resamples=0)).scores
        for run in (scratch, tuned)
    ]
    return scores[0]["accuracy"].value, scores[1]["accuracy"].value


def run(settings: Settings) -> tuple[float, float]:
    """Trains every seed, prints a table, and returns the interval of the gain."""
    rows = np.array([accuracies(settings, seed) for seed in settings.seeds])
    print(f"\n{settings.per_class} images of each of {', '.join(settings.new)}: accuracy\n")
    print("seed  from scratch  fine-tuned    gain")
    for seed, (scratch, tuned) in zip(settings.seeds, rows, strict=True):
        print(f"{seed:4d}  {scratch:12.2%}  {tuned:10.2%}  {tuned - scratch:+6.2%}")
    gains = rows[:, 1] - rows[:, 0]
    print(f"mean  {rows[:, 0].mean():12.2%}  {rows[:, 1].mean():10.2%}  {gains.mean():+6.2%}")
    low, high = metrics.t_interval(gains) if len(gains) > 1 else (np.nan, np.nan)
    print(f"\nThe gain lies in [{low:+.2%}, {high:+.2%}] (95%, over seeds)")
    return float(low), float(high)


if __name__ == "__main__":
    script.start(run, Settings, __doc__)
