"""Loss and evaluation of a variational autoencoder."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key

from jaxvision import metrics, models
from jaxvision.checks import check_count
from jaxvision.data import normalize
from jaxvision.losses import variational
from jaxvision.train._arguments import check_kind, check_likelihood
from jaxvision.train._diagnosis import numbers_not_finite
from jaxvision.train.inputs import Inputs
from jaxvision.train.protocols import Metrics
from jaxvision.train.state import TrainState, evaluation_variables

PyTree = Any
ACTIVE_VARIANCE = 0.01
"""A code dimension is active if the variance of its mean over the images exceeds this."""


@dataclasses.dataclass(frozen=True, eq=False)
class VAELoss:
    """Loss function, and `Evaluation`, for batches with `image`.

    Made by `make_loss_fn`. A batch needs `label` if the model has classes, and may have `weight`, 0
    for padding rows.
    """

    model: models.VariationalAutoencoder
    likelihood: variational.Likelihood
    beta: float
    free_nats: float
    warmup_steps: int
    inputs: Inputs

    def __call__(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, Any],
        key: Key[Array, ""],
        *,
        context: Integer[Array, ""],
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Computes the loss, the evidence lower bound and its two terms, in nats per image."""
        augment_key, observe_key, code_key = jax.random.split(key, 3)
        observed = self.observe(self.prepared(batch, augment_key), observe_key)
        coded, model_state = self.model.apply(
            {"params": params, **model_state},
            observed["seen"],
            self.labels(observed),
            code_key,
            method=_code_and_decode,
            train=True,
            mutable=list(model_state),
        )
        bound, weight = self._bound(coded, observed), observed["weight"]
        share: Any = 1.0
        if self.warmup_steps:
            share = jnp.minimum((context + 1) / self.warmup_steps, 1)
        total, count = metrics.mean(-bound.log_likelihood, weight)
        cost = variational.free_nats(bound.kl, self.free_nats, weight)
        loss = total / jnp.where(count == 0, 1, count) + share * self.beta * cost
        return loss, (model_state, {"loss": (loss * count, count), **_measured(bound, weight)})

    def context(self, state: TrainState) -> Integer[Array, ""]:
        """The step number, which the warm-up of the loss needs."""
        step: Integer[Array, ""] = state.step
        return step

    def measure(
        self, state: TrainState | Mapping[str, PyTree], batch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Sums the bound over a batch, with one sampled code per image; see `Evaluation`."""
        observe_key, code_key = jax.random.split(jax.random.key(0))
        observed = self.observe(self.prepared(batch), observe_key)
        coded: Any = self.model.apply(
            evaluation_variables(state),
            observed["seen"],
            self.labels(observed),
            code_key,
            method=_code_and_decode,
            train=False,
        )
        bound, weight, mean = self._bound(coded, observed), observed["weight"], coded[1]
        rows = jnp.where(weight[:, None] == 0, 0, mean * weight[:, None])
        return {
            **_measured(bound, weight),
            "bits_per_dimension": metrics.mean(bound.bits_per_dimension, weight),
            "means": (rows.sum(0), (rows * mean).sum(0), weight.sum()),
        }

    def summarize(self, gathered: Mapping[str, Any]) -> dict[str, float]:
        """Computes metrics from the sums of `measure`.

        `loss` is the negative evidence lower bound; it and the terms of the bound, `log_likelihood`
        and `kl`, are in nats per image. The others are `bits_per_dimension` and `active_units`, the
        number of active code dimensions.
        """
        numbers = dict(gathered)
        total, squares, count = numbers.pop("means")
        summary = metrics.compute(numbers)
        variance = squares / max(count, 1) - np.square(total / max(count, 1))
        return {
            "loss": -summary.pop("elbo"),
            **summary,
            "active_units": float((variance > ACTIVE_VARIANCE).sum()),
        }

    def prepared(
        self, batch: Mapping[str, Any], augment_key: Key[Array, ""] | None = None
    ) -> dict[str, Any]:
        """The batch with images in [0, 1], augmented if there is a key, and with a `weight`."""
        wanted = ["image"] if self.model.num_classes is None else ["image", "label"]
        for name in wanted:
            if name not in batch:
                raise ValueError(
                    f"a batch needs {' and '.join(map(repr, wanted))}; this one has "
                    f"{', '.join(batch)}"
                )
        plain = Inputs(augment=self.inputs.augment)
        ready = plain.evaluate(batch) if augment_key is None else plain.train(augment_key, batch)
        ready.setdefault("weight", jnp.ones(len(ready["image"])))
        return ready

    def labels(self, batch: Mapping[str, Any]) -> Integer[Array, " batch"] | None:
        """Class labels of a batch, as the model takes them; None for a model without classes."""
        return None if self.model.num_classes is None else jnp.asarray(batch["label"])

    def observe(self, batch: Mapping[str, Any], key: Key[Array, ""]) -> dict[str, Any]:
        """Draws what the likelihood observes, such as binary pixels, from images in [0, 1].

        It replaces `image`; `seen` is the same, normalized for the encoder.
        """
        image = self.likelihood.observe(key, batch["image"])
        seen = normalize(image, self.inputs.mean, self.inputs.std)
        return {**batch, "image": image, "seen": seen}

    def diagnose(self, batch: Mapping[str, Any]) -> str | None:
        """Names non-finite numbers in a batch on the host; None if there are none."""
        return numbers_not_finite(batch)

    def describe(self) -> dict[str, Any]:
        """Describes the task, model, inputs, likelihood and options for the record of a run."""
        return {
            "task": "vae",
            "models": {"model": self.model},
            "inputs": self.inputs,
            "likelihood": variational.describe_likelihood(self.likelihood),
            "beta": self.beta,
            "free_nats": self.free_nats,
            "warmup_steps": self.warmup_steps,
        }

    def _bound(
        self, coded: tuple[Array, Array, Array], observed: Mapping[str, Any]
    ) -> variational.Elbo:
        outputs, mean, log_variance = coded
        return variational.elbo(self.likelihood, outputs, observed["image"], mean, log_variance)


def make_loss_fn(
    model: models.VariationalAutoencoder,
    *,
    likelihood: variational.Likelihood,
    beta: int | float = 1.0,
    free_nats: int | float = 0.0,
    warmup_steps: int = 0,
    inputs: Inputs | None = None,
) -> VAELoss:
    """Makes the loss of a variational autoencoder; `fit(evaluate=...)` takes it too.

    It is the negative evidence lower bound in nats per image, with an optional weight of the
    divergence.

    Args:
        model: The variational autoencoder.
        likelihood: Distribution of an image given the output of the decoder, such as
            `variational.Bernoulli()`.
        beta: Weight of the divergence. Above 1, codes carry less information, and each dimension
            tends to describe a single property (Higgins et al., beta-VAE, ICLR 2017).
        free_nats: Divergence per code dimension that costs nothing; see `variational.free_nats`.
        warmup_steps: Steps in which the weight of the divergence rises linearly from 0, so that
            codes become informative before they are penalized (Bowman et al., arXiv:1511.06349).
        inputs: Augmentation, and normalization for the encoder; None only converts integers to
            floats in [0, 1]. The likelihood always models images in [0, 1].

    Returns:
        `loss_fn(params, model_state, batch, key, context=step) -> (loss, (model_state, metrics))`.

    Raises:
        TypeError: The model is no `VariationalAutoencoder`, or the likelihood is none.
        ValueError: `beta`, `free_nats` or `warmup_steps` is negative or not finite; or, in a call,
            the channels of the decoder's output do not fit the likelihood.

    >>> model = models.VariationalAutoencoder(
    ...     encoder=models.DenseEncoder(hidden_sizes=(16,)),
    ...     decoder=models.DenseDecoder(shape=(8, 8, 1), hidden_sizes=(16,)),
    ...     latent_size=2,
    ... )
    >>> loss_fn = make_loss_fn(model, likelihood=variational.Bernoulli())
    >>> batch = {"image": np.zeros((3, 8, 8, 1), np.uint8)}
    >>> variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    >>> measured = jax.eval_shape(loss_fn.measure, {**variables, "model_state": {}}, batch)
    >>> sorted(measured)
    ['bits_per_dimension', 'elbo', 'kl', 'log_likelihood', 'means']
    """
    example = "VariationalAutoencoder(encoder=..., decoder=..., latent_size=...)"
    check_kind("model", model, models.VariationalAutoencoder, example)
    check_likelihood(likelihood)
    for name, value in (("beta", beta), ("free_nats", free_nats)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {value}")
    check_count("warmup_steps", warmup_steps, of="steps", least=0)
    return VAELoss(
        model=model,
        likelihood=likelihood,
        beta=float(beta),
        free_nats=float(free_nats),
        warmup_steps=warmup_steps,
        inputs=Inputs() if inputs is None else inputs,
    )


def _measured(bound: variational.Elbo, weight: Array) -> dict[str, metrics.Pair]:
    return {
        "elbo": metrics.mean(bound.nats, weight),
        "log_likelihood": metrics.mean(bound.log_likelihood, weight),
        "kl": metrics.mean(bound.kl.sum(axis=-1), weight),
    }


def _code_and_decode(
    model: models.VariationalAutoencoder,
    images: Array,
    labels: Array | None,
    key: Key[Array, ""],
    *,
    train: bool,
) -> tuple[Array, Array, Array]:
    """Encodes images, samples a code of each, and decodes it."""
    mean, log_variance = model.encode(images, labels, train)
    noise: Any = jax.random.normal(key, mean.shape, mean.dtype)
    codes: Any = mean + jnp.exp(log_variance / 2) * noise
    outputs: Any = model.decode(codes, labels, train)
    return outputs, mean, log_variance
