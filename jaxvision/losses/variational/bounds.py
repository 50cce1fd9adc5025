"""The evidence lower bound of variational autoencoders, in nats and in bits per dimension."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxvision.losses._precision import at_least_float32
from jaxvision.losses.variational.likelihoods import Images, Likelihood, Outputs


class Elbo(NamedTuple):
    """The evidence lower bound of each image, and its terms.

    Attributes:
        log_likelihood: The log-probability of each image given its code, in nats per image.
        kl: The Kullback-Leibler divergence of each latent from the prior, in nats.
        dimensions: The number of values of an image.
    """

    log_likelihood: Float[Array, " batch"]
    kl: Float[Array, "batch latents"]
    dimensions: int

    @property
    def nats(self) -> Float[Array, " batch"]:
        """The bound of each image in nats, which is at most the image's log-probability."""
        return self.log_likelihood - self.kl.sum(axis=-1)

    @property
    def bits_per_dimension(self) -> Float[Array, " batch"]:
        """Minus the bound in bits per value of the image: an upper bound of the code length."""
        return bits_per_dimension(self.nats, self.dimensions)


def elbo(
    likelihood: Likelihood,
    outputs: Outputs,
    images: Images,
    mean: Float[Array, "batch latents"],
    log_variance: Float[Array, "batch latents"],
) -> Elbo:
    """The evidence lower bound `E_q[log p(x | z)] - KL(q(z | x) || p(z))`, from one z per image.

    Both terms are sums, over the values of the image and over the latents. Averaging over the image
    instead would make the divergence hundreds of times too strong and all codes equal.

    Args:
        likelihood: The distribution of images that `outputs` describe.
        outputs: Outputs of the decoder for a code drawn from the encoder's distribution.
        images: Images with values from 0 to 1.
        mean: Means of the encoder's distribution.
        log_variance: Logarithms of its variances.

    Raises:
        ValueError: There is not one mean and one log-variance for each image and latent, or the
            outputs do not fit the likelihood.

    Reference: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114.

    >>> from jaxvision.losses import variational
    >>> images, code = jnp.ones((1, 28, 28, 1)), jnp.zeros((1, 2))
    >>> bound = elbo(variational.Bernoulli(), jnp.zeros_like(images), images, code, code)
    >>> print(f"{bound.nats[0]:.2f} nats, {bound.bits_per_dimension[0]:.3f} bits per dimension")
    -543.43 nats, 1.000 bits per dimension
    """
    if mean.shape != log_variance.shape or len(mean) != len(images):
        raise ValueError(
            "mean and log_variance must have the shape (images, latents), got "
            f"{mean.shape} and {log_variance.shape} for {len(images)} images"
        )
    return Elbo(
        likelihood.log_prob(outputs, images),
        gaussian_kl(mean, log_variance),
        math.prod(images.shape[1:]),
    )


def gaussian_kl(
    mean: Float[Array, "*shape"], log_variance: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """The divergence KL(q || p) of q = N(mean, variance) from p = N(0, 1), elementwise, in nats.

    It is `(mean^2 + variance - log variance - 1) / 2`. (Some course slides call it KL(p || q),
    which for a mean of 0.5 and a variance of 0.25 would be 1.306853.)

    >>> print(f"{gaussian_kl(jnp.array(0.5), jnp.log(jnp.array(0.25))):.6f}")
    0.443147
    """
    mean, log_variance = at_least_float32(mean), at_least_float32(log_variance)
    # expm1(v) - v is v^2 / 2 near 0, without the rounding of exp(v) - v - 1.
    return (jnp.square(mean) + jnp.expm1(log_variance) - log_variance) / 2


def free_nats(
    kl: Float[Array, "batch latents"],
    least: int | float,
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
) -> Float[Array, ""]:
    """The KL divergence with free bits: the sum over the latents of `max(least, batch mean)`.

    Args:
        kl: The divergences of `Elbo`.
        least: The floor in nats, below which a latent's divergence has no gradient; with 0, the
            result is the mean divergence of a code.
        weight: 0 for rows that pad the batch.

    Returns:
        The sum in nats per image.

    Raises:
        ValueError: `least` is negative.

    Reference: Kingma et al., Improving variational inference with inverse autoregressive flow,
    NeurIPS 2016, arXiv:1606.04934, appendix C.8 (with one latent per group).

    >>> kl = jnp.array([[0.0, 3.0], [0.2, 1.0]])
    >>> print(free_nats(kl, 0.5))  # max(0.5, 0.1) + max(0.5, 2)
    2.5
    """
    if not least >= 0:
        raise ValueError(f"least must not be negative, got {least}")
    counts = jnp.ones(len(kl)) if weight is None else weight.astype(jnp.float32)
    total = counts.sum()
    means = jnp.where(counts[:, None] == 0, 0, kl * counts[:, None]).sum(axis=0)
    return jnp.maximum(means / jnp.where(total == 0, 1, total), least).sum()


def importance_weighted_bound(
    log_weights: Float[Array, "samples batch"],
) -> Float[Array, " batch"]:
    """The bound `log (1/k) sum_k p(x, z_k) / q(z_k | x)` from k codes of each image, in nats.

    Its expectation is at least the evidence lower bound and, as k grows, rises to the
    log-probability of the image.

    Args:
        log_weights: `log p(x | z) + log p(z) - log q(z | x)` for codes z drawn from q.

    Raises:
        ValueError: There are no samples.

    Reference: Burda et al., Importance weighted autoencoders, ICLR 2016, arXiv:1509.00519.

    >>> bound = importance_weighted_bound(jnp.log(jnp.array([[0.1], [0.3]])))
    >>> print(f"{bound[0]:.4f}")  # log 0.2
    -1.6094
    """
    if not len(log_weights):
        raise ValueError("a bound needs at least one sample of each image")
    return jax.nn.logsumexp(log_weights, axis=0) - math.log(len(log_weights))


def bits_per_dimension(nats: Float[Array, "*shape"], dimensions: int) -> Float[Array, "*shape"]:
    """Converts log-probabilities of images to bits per value: `-nats / (dimensions log 2)`.

    Args:
        nats: Log-probabilities of images, in nats.
        dimensions: The number of values of an image.

    >>> print(bits_per_dimension(jnp.array(-math.log(256.0) * 12), 12))
    8.0
    """
    return -nats / (dimensions * math.log(2))
