"""Loss and evaluation of an autoencoder."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxvision import losses, metrics, models
from jaxvision.train._arguments import check_kind
from jaxvision.train._diagnosis import numbers_not_finite
from jaxvision.train.inputs import Inputs
from jaxvision.train.protocols import Metrics
from jaxvision.train.state import TrainState, evaluation_variables

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False)
class AutoencodingLoss:
    """Loss function for batches with `image` and optionally `weight` (0 for padding rows).

    Made by `make_loss_fn`.
    """

    model: models.Autoencoder
    noise: float
    masking: float
    l1: float
    sparsity: float
    activity: float
    contraction: float
    inputs: Inputs

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Computes the loss of a batch and its metrics.

        The metric `loss` is the squared error of reconstructions, averaged over the values of an
        image. Penalties, if any, add `penalty` to the loss that is differentiated.
        """
        augment_key, corrupt_key = jax.random.split(key)
        images, weight = _unpack(self.inputs.train(augment_key, batch))
        variables = {"params": params, **model_state}

        def encode(images: Array) -> tuple[Array, PyTree]:
            encoded: Any = self.model.apply(
                variables, images, train=True, mutable=list(model_state), method="encode"
            )
            return encoded

        codes, model_state = encode(self.corrupt(corrupt_key, images))
        decoded: Any = self.model.apply(
            {"params": params, **model_state},
            codes,
            train=True,
            mutable=list(model_state),
            method="decode",
        )
        reconstructions, model_state = decoded
        total, count = metrics.mean(losses.squared_error(reconstructions, images), weight)
        divisor = jnp.where(count == 0, 1, count)
        loss = total / divisor
        measured = {"loss": (total, count)}
        penalty: Any = 0.0
        if self.l1:
            penalty += self.l1 * metrics.mean(losses.activation_l1(codes), weight)[0] / divisor
        if self.sparsity:
            penalty += self.sparsity * losses.sparsity_divergence(codes, self.activity, weight)
        if self.contraction:
            norms = losses.jacobian_norm(lambda images: encode(images)[0], images)
            penalty += self.contraction * metrics.mean(norms, weight)[0] / divisor
        if self.l1 or self.sparsity or self.contraction:
            measured["penalty"] = (penalty * count, count)
        return loss + penalty, (model_state, measured)

    def evaluate(
        self, state: TrainState | Mapping[str, PyTree], batch: Mapping[str, Any]
    ) -> Metrics:
        """Measures `loss` on a batch, and `denoising_loss` if training corrupts images.

        `loss` reconstructs clean images, `denoising_loss` corrupted ones, both compared with the
        clean images. Uses averaged parameters if the state has them; see `make_eval_fn`.
        """
        images, weight = _unpack(self.inputs.evaluate(batch))

        def error(seen: Array) -> metrics.Pair:
            made: Any = self.model.apply(evaluation_variables(state), seen, train=False)
            return metrics.mean(losses.squared_error(made, images), weight)

        measured = {"loss": error(images)}
        if self.noise or self.masking:
            measured["denoising_loss"] = error(self.corrupt(jax.random.key(0), images))
        return measured

    def corrupt(
        self, key: Key[Array, ""], images: Float[Array, "batch *shape"]
    ) -> Float[Array, "batch *shape"]:
        """Adds noise to normalized images and sets values to 0, as in training."""
        noise_key, mask_key = jax.random.split(key)
        if self.noise:
            images = images + self.noise * jax.random.normal(noise_key, images.shape, images.dtype)
        if self.masking:
            hidden = jax.random.bernoulli(mask_key, self.masking, images.shape)
            images = jnp.where(hidden, 0, images)
        return images

    def diagnose(self, batch: Mapping[str, Any]) -> str | None:
        """Names non-finite numbers in a batch on the host; None if there are none."""
        return numbers_not_finite(batch)

    def describe(self) -> dict[str, Any]:
        """Describes the task, model, inputs and options for the record of a run."""
        options = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("model", "inputs")
        }
        return {
            "task": "autoencoding",
            "models": {"model": self.model},
            "inputs": self.inputs,
            **options,
        }


def make_loss_fn(
    model: models.Autoencoder,
    *,
    noise: int | float = 0.0,
    masking: int | float = 0.0,
    l1: int | float = 0.0,
    sparsity: int | float = 0.0,
    activity: int | float = 0.05,
    contraction: int | float = 0.0,
    inputs: Inputs | None = None,
) -> AutoencodingLoss:
    """Makes the loss of an autoencoder, for `make_train_step`: the squared error, and penalties.

    Without options, only the size of the code keeps the autoencoder from copying (undercomplete).
    The options make it denoising (Vincent et al., JMLR 2010), sparse (Ng, 2011) or contractive
    (Rifai et al., ICML 2011).

    Args:
        model: The autoencoder.
        noise: Standard deviation of the noise added to normalized images, which the autoencoder
            learns to remove.
        masking: Share of values that are set to 0 before encoding.
        l1: Factor of the sum of the absolute values of a code.
        sparsity: Factor of `losses.sparsity_divergence`, for codes in [0, 1].
        activity: Target mean activity of a code dimension under `sparsity`.
        contraction: Factor of `losses.jacobian_norm` of the encoder.
        inputs: Augmentation and normalization; None only converts integers to floats in [0, 1].

    Returns:
        `loss_fn(params, model_state, batch, key) -> (loss, (model_state, metrics))`.

    Raises:
        TypeError: The model is no `Autoencoder`.
        ValueError: A factor or `noise` is negative or not finite, `masking` or `activity` is
            outside [0, 1), or `sparsity` is given for codes that are not in [0, 1].

    >>> model = models.Autoencoder(
    ...     encoder=models.DenseEncoder(hidden_sizes=()),
    ...     decoder=models.DenseDecoder(shape=(1, 1, 4), hidden_sizes=()),
    ...     latent_size=2,
    ... )
    >>> loss_fn = make_loss_fn(model, noise=0.1)
    >>> batch = {"image": np.ones((3, 1, 1, 4), np.float32)}
    >>> params = jax.jit(model.init)(jax.random.key(0), batch["image"])["params"]
    >>> _, (_, measured) = jax.eval_shape(loss_fn, params, {}, batch, jax.random.key(0))
    >>> sorted(measured)
    ['loss']
    """
    example = "Autoencoder(encoder=..., decoder=..., latent_size=...)"
    check_kind("model", model, models.Autoencoder, example)
    numbers = {"noise": noise, "l1": l1, "sparsity": sparsity, "contraction": contraction}
    for name, value in numbers.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {value}")
    for name, share in (("masking", masking), ("activity", activity)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be in [0, 1), got {share}")
    if sparsity and model.code_activation != "sigmoid":
        raise ValueError(
            "sparsity compares the mean activity of codes from 0 to 1 with a target: make the "
            f'model with code_activation="sigmoid", not "{model.code_activation}", or give l1'
        )
    return AutoencodingLoss(
        model=model,
        masking=float(masking),
        activity=float(activity),
        inputs=Inputs() if inputs is None else inputs,
        **{name: float(value) for name, value in numbers.items()},
    )


def _unpack(batch: Mapping[str, Any]) -> tuple[Array, Float[Array, " batch"]]:
    if "image" not in batch:
        raise ValueError(f"a batch needs 'image'; this one has {', '.join(batch)}")
    images = batch["image"]
    weight = jnp.asarray(batch.get("weight", np.ones(len(images), np.float32)))
    return images, weight.astype(jnp.promote_types(weight.dtype, jnp.float32))
