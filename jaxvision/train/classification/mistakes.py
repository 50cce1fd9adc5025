"""Which examples a classifier gets wrong."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxvision.data import Dataset
from jaxvision.train.classification.prediction import Predictions


class Mistake(NamedTuple):
    """An example that is taken for another class.

    Attributes:
        file: Its file; or, for data that are not in files of their own, its place among them.
        true: The name of its class.
        predicted: The name of the class that it is taken for.
        probability: That of the predicted class.
    """

    file: str
    true: str
    predicted: str
    probability: float


def mistakes(predictions: Predictions, dataset: Dataset) -> list[Mistake]:
    """Lists the examples that are taken for another class, the most confident first.

    Args:
        predictions: What `predict` gave for the data set.
        dataset: The data set.

    Returns:
        The mistakes; examples without a label are none.

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
    """The files of some examples.

    Args:
        dataset: A data set.
        indices: Places in it.

    Returns:
        A name for each; None if the data are not in files of their own.
    """
    if dataset.file_names is None:
        return None
    return [dataset.file_names[index] for index in indices]
