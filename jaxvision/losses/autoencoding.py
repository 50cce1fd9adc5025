"""Sparsity and contraction penalties that keep an autoencoder from copying its input."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxvision.losses._precision import at_least_float32

Codes = Float[Array, "batch latents"]


def activation_l1(codes: Codes) -> Float[Array, " batch"]:
    """The sum of the absolute values of each code; one value per example, in float32 or wider.

    >>> print(activation_l1(jnp.array([[1.0, -2.0, 0.0]])))
    [3.]
    """
    return jnp.abs(at_least_float32(codes)).sum(axis=1)


def sparsity_divergence(
    codes: Codes,
    target: int | float,
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
) -> Float[Array, ""]:
    """The KL divergence between a target activity and the mean activity of each latent, summed.

    For target t and mean activity `a_j` of latent j over the batch, the term of latent j is that of
    two Bernoulli distributions: `t log(t / a_j) + (1 - t) log((1 - t) / (1 - a_j))`.

    Args:
        codes: Activities from 0 to 1, such as the outputs of a sigmoid.
        target: The target activity, between 0 and 1; 0.05 is usual.
        weight: 0 for rows that pad the batch.

    Returns:
        The sum in nats; not negative, and finite even if a latent is never or always active.

    Raises:
        ValueError: The target is not between 0 and 1.

    Reference: Ng, Sparse autoencoder, CS294A lecture notes, Stanford 2011.

    >>> codes = jnp.array([[0.1, 0.5], [0.0, 0.5]])
    >>> print(f"{sparsity_divergence(codes, 0.05):.6f}")  # the first is at the target
    0.494632
    """
    if not 0 < target < 1:
        raise ValueError(f"target must lie between 0 and 1, got {target}")
    wide = at_least_float32(codes)
    counts = jnp.ones(len(wide), wide.dtype) if weight is None else weight.astype(wide.dtype)
    total = counts.sum()
    rows = jnp.where(counts[:, None] == 0, 0, wide * counts[:, None])
    activity = jnp.clip(rows.sum(axis=0) / jnp.where(total == 0, 1, total), _LEAST, 1 - _LEAST)
    terms = target * jnp.log(target / activity)
    terms += (1 - target) * jnp.log((1 - target) / (1 - activity))
    return jnp.where(total == 0, 0, terms.sum())


_LEAST = 1e-6


def jacobian_norm(
    encode: Callable[[Float[Array, "batch *shape"]], Codes], images: Float[Array, "batch *shape"]
) -> Float[Array, " batch"]:
    """The squared Frobenius norm of the Jacobian of each code with respect to its image.

    It needs one backward pass per latent. Contractive autoencoders add about a tenth of this norm
    to the loss, so that small changes of an image change its code little.

    Args:
        encode: `encode(images)` gives one code per image, independent of the other images (so it
            must not contain BatchNorm that uses batch statistics).
        images: Images.

    Reference: Rifai et al., Contractive auto-encoders, ICML 2011.

    >>> matrix = jnp.array([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
    >>> print(jacobian_norm(lambda x: x @ matrix, jnp.zeros((1, 3))))
    [30.]
    """
    codes, pull_back = jax.vjp(encode, images)

    def of_number(index: Array) -> Array:
        chosen = jax.nn.one_hot(index, codes.shape[1], dtype=codes.dtype)
        (gradient,) = pull_back(jnp.broadcast_to(chosen, codes.shape))
        return jnp.square(at_least_float32(gradient)).sum(axis=range(1, gradient.ndim))

    return jax.vmap(of_number)(jnp.arange(codes.shape[1])).sum(axis=0)
