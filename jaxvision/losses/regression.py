"""Losses for numeric targets."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Real


def squared_error(
    predictions: Float[Array, "batch *rest"], targets: Real[Array, "batch *rest"]
) -> Float[Array, "batch"]:
    """The squared error of each example, averaged over all axes but the first.

    The mean does not grow with the size of an image. To get the sum, which is the negative
    log-likelihood of a Gaussian up to constants, multiply by the number of values per example.

    Args:
        predictions: One array of any shape per example.
        targets: Targets of the same shape (no broadcasting).

    Raises:
        ValueError: The shapes differ, there is no batch axis, or examples have no values.

    >>> predictions = jnp.array([[1.0, 2.0], [0.0, 0.0]])
    >>> print(squared_error(predictions, jnp.array([[1.0, 4.0], [3.0, 1.0]])))
    [2. 5.]
    """
    if predictions.shape != targets.shape:
        raise ValueError(
            f"predictions and targets must have one shape, got {predictions.shape} "
            f"and {targets.shape}"
        )
    if predictions.ndim == 0 or math.prod(predictions.shape[1:]) == 0:
        raise ValueError(
            "predictions must have a batch axis and at least one value per example, "
            f"got shape {predictions.shape}"
        )
    dtype = jnp.result_type(predictions, targets, jnp.float32)
    error = jnp.square(predictions.astype(dtype) - targets.astype(dtype))
    return jnp.mean(error, axis=tuple(range(1, error.ndim)))
