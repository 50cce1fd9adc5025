"""What a variational autoencoder says of images: codes, reconstructions, bounds."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, Integer

from jaxvision._reprs import brief
from jaxvision.checks import check_count
from jaxvision.data import Dataset
from jaxvision.losses import variational
from jaxvision.train.mapping import map_batches
from jaxvision.train.vae.loss import VAELoss

PyTree = Any
_DECODED = 2048
"""About how many codes are decoded at once."""


class Predictions(NamedTuple):
    """What a model says of each image that counts.

    Attributes:
        elbo: The evidence lower bound, in nats, on average over the codes that were drawn.
        bound: The importance-weighted bound of as many codes, in nats.
        kl: The divergence of each number of the code, in nats.
        means: The mean code.
        reconstructions: The expected image of the mean code, from 0 to 1.
        labels: The classes, -1 where the data have none.
        indices: The images' places in the data: those that could not be decoded are left out.
        samples: How many codes of each image were drawn.
    """

    elbo: Float32[np.ndarray, " examples"]
    bound: Float32[np.ndarray, " examples"]
    kl: Float32[np.ndarray, "examples latents"]
    means: Float32[np.ndarray, "examples latents"]
    reconstructions: Float32[np.ndarray, "examples height width channels"]
    labels: Integer[np.ndarray, " examples"]
    indices: Int[np.ndarray, " examples"]
    samples: int

    def __repr__(self) -> str:
        return brief(self)


def predict(
    loss: VAELoss,
    variables: PyTree,
    data: Dataset | Iterable[Mapping[str, Any]] | None,
    *,
    samples: int = 100,
    batch_size: int = 128,
    seed: int = 0,
) -> Predictions:
    """Encodes images, decodes them again, and estimates their log-probabilities, on all devices.

    Args:
        loss: What `make_loss_fn` gave.
        variables: The variables of its model, such as `SavedRun.variables` gives them.
        data: A data set, or batches with `image`, of a model with classes also `label`.
        samples: How many codes of each image are drawn; `bound` tends to the log-probability as
            their number grows.
        batch_size: Rows of a batch, if `data` is a data set.
        seed: Of the codes, and of what the likelihood observes.

    Returns:
        What the model says, without padding.

    Raises:
        ValueError: There is no example in the data, or no sample is asked for.
    """
    check_count("samples", samples)
    model, likelihood = loss.model, loss.likelihood

    def of_batch(variables: PyTree, batch: Mapping[str, Any]) -> dict[str, Array]:
        observe_key, code_key = jax.random.split(jax.random.key(seed))
        observed = loss.observe(loss.prepared(batch), observe_key)
        images, labels = observed["image"], loss.labels(observed)

        def decode(codes: Array, labels: Array | None) -> Array:
            outputs: Any = model.apply(variables, codes, labels, method="decode")
            return outputs

        coded: Any = model.apply(variables, observed["seen"], labels, method="encode")
        mean, log_variance = coded
        kl = variational.gaussian_kl(mean, log_variance)
        together = min(samples, max(1, _DECODED // len(images)))

        def log_weights(key: Array) -> tuple[Array, Array]:
            """Log-likelihoods and log-weights of some codes of each image."""
            noise = jax.random.normal(key, (together, *mean.shape), mean.dtype)
            codes = mean + jnp.exp(log_variance / 2) * noise
            outputs = decode(_flat(codes), None if labels is None else jnp.tile(labels, together))
            many = _flat(jnp.broadcast_to(images, (together, *images.shape)))
            likely = likelihood.log_prob(outputs, many).reshape(together, -1)
            prior = (jnp.square(noise) + log_variance - jnp.square(codes)).sum(-1) / 2
            return likely, likely + prior

        keys = jax.random.split(code_key, -(-samples // together))
        likely, weights = (
            each.reshape(-1, len(images))[:samples] for each in jax.lax.map(log_weights, keys)
        )
        return {
            "elbo": likely.mean(0) - kl.sum(-1),
            "bound": variational.importance_weighted_bound(weights),
            "kl": kl,
            "means": mean,
            "reconstructions": likelihood.mean(decode(mean, labels)),
            "labels": batch.get("label", jnp.full(len(images), -1)),
        }

    rows, indices = map_batches(of_batch, variables, data, batch_size=batch_size)
    return Predictions(**rows, indices=indices, samples=samples)


def _flat(rows: Array) -> Array:
    """The first two axes as one."""
    return rows.reshape(-1, *rows.shape[2:])
