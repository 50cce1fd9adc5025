"""Measures the gain of fine-tuning over training from scratch, on ten images of each new digit.

    python experiments/transfer.py

For every seed, LeNet-5 learns the digits 0 to 4, and is then fine-tuned on 5 to 9 with ten images
of each. For comparison, the same model learns 5 to 9 from scratch, from the same images. The gain
is the difference of the accuracies, with a 95% interval over the seeds. Both accuracies are
measured on all images of 5 to 9 outside of --few-split, since the test split has only 36 images of
each digit.
"""

import dataclasses
import pathlib
from typing import Any

from common import script
from common.augmentation import Augmentation
from common.data import Data
from common.learning import Inputs, Optimization
from common.run import Run
from common.run import Settings as TrainSettings
from common.seeds import Summary, over_seeds

import classify
import evaluate
import finetune


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the comparison."""

    run_dir: str = "runs/transfer"
    """Folder to write to, with three run folders per seed."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Random seeds of the training runs and of the choice of the few images."""
    per_class: int = 10
    """Number of images of each new digit."""
    old: tuple[str, ...] = ("0", "1", "2", "3", "4")
    """Digits to learn first."""
    new: tuple[str, ...] = ("5", "6", "7", "8", "9")
    """New digits, to learn from few images."""
    num_steps: int = 2_000
    """Training steps on the first digits."""
    num_steps_new: int = 300
    """Training steps on the new digits, in fine-tuning and from scratch."""
    learning_rate: float = 3e-3
    """Highest learning rate of the head in fine-tuning."""
    layer_decay: float = 0.6
    """Fine-tuning: ratio of the learning rate of each layer to that of the next one, in (0, 1]."""
    frozen: tuple[str, ...] = ("c1",)
    """Fine-tuning: regular expressions of paths of parameters that stay fixed."""
    phases: int = 1
    """Fine-tuning: number of phases of gradual unfreezing; 1 trains all layers from the start."""
    augmentation: Augmentation = dataclasses.field(
        default_factory=lambda: Augmentation(rotation=25, translation=0.15, scale=0.25, shear=20)
    )
    """Random augmentation of the images of the first digits."""
    augmentation_new: Augmentation = dataclasses.field(default_factory=Augmentation)
    """Random augmentation of the few images."""
    few_split: str = "train[:40%]"
    """Split that the few images are drawn from."""
    eval_split: str = "train[40%:]+validation+test"
    """Split on which accuracies are measured."""


def accuracies(settings: Settings, seed: int) -> dict[str, float]:
    """The accuracies from scratch and after fine-tuning, and the gain."""
    folder = pathlib.Path(settings.run_dir) / f"seed{seed}"

    def run(name: str) -> Run:
        return Run(run_dir=str(folder / name), seed=seed)

    def inputs(augmentation: Augmentation) -> Inputs:
        return Inputs(mean=(0.3,), std=(0.35,), augmentation=augmentation)

    few: dict[str, Any] = {
        "data": Data(
            train_split=settings.few_split,
            eval_split=settings.eval_split,
            classes=settings.new,
            per_class=settings.per_class,
        ),
        "inputs": inputs(settings.augmentation_new),
    }
    optimization = Optimization(
        num_steps=settings.num_steps_new,
        batch_size=min(50, settings.per_class * len(settings.new)),
    )
    first = TrainSettings(
        run=run("old"),
        data=Data(classes=settings.old),
        inputs=inputs(settings.augmentation),
        optimization=Optimization(num_steps=settings.num_steps),
    )
    scratch = TrainSettings(run=run("scratch"), optimization=optimization, **few)
    tuned = finetune.Settings(
        start=finetune.Start(
            first.run.run_dir, layer_decay=settings.layer_decay, phases=settings.phases
        ),
        run=run("finetuned"),
        optimization=dataclasses.replace(
            optimization, learning_rate=settings.learning_rate, frozen=settings.frozen
        ),
        **few,
    )
    classify.main(first)
    classify.main(scratch)
    finetune.main(tuned)
    from_scratch, fine_tuned = (
        evaluate.main(evaluate.Settings(run_dir=each.run.run_dir, num_resamples=0)).scores
        for each in (scratch, tuned)
    )
    values = from_scratch["accuracy"].value, fine_tuned["accuracy"].value
    return {"from scratch": values[0], "fine-tuned": values[1], "gain": values[1] - values[0]}


def run(settings: Settings) -> Summary:
    """Trains every seed, prints a table, and returns the accuracies."""
    summary = over_seeds(settings.seeds, lambda seed: accuracies(settings, seed), settings.run_dir)
    summary.save(settings.run_dir, settings)
    print(f"\n{settings.per_class} images of each of {', '.join(settings.new)}: accuracy\n")
    print("seed  from scratch  fine-tuned    gain")
    for seed, *row in zip(settings.seeds, *summary.scores.values(), strict=True):
        print(f"{seed:4d}  {row[0]:12.2%}  {row[1]:10.2%}  {row[2]:+6.2%}")
    means = [summary.mean(name) for name in summary.scores]
    print(f"mean  {means[0]:12.2%}  {means[1]:10.2%}  {means[2]:+6.2%}")
    if interval := summary.interval("gain"):
        low, high = interval
        print(f"\nThe gain lies in [{low:+.2%}, {high:+.2%}] (95%, over seeds)")
    return summary


if __name__ == "__main__":
    script.start(run, Settings, __doc__)
