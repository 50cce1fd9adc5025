"""Losses for targets that are numbers."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Real


def squared_error(
    predictions: Float[Array, "batch *rest"], targets: Real[Array, "batch *rest"]
) -> Float[Array, "batch"]:
    """The squared error of each example, averaged over all axes but the first.

    It is the mean, so that the loss of an image does not grow with its size. The sum over an
    example, the negative log-likelihood of a Gaussian up to constants, is this times the number of
    values in it.

    Args:
        predictions: One row of any shape per example.
        targets: Of the same shape; nothing is broadcast.

    Returns:
        One value per example, float32 at least.

    Raises:
        ValueError: The shapes differ, there is no batch axis, or an example holds no value.

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
