"""Compares segmenters on the test split, trained with several seeds and the same number of steps.

    python experiments/segmenters.py
    python experiments/segmenters.py --models linear linear3x3 --num-steps 500 --run-dir runs/linear
    python experiments/segmenters.py --models unet fpn deeplabv3_plus --num-steps 2200 \
        --backbone resnet18 --backbone-options channels 16 --model-options auxiliary True

Every run is trained as by segment.py, restored from its folder alone, and evaluated as by
evaluate.py, with figures. If the runs are finished already, the same command only evaluates them.
Each model has a folder with a summary of its seeds.
"""

import dataclasses
from typing import Annotated

from common import script
from common.augmentation import Augmentation
from common.learning import Inputs
from common.script import FLAT
from common.seeds import Summary, each_over_seeds, in_brackets

import evaluate
import refine
import segment

from jaxvision import train

SCORES = ("mean_iou", "mean_dice", "pixel_accuracy", "boundary_f1")


@dataclasses.dataclass(frozen=True)
class Settings(segment.Settings):
    """Settings of the comparison, with those of segment.py for every run."""

    inputs: Annotated[Inputs, FLAT] = dataclasses.field(
        default_factory=lambda: Inputs(
            mean=(0.5,),
            std=(0.25,),
            augmentation=Augmentation(flip=True, vertical_flip=True, diagonal_flip=True),
        )
    )
    models: tuple[str, ...] = ("classic_unet",)
    """Segmenters to train; names as for --model of segment.py."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; each model is trained once with each seed."""
    views: train.segmentation.Views = "none"
    """Also score predictions averaged over transformed copies of each test image: horizontal_flip,
    flips (horizontal and vertical) or dihedral (all flips and rotations by multiples of 90
    degrees)."""
    refined: bool = False
    """Also score masks that are refined by a dense CRF, as by refine.py."""
    crf: refine.Crf = dataclasses.field(default_factory=refine.Crf)
    """Options of the dense CRF."""


def run(settings: Settings) -> dict[str, Summary]:
    """Trains and evaluates every model with every seed, prints a table, and keeps summaries."""

    def train_one(model: str, chosen: Settings) -> dict[str, float]:
        segment.main(of_one_run(chosen, model))
        return score(chosen, chosen.run.run_dir)

    summaries = each_over_seeds(settings.models, settings, train_one)
    print(f"\n{'model':16}  {'each seed':24}  mean IoU  95% interval      boundary F1  seconds")
    for model, summary in summaries.items():
        each = ", ".join(f"{value:.4f}" for value in summary.scores["mean_iou"])
        interval = in_brackets(summary.interval("mean_iou"), ".4f")
        print(
            f"{model:16}  {each:24}  {summary.mean('mean_iou'):8.4f}  {interval:16}  "
            f"{summary.mean('boundary_f1'):11.4f}  {max(summary.seconds):7.0f}"
        )
    return summaries


def score(settings: Settings, run_dir: str) -> dict[str, float]:
    """The scores of a run; on request, also those with views and with the CRF."""
    evaluated = evaluate.main(evaluate.Settings(run_dir=run_dir))
    scores = {name: score.value for name, score in evaluated.scores.items()}
    of_classes = [name for name in scores if name.startswith("iou/")]
    chosen = {name: scores[name] for name in (*SCORES, *of_classes)}
    if settings.views != "none":
        trained = train.restore(run_dir)
        assert isinstance(trained, train.segmentation.TrainedSegmenter)
        predictions = trained.predict(evaluated.dataset, views=settings.views)
        seen = trained.evaluate(predictions, num_resamples=0)
        chosen |= {f"{settings.views}/{name}": seen[name].value for name in SCORES}
    if settings.refined:
        refined = refine.main(refine.Settings(run_dir=run_dir, crf=settings.crf))["refined"]
        chosen |= {f"refined/{name}": refined[name]["value"] for name in SCORES}
    return chosen


def of_one_run(settings: Settings, model: str) -> segment.Settings:
    """The settings of the run of one model."""
    fields = {
        field.name: getattr(settings, field.name) for field in dataclasses.fields(segment.Settings)
    }
    fields["model"] = dataclasses.replace(settings.model, model=model)
    return segment.Settings(**fields)


if __name__ == "__main__":
    script.start(run, Settings, __doc__)
