"""Misclassified examples of a data set."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxvision.data import Dataset
from jaxvision.train.classification.prediction import Predictions


class Mistake(NamedTuple):
    """A misclassified example.

    Attributes:
        file: File of the example; its index in the data set if the data have no files.
        true: Name of the true class.
        predicted: Name of the predicted class.
        probability: Probability of the predicted class.
    """

    file: str
    true: str
    predicted: str
    probability: float


def mistakes(predictions: Predictions, dataset: Dataset) -> list[Mistake]:
    """Lists misclassified examples, the most confident first; skips examples without a label.

    Args:
        predictions: Output of `predict` on `dataset`.
        dataset: Data set with the class names and file names.

    >>> from jaxvision import data
    >>> images = np.zeros((2, 4, 4, 1))
    >>> pets = data.from_arrays({"image": images, "label": np.array([0, 1])})
    >>> logits = np.array([[0, 9], [0, 9]], np.float32)
    >>> mistakes(Predictions(logits, np.array([0, 1]), np.arange(2)), pets)[0][:3]
    ('0', '0', '1')
    """
    probabilities, classes = predictions.probabilities.max(axis=1), predictions.classes
    names = dataset.class_names or [str(index) for index in range(predictions.logits.shape[1])]
    files = names_of_files(dataset, predictions.indices)
    places = predictions.indices if files is None else files
    wrong = np.flatnonzero((predictions.labels >= 0) & (predictions.labels != classes))
    order = wrong[np.argsort(-probabilities[wrong], kind="stable")]
    return [
        Mistake(
            str(places[row]),
            names[predictions.labels[row]],
            names[classes[row]],
            round(float(probabilities[row]), 6),
        )
        for row in order
    ]


def names_of_files(dataset: Dataset, indices: Int[np.ndarray, " examples"]) -> list[str] | None:
    """File names of examples; None if the data set has none."""
    if dataset.file_names is None:
        return None
    return [dataset.file_names[index] for index in indices]
