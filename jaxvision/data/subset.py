"""Parts of a data set: some classes, or a few examples of each."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxvision.checks import check_name
from jaxvision.data.checks import seed_of, whole
from jaxvision.data.dataset import Dataset
from jaxvision.data.errors import CorruptImageError, DatasetError
from jaxvision.data.fields import with_class_names
from jaxvision.data.source import Example, Source


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """Some examples of a source, with new labels, or as they are."""

    source: Source
    indices: Int[np.ndarray, " examples"]
    labels: Int[np.ndarray, " examples"] | None

    @property
    def known_labels(self) -> Int[np.ndarray, " examples"] | None:
        return self.labels

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        example = self.source[int(self.indices[index])]
        return example if self.labels is None else {**example, "label": self.labels[index]}


def subset(
    dataset: Dataset,
    *,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Takes some classes of a data set, or a few examples of each class.

    Data that are not in memory are read once for their labels, except folders of images without a
    `transform`: their labels are known, and corrupt images are found only when they are read.
    Unlabeled examples (-1) are left out.

    Args:
        dataset: Data set with one label per example.
        classes: Names of the classes, which are numbered from 0 in this order; None takes all.
        per_class: Number of examples of each class to draw; None takes all.
        seed: Seed of the draw.

    Returns:
        A data set with the examples in their original order.

    Raises:
        DatasetError: Examples have no label, or a class has fewer than `per_class`.
        ValueError: A class is unknown or named twice, or a number is out of range.

    >>> from jaxvision import data
    >>> digits = data.load("digits", "validation")
    >>> few = subset(digits, classes=["5", "6", "7"], per_class=10)
    >>> few
    Dataset(digits/validation: 30 examples of 3 classes, image 8x8x1, in memory)
    >>> few.class_names, int(few.examples["label"].max())
    (('5', '6', '7'), 2)
    """
    if "label" not in dataset.fields:
        raise DatasetError(f"{dataset.name}/{dataset.split} has no label per example")
    names = dataset.class_names if classes is None else tuple(classes)
    if isinstance(classes, str) or not names or len(set(names)) < len(names):
        raise ValueError(f"classes must be different names of classes, got {classes!r}")
    for name in names:
        check_name("class", name, dataset.class_names)
    if per_class is not None and whole("per_class", per_class) < 1:
        raise ValueError(f"per_class must be at least 1, got {per_class}")
    new_labels = np.full(len(dataset.class_names), -1)
    new_labels[[dataset.class_names.index(name) for name in names]] = np.arange(len(names))
    given = labels_of(dataset)
    labels = np.where(given < 0, -1, new_labels[given])
    chosen = labels >= 0
    if per_class is not None:
        chosen = _draw(labels, names, per_class, seed_of(seed), f"{dataset.name}/{dataset.split}")
    fields = with_class_names(dataset.fields, names)
    return take(dataset, np.flatnonzero(chosen), labels[chosen], fields=fields)


def take(
    dataset: Dataset,
    indices: Int[np.ndarray, " part"],
    labels: Int[np.ndarray, " part"] | None,
    **changes: Any,
) -> Dataset:
    """Takes examples by index and relabels them; `changes` replace attributes such as `split`.

    `labels` None leaves examples as they are.
    """
    if dataset.file_names is not None:
        changes["file_names"] = tuple(dataset.file_names[index] for index in indices)
    if isinstance(dataset.examples, Mapping):
        arrays = {name: values[indices] for name, values in dataset.examples.items()}
        if labels is not None:
            arrays["label"] = labels.astype(dataset.examples["label"].dtype)
        return dataclasses.replace(dataset, examples=arrays, **changes)
    source = _Chosen(dataset.examples, indices, labels)
    return dataclasses.replace(dataset, examples=source, **changes)


def labels_of(dataset: Dataset) -> Int[np.ndarray, " examples"]:
    """Returns the label of every example; -1 if its image is corrupt and to be skipped.

    Data that are not in memory are read, unless the source knows its labels.
    """
    if isinstance(dataset.examples, Mapping):
        labels = dataset.examples.get("label")
    else:
        labels = getattr(dataset.examples, "known_labels", None)
        if labels is None:
            labels = np.asarray([_label(dataset, index) for index in range(len(dataset))])
    if labels is None or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DatasetError(f"{dataset.name}/{dataset.split} has no label per example")
    return labels


def _label(dataset: Dataset, index: int) -> Any:
    try:
        return dataset[index].get("label")
    except CorruptImageError:
        if dataset.corrupt == "stop":
            raise
        return -1


def _draw(
    labels: Int[np.ndarray, " examples"],
    names: Sequence[str],
    per_class: int,
    seed: int,
    where: str,
) -> np.ndarray:
    """Marks `per_class` random examples of each class."""
    chosen = np.zeros(len(labels), bool)
    random = np.random.default_rng(seed)
    for label, name in enumerate(names):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise DatasetError(
                f"{where} has {len(members)} examples of class {name}, fewer than the {per_class} "
                "asked for"
            )
        chosen[random.choice(members, per_class, replace=False)] = True
    return chosen
