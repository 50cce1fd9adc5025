"""Counts of examples or pixels per class."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from jaxvision._labels import IGNORED
from jaxvision.data.dataset import Dataset
from jaxvision.data.errors import CorruptImageError, DatasetError
from jaxvision.data.subset import labels_of
from jaxvision.suggest import unknown


def class_counts(dataset: Dataset, field: str = "label") -> Int64[np.ndarray, " classes"]:
    """Counts the examples of each class, or the pixels of each class in masks.

    Args:
        dataset: Data set with one label per example, or with masks. Every example is read once,
            unless the data are in memory or labeled by their folders.
        field: Field to count: `label`, or a mask such as `mask`.

    Returns:
        Count of each class. Unlabeled examples (-1) and pixels (255) are not counted.

    Raises:
        CorruptImageError: An image that is read for its label cannot be decoded.
        DatasetError: The field does not exist, or is neither a label per example nor a mask.

    >>> from jaxvision import data
    >>> images = np.zeros((4, 8, 8, 1))
    >>> class_counts(data.from_arrays({"image": images, "label": np.array([0, 2, 2, -1])}))
    array([1, 0, 2])
    """
    if field not in dataset.fields:
        raise DatasetError(unknown("field", field, dataset.fields))
    kind, names = dataset.fields[field].kind, dataset.fields[field].names
    if kind == "label":
        labels = labels_of(dataset)
        return np.bincount(labels[labels >= 0], minlength=len(names)).astype(np.int64)
    if kind != "mask":
        raise DatasetError(f"{field} has the kind {kind}, not label or mask: it has no classes")
    counts = np.zeros(IGNORED + 1, np.int64)
    for index in range(len(dataset)):
        try:
            counts += np.bincount(dataset[index][field].ravel(), minlength=len(counts))
        except CorruptImageError:
            if dataset.corrupt == "stop":
                raise
    counts = counts[:IGNORED]
    return counts[: len(names) or int(np.flatnonzero(counts).max(initial=0)) + 1]


def counts_are_known(dataset: Dataset, field: str = "label") -> bool:
    """Whether `class_counts` is fast, because it reads no images.

    Args:
        dataset: Data set to count.
        field: Field to count.

    Returns:
        Whether the field is in memory, or is a label known from the names of folders.

    >>> from jaxvision import data
    >>> counts_are_known(data.load("digits", "test"))
    True
    """
    if isinstance(dataset.examples, Mapping):
        return field in dataset.examples
    return field == "label" and getattr(dataset.examples, "known_labels", None) is not None
