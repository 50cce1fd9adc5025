"""The evidence lower bound (ELBO), the loss of variational autoencoders, for several likelihoods.

All log-probabilities are in nats, summed over an image.
"""

from jaxvision.losses.variational.bounds import (
    Elbo,
    bits_per_dimension,
    elbo,
    free_nats,
    gaussian_kl,
    importance_weighted_bound,
)
from jaxvision.losses.variational.likelihoods import (
    Bernoulli,
    DiscretizedLogistic,
    Gaussian,
    Likelihood,
    dequantize,
    describe_likelihood,
    likelihood_from_description,
)

__all__ = [
    "Bernoulli",
    "DiscretizedLogistic",
    "Elbo",
    "Gaussian",
    "Likelihood",
    "bits_per_dimension",
    "dequantize",
    "describe_likelihood",
    "elbo",
    "free_nats",
    "gaussian_kl",
    "importance_weighted_bound",
    "likelihood_from_description",
]
