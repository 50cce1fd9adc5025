"""What a classifier says of data."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int, Integer

from jaxvision._reprs import brief
from jaxvision.data import Dataset
from jaxvision.train.inputs import Inputs
from jaxvision.train.mapping import map_batches

PyTree = Any


class Predictions(NamedTuple):
    """What a model said, one row per example that counts.

    Attributes:
        logits: One per class, float32.
        labels: The classes, -1 where the data have none.
        indices: The examples' places in the data: those that could not be decoded are left out.
    """

    logits: Float32[np.ndarray, "examples classes"]
    labels: Integer[np.ndarray, " examples"]
    indices: Int[np.ndarray, " examples"]

    def __repr__(self) -> str:
        return brief(self)

    @property
    def probabilities(self) -> Float[np.ndarray, "examples classes"]:
        """The softmax of the logits, in float64."""
        logits = self.logits.astype(np.float64)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    @property
    def classes(self) -> Int[np.ndarray, " examples"]:
        """The most probable class of each example."""
        return self.logits.argmax(axis=1)


class Embeddings(NamedTuple):
    """What a model sees in images, one row per example that counts.

    Attributes:
        vectors: The last vector before the logits, float32.
        probabilities: The softmax of the logits, float32.
        labels: The classes, -1 where the data have none.
        indices: The examples' places in the data: those that could not be decoded are left out.
    """

    vectors: Float32[np.ndarray, "examples features"]
    probabilities: Float32[np.ndarray, "examples classes"]
    labels: Integer[np.ndarray, " examples"]
    indices: Int[np.ndarray, " examples"]

    def __repr__(self) -> str:
        return brief(self)


def embed(
    model: nn.Module,
    variables: PyTree,
    data: Dataset | Iterable[Mapping[str, Any]] | None,
    *,
    batch_size: int = 128,
    inputs: Inputs | None = None,
) -> Embeddings:
    """Computes the vectors that a classifier tells classes apart by, on all devices.

    Args:
        model: The model; it has a method `embed`, as those of `models.create_model` have.
        variables: Its variables, such as `SavedRun.variables` gives them.
        data: A data set, or batches with `image` and perhaps `label` and `weight`.
        batch_size: Rows of a batch, if `data` is a data set.
        inputs: How images are normalized, as in training; None only makes them floating point.

    Returns:
        Vectors, probabilities, labels and places in the data, without padding.

    Raises:
        ValueError: There is no example in the data.

    >>> import jax
    >>> from jaxvision import data, models
    >>> model = models.create_model("mlp", num_classes=3, hidden_sizes=(7,))
    >>> images = np.ones((5, 4, 4, 1), np.float32)
    >>> variables = jax.jit(model.init)(jax.random.key(0), images)
    >>> embed(model, variables, data.from_arrays({"image": images})).vectors.shape
    (5, 7)
    """
    prepared = Inputs() if inputs is None else inputs

    def of_batch(variables: PyTree, batch: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        images = prepared.evaluate(batch)["image"]
        vectors: Any = model.apply(variables, images, train=False, method="embed")
        logits: Any = model.apply(variables, images, train=False)
        labels = batch.get("label", jnp.full(len(logits), -1))
        return vectors.astype(jnp.float32), nn.softmax(logits.astype(jnp.float32)), labels

    mapped = map_batches(of_batch, variables, data, batch_size=batch_size)
    vectors, probabilities, labels = mapped.rows
    return Embeddings(vectors, probabilities, labels, mapped.indices)


def predict(
    model: nn.Module,
    variables: PyTree,
    data: Dataset | Iterable[Mapping[str, Any]] | None,
    *,
    batch_size: int = 128,
    inputs: Inputs | None = None,
) -> Predictions:
    """Applies a model to data, on all devices.

    Args:
        model: The model.
        variables: Its variables, such as `SavedRun.variables` gives them.
        data: A data set, or batches with `image` and perhaps `label` and `weight`.
        batch_size: Rows of a batch, if `data` is a data set.
        inputs: How images are normalized, as in training; None only makes them floating point.

    Returns:
        Logits, labels and places in the data, without padding.

    Raises:
        ValueError: There is no example in the data.

    >>> import jax
    >>> from jaxvision import data, models
    >>> model = models.create_model("linear_classifier", num_classes=3)
    >>> images = np.ones((5, 4, 4, 1), np.float32)
    >>> variables = jax.jit(model.init)(jax.random.key(0), images)
    >>> predictions = predict(model, variables, data.from_arrays({"image": images}))
    >>> predictions.logits.shape, predictions.labels.tolist()
    ((5, 3), [-1, -1, -1, -1, -1])
    """
    prepared = Inputs() if inputs is None else inputs

    def of_batch(variables: PyTree, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        logits: Any = model.apply(variables, prepared.evaluate(batch)["image"], train=False)
        labels = batch.get("label", jnp.full(len(logits), -1))
        return logits.astype(jnp.float32), labels

    (logits, labels), indices = map_batches(of_batch, variables, data, batch_size=batch_size)
    return Predictions(logits, labels, indices)
