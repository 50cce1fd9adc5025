"""Reduction of one value per example to the scalar that is minimized."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real


def weighted_mean(
    values: Float[Array, "*batch"],
    weight: Real[Array, "..."] | Bool[Array, "..."] | None = None,
) -> Float[Array, ""]:
    """The weighted mean of the values: `sum(w * v) / sum(w)`.

    Values of weight 0 are ignored: a NaN or an infinity there reaches neither the mean nor the
    gradient of `values`. Use it to leave out rows that pad a batch and pixels without a label.

    Args:
        values: One loss per example, or per position of an example.
        weight: Weights, not negative, or None for 1. Their shape is a leading part of that of
            `values`: weights of shape `batch` apply to whole examples.

    Returns:
        The mean, in float32 or wider. Mean and gradient are 0 if the weights sum to 0.

    Raises:
        ValueError: The shape of `weight` is not a leading part of the shape of `values`.

    >>> values = jnp.array([1.0, 3.0, jnp.nan])
    >>> print(weighted_mean(values, jnp.array([1, 1, 0])))
    2.0
    """
    if weight is None:
        weight = jnp.ones(values.shape, values.dtype)
    if weight.shape != values.shape[: weight.ndim]:
        raise ValueError(
            f"weight must have the leading axes of values, {values.shape}, got {weight.shape}"
        )
    dtype = jnp.result_type(values, weight, jnp.float32)
    weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
    weight = jnp.broadcast_to(weight.astype(dtype), values.shape)
    # `where` twice: 0 * NaN is NaN, in the value and again in the gradient.
    total = jnp.sum(jnp.where(weight == 0, 0, values.astype(dtype)) * weight)
    count = jnp.sum(weight)
    return jnp.where(count == 0, 0, total / jnp.where(count == 0, 1, count))
