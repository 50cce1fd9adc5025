"""Trains a segmenter of images: any decoder over any backbone, or a network without one.

    python experiments/segment.py --run-dir runs/unet
    python experiments/segment.py --model unet --backbone resnet34 --num-steps 500
    python experiments/segment.py --dataset ./scans --masks ./labels --class-names tissue tumor \
        --train-split "all[:80%]" --eval-split "all[80%:]" --image-size 256

The same command continues an interrupted run. The run folder has settings.json, metrics.jsonl,
TensorBoard files, checkpoints and figures. experiments/evaluate.py scores the run with intervals,
experiments/predict.py writes masks for images of any size.
"""

import dataclasses
from typing import Annotated

from common import script
from common.augmentation import Augmentation
from common.learning import Devices, Inputs, Optimization
from common.masks import MaskData, MaskLoss, Segmenter
from common.run import Run, train_model
from common.script import FLAT

from jaxvision import train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training of a segmenter."""

    run: Annotated[Run, FLAT] = dataclasses.field(
        default_factory=lambda: Run(run_dir="runs/segment")
    )
    data: Annotated[MaskData, FLAT] = dataclasses.field(default_factory=MaskData)
    model: Annotated[Segmenter, FLAT] = dataclasses.field(default_factory=Segmenter)
    inputs: Annotated[Inputs, FLAT] = dataclasses.field(
        default_factory=lambda: Inputs(
            mean=(0.5,), std=(0.25,), augmentation=Augmentation(flip=True, vertical_flip=True)
        )
    )
    loss: Annotated[MaskLoss, FLAT] = dataclasses.field(default_factory=MaskLoss)
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(
        default_factory=lambda: Optimization(
            batch_size=8, num_steps=6_500, learning_rate=4e-3, ema_decay=0.99
        )
    )
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)


def main(settings: Settings) -> train.FitResult:
    """Trains and evaluates a segmenter, and writes a run folder."""
    if settings.inputs.augmentation.mixup:
        raise SystemExit("--mixup cannot mix masks: class numbers have no average; use --cutmix")
    settings.run.begin(settings.devices)
    settings = dataclasses.replace(settings, data=settings.data.located())
    train_data, eval_data = settings.data.load_splits()
    model = settings.model.make(train_data)
    loss_fn = settings.loss.make(model, settings.inputs.make(model.num_classes), train_data)
    return train_model(settings, model, loss_fn, train_data, eval_data)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
