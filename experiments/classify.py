"""Trains an image classifier: any registered model on any data set.

    python experiments/classify.py --run-dir runs/lenet
    python experiments/classify.py --model resnet18 --model-options small_images True
    python experiments/classify.py --dataset path/to/folder --image-size 64 --channels 3

The same command continues an interrupted run. The run folder has settings.json, metrics.jsonl,
TensorBoard files, checkpoints and figures. experiments/evaluate.py evaluates the run,
experiments/predict.py applies it to image files.
"""

import dataclasses

from common import script
from common.run import Settings, train_model

from jaxvision import train


def main(settings: Settings) -> train.FitResult:
    """Trains and evaluates a classifier, and writes a run folder."""
    settings.run.begin(settings.devices)
    settings = dataclasses.replace(settings, data=settings.data.located())
    train_data, eval_data = settings.data.load_splits(settings.run.seed)
    model = settings.model.make(train_data, axis_name=settings.devices.axis_name)
    loss_fn = settings.loss.make(model, settings.inputs.make(model.num_classes), train_data)
    return train_model(settings, model, loss_fn, train_data, eval_data)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
