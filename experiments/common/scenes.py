"""Classifiers of scenes with masks, fine-tuned from a segmenter.

Without the masks, a classifier of `shapes` would need very long to tell shapes apart.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from common import script
from common.explanations import Network
from common.learning import Optimization
from common.masks import MaskData
from common.run import Run, train_model
from common.tags import Tag

import jax
import numpy as np
import segment
from jaxtyping import Bool

from jaxvision import data, models, train

FIELDS = ("image", "label", "mask")


def load(chosen: MaskData, split: str) -> data.Dataset:
    """Loads scenes with their classes and masks."""
    usual = MaskData()
    for name in ("masks", "class_names", "boundary_weights", "channels", "corrupt"):
        if getattr(chosen, name) != getattr(usual, name):
            flag = name.replace("_", "-")
            raise SystemExit(f"leave out --{flag}: scenes are a data set with classes and masks")

    def keep(example: dict[str, Any]) -> dict[str, Any]:
        for name in FIELDS:
            if name not in example:
                raise SystemExit(
                    f"--dataset {chosen.dataset} has no {name}: explanations are measured on "
                    "images with a class and a mask, as those of shapes"
                )
        return {name: example[name] for name in FIELDS}

    with script.checking():
        loaded = data.load(
            chosen.dataset, split, chosen.data_dir, transform=keep, image_size=chosen.image_size
        )
    if not loaded.in_memory:
        raise SystemExit(f"--dataset {chosen.dataset} does not fit in memory: name a smaller one")
    return loaded


def arrays(dataset: data.Dataset) -> Mapping[str, np.ndarray]:
    """The examples of a data set in memory."""
    assert isinstance(dataset.examples, Mapping)
    return dataset.examples


def pixels(dataset: data.Dataset) -> np.ndarray:
    """All images, in [0, 1]."""
    return arrays(dataset)["image"].astype(np.float32) / 255


def objects(dataset: data.Dataset, rows: Any) -> Bool[np.ndarray, "rows height width"]:
    """The pixels of objects whose class is that of the scene, for some scenes."""
    names = dataset.fields["mask"].names
    numbers = np.array([names.index(name) for name in dataset.class_names])
    labels, masks = (arrays(dataset)[name][rows] for name in ("label", "mask"))
    found: np.ndarray = masks.reshape(masks.shape[:3]) == numbers[labels][:, None, None]
    return found


def only(dataset: data.Dataset, *names: str) -> data.Dataset:
    """The data set with some of its fields."""
    return dataclasses.replace(
        dataset,
        examples={name: arrays(dataset)[name] for name in names},
        fields={name: dataset.fields[name] for name in names},
    )


@dataclasses.dataclass(frozen=True)
class Tuning(segment.Settings):
    """Settings of the fine-tuning of a classifier, for the record of its run."""

    tag: Tag | None = None
    """The tag in the training images of one class; None for images as they are."""


def train_segmenter(
    settings: segment.Settings, train_data: data.Dataset, test_data: data.Dataset
) -> None:
    """Trains the segmenter that classifiers start from."""
    train_data, test_data = (only(each, "image", "mask") for each in (train_data, test_data))
    model = settings.model.make(train_data)
    inputs = settings.inputs.make(model.num_classes)
    loss_fn = settings.loss.make(model, inputs, train_data)
    train_model(settings, model, loss_fn, train_data, test_data)


def tune_classifier(
    settings: segment.Settings,
    optimization: Optimization,
    run: Run,
    train_data: data.Dataset,
    test_data: data.Dataset,
    tag: Tag | None = None,
) -> train.classification.TrainedClassifier:
    """Fine-tunes a classifier from the backbone of a segmenter; returns it as restored."""
    with script.asking():
        given, variables = train.restore(settings.run.run_dir).backbone()
    train_data, test_data = (only(each, "image", "label") for each in (train_data, test_data))
    with script.checking(TypeError):
        options = {**models.describe(given), "num_classes": train_data.num_classes}
        model = models.create_model(**options)
        variables = models.adapt_variables(
            model,
            variables,
            image_shape=train_data.image_shape,
            new_head=True,
            key=jax.random.key(run.seed),
        )
        inputs = settings.inputs.make(model.num_classes)
        loss_fn = train.classification.make_loss_fn(model, inputs=inputs)
    given_settings = {field.name: getattr(settings, field.name) for field in _FIELDS}
    chosen = Tuning(**{**given_settings, "optimization": optimization, "run": run}, tag=tag)
    train_model(chosen, model, loss_fn, train_data, test_data, variables)
    trained = train.restore(pathlib.Path(run.run_dir))
    assert isinstance(trained, train.classification.TrainedClassifier)
    return trained


_FIELDS = dataclasses.fields(segment.Settings)


def network_of(trained: train.classification.TrainedClassifier) -> Network:
    """The network of a restored classifier."""
    return Network(trained.model, trained.inputs.mean, trained.inputs.std)
