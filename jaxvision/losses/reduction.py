"""From one value per example to the one number that is minimised."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real


def weighted_mean(
    values: Float[Array, "*batch"],
    weight: Real[Array, "..."] | Bool[Array, "..."] | None = None,
) -> Float[Array, ""]:
    """The mean of the values, each counted by its weight: `sum(w * v) / sum(w)`.

    A value of weight 0 is not looked at: a NaN or an infinity there reaches neither the mean nor
    the gradient that flows back into `values`. So rows that pad a batch, and pixels that have no
    label, cost nothing.

    Args:
        values: One loss per example, or per position of an example.
        weight: Not negative. Its shape is the leading part of the shape of `values`: weights of
            shape `batch` weigh all positions of an example of `batch height width` alike. None
            weighs every value by 1.

    Returns:
        The mean, float32 at least. It is 0, with a gradient of 0, where the weights sum to 0, as
        they do for an empty batch.

    Raises:
        ValueError: The shape of `weight` is not the leading part of the shape of `values`.

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
    # Two `where`: a product 0 * NaN is NaN, in the value and again in the gradient.
    total = jnp.sum(jnp.where(weight == 0, 0, values.astype(dtype)) * weight)
    count = jnp.sum(weight)
    return jnp.where(count == 0, 0, total / jnp.where(count == 0, 1, count))
