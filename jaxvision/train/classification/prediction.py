"""Predictions and embeddings of a classifier."""

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
    """Logits and labels, one row per example.

    Attributes:
        logits: Logits of the classes, float32.
        labels: Class labels; -1 for none.
        indices: Index of each example in the data set; undecodable images are skipped.
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
    """Feature vectors of images, one row per example.

    Attributes:
        vectors: Feature vectors before the classification layer, float32.
        probabilities: Softmax of the logits, float32.
        labels: Class labels; -1 for none.
        indices: Index of each example in the data set; undecodable images are skipped.
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
    """Computes the feature vectors before the classification layer, on all devices.

    Args:
        model: Flax module with a method `embed`, such as those of `models.create_model`.
        variables: Variables of the model, as from `SavedRun.variables`.
        data: Data set, or batches with `image` and optionally `label` and `weight`.
        batch_size: Examples per batch, if `data` is a data set.
        inputs: Normalization of the training; None only converts integers to floats in [0, 1].

    Raises:
        ValueError: `data` is None or empty.

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
    """Applies a classifier to data, on all devices.

    Args:
        model: Flax module that returns logits.
        variables: Variables of the model, as from `SavedRun.variables`.
        data: Data set, or batches with `image` and optionally `label` and `weight`.
        batch_size: Examples per batch, if `data` is a data set.
        inputs: Normalization of the training; None only converts integers to floats in [0, 1].

    Returns:
        Logits and labels, without padding rows.

    Raises:
        ValueError: `data` is None or empty.

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
