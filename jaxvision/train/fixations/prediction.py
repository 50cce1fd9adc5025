"""Predictions of a model of fixations."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Num

from jaxvision._reprs import brief
from jaxvision.data import Dataset
from jaxvision.train.inputs import Inputs
from jaxvision.train.mapping import map_batches

PyTree = Any
Maps = Float32[np.ndarray, "examples height width"]


class Predictions(NamedTuple):
    """Predicted densities of fixations, and what is known of the true ones, a row per example.

    Attributes:
        log_density: Logarithm of the predicted density of each pixel; densities have sum 1.
        indices: Index of each example in the data set; undecodable images are skipped.
        density: True density of fixations; None if the data have none.
        fixations: Positions x, y of fixations; None if the data have none.
        valid: Which fixations count; None if `fixations` is.
    """

    log_density: Maps
    indices: Int[np.ndarray, " examples"]
    density: Maps | None = None
    fixations: Float32[np.ndarray, "examples fixations 2"] | None = None
    valid: Bool[np.ndarray, "examples fixations"] | None = None

    def __repr__(self) -> str:
        return brief(self)


def predict(
    model: nn.Module,
    variables: PyTree,
    data: Dataset | Iterable[Mapping[str, Any]] | None,
    *,
    batch_size: int = 32,
    inputs: Inputs | None = None,
) -> Predictions:
    """Applies a model of fixations to images of one size, on all devices.

    Args:
        model: Flax module that returns one number for each pixel.
        variables: Variables of the model, as from `SavedRun.variables`.
        data: Data set, or batches with `image` and optionally `fixation_density`, `fixations` and
            `weight`.
        batch_size: Examples per batch, if `data` is a data set.
        inputs: Normalization of the training; None only converts integers to floats in [0, 1].

    Returns:
        Densities and fixations, without padding rows.

    Raises:
        ValueError: `data` is None or empty, or the model returns something else.

    >>> from jaxvision import data, models
    >>> model = models.PixelClassifier(num_classes=1)
    >>> images = np.ones((5, 4, 6, 1), np.float32)
    >>> variables = jax.jit(model.init)(jax.random.key(0), images)
    >>> predictions = predict(model, variables, data.from_arrays({"image": images}))
    >>> np.exp(predictions.log_density).sum(axis=(1, 2)).round(4).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    prepared = Inputs() if inputs is None else inputs

    def of_batch(variables: PyTree, batch: Mapping[str, Any]) -> dict[str, Array]:
        images = prepared.evaluate(batch)["image"]
        found = {"log_density": log_density_of(model.apply(variables, images, train=False), images)}
        if "fixation_density" in batch:
            found["density"] = jnp.asarray(batch["fixation_density"], jnp.float32)
        return found | known_fixations(batch)

    rows, indices = map_batches(of_batch, variables, data, batch_size=batch_size)
    return Predictions(**rows, indices=indices)


def log_density_of(
    outputs: Any, images: Num[Any, "batch height width channels"]
) -> Float[Array, "batch height width"]:
    """The logarithm of the softmax over all pixels, from a model's outputs.

    >>> print(log_density_of(jnp.zeros((1, 1, 4, 1)), jnp.zeros((1, 1, 4, 3))).round(4))
    [[[-1.3863 -1.3863 -1.3863 -1.3863]]]
    """
    if outputs.shape != (*images.shape[:-1], 1):
        raise ValueError(
            "a model of fixations must return one number for each pixel, and this one returns the "
            f"shape {outputs.shape} for images of the shape {images.shape}"
        )
    return jax.nn.log_softmax(outputs[..., 0].astype(jnp.float32), axis=(1, 2))


def known_fixations(batch: Mapping[str, Any]) -> dict[str, Array]:
    """The fixations of a batch and which of them count; empty if it has none."""
    if "fixations" not in batch:
        return {}
    fixations = jnp.asarray(batch["fixations"], jnp.float32)
    valid = jnp.asarray(batch.get("fixations_valid", jnp.ones(fixations.shape[:-1], bool)))
    return {"fixations": fixations, "valid": valid.astype(bool)}
