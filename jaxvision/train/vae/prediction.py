"""Predictions of a variational autoencoder: codes, reconstructions and bounds."""

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
"""Approximate number of codes that are decoded at once."""


class Predictions(NamedTuple):
    """Bounds, codes and reconstructions, one row per image.

    Attributes:
        elbo: Evidence lower bound in nats, averaged over the sampled codes.
        bound: Importance-weighted bound with all sampled codes, in nats.
        kl: Divergence of each code dimension, in nats.
        means: Mean code.
        reconstructions: Expected image of the mean code, in [0, 1].
        labels: Class labels; -1 for none.
        indices: Index of each image in the data set; undecodable images are skipped.
        samples: Number of codes sampled per image.
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
    """Encodes and decodes images and bounds their log-probabilities, on all devices.

    Args:
        loss: Output of `make_loss_fn`.
        variables: Variables of its model, as from `SavedRun.variables`.
        data: Data set, or batches with `image`, and `label` if the model has classes.
        samples: Codes sampled per image; `bound` tends to the log-probability as it grows.
        batch_size: Examples per batch, if `data` is a data set.
        seed: Seed of the codes and of the images that the likelihood draws.

    Raises:
        ValueError: `data` is None or empty, or `samples` is below 1.
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
            """Log-likelihoods and importance log-weights of some codes of each image."""
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
    """Merges the first two axes."""
    return rows.reshape(-1, *rows.shape[2:])
