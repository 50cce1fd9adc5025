"""Losses of predicted densities over the pixels of an image."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real


def density_divergence(
    logits: Float[Array, "batch *space"], density: Real[Array, "batch *space"]
) -> Float[Array, "batch"]:
    """The divergence of a softmax over all pixels from a density, `sum_x q(x) log(q(x) / p(x))`.

    Here p is the softmax of the logits over the pixels of an image, and q the density divided by
    its sum. Up to the entropy of q, which no prediction changes, the divergence is the mean
    negative log-likelihood of positions that are drawn from q. So training on counts of drawn
    positions maximizes their likelihood.

    Args:
        logits: One number per pixel.
        density: Density or counts of each pixel, not negative, such as `fixation_density`.

    Returns:
        The divergence of each image in nats; it and its gradient are 0 where a density is 0
        everywhere.

    Raises:
        ValueError: The shapes differ.

    Reference: Kullback and Leibler, On information and sufficiency, 1951; Kümmerer et al., DeepGaze
    II, 2016, arXiv:1610.01563 (likelihood of fixations under a softmax over pixels).

    >>> logits = jnp.log(jnp.array([[[1.0, 3.0]]]))
    >>> print(f"{jax.jit(density_divergence)(logits, jnp.array([[[5.0, 5.0]]]))[0]:.4f}")
    0.1438
    """
    if logits.shape != density.shape:
        raise ValueError(
            f"logits and density must have one shape, got {logits.shape} and {density.shape}"
        )
    dtype = jnp.result_type(logits, density, jnp.float32)
    rows = len(logits)
    log_p = jax.nn.log_softmax(logits.astype(dtype).reshape(rows, -1), axis=1)
    q = density.astype(dtype).reshape(rows, -1)
    total = q.sum(axis=1, keepdims=True)
    q = q / jnp.where(total == 0, 1, total)
    log_q = jnp.log(jnp.where(q == 0, 1, q))
    return jnp.sum(q * (log_q - log_p), axis=1)
