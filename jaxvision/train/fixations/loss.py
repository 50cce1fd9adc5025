"""Loss and evaluation of a model of fixations."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxvision import losses, metrics
from jaxvision.train._arguments import check_model
from jaxvision.train._diagnosis import numbers_not_finite
from jaxvision.train.evaluation import Rows
from jaxvision.train.fixations.prediction import known_fixations, log_density_of
from jaxvision.train.fixations.scores import scores_of_images
from jaxvision.train.inputs import Inputs
from jaxvision.train.protocols import Metrics
from jaxvision.train.state import TrainState, evaluation_variables

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False)
class FixationLoss:
    """Loss function, and `Evaluation`, for batches with `image` and `fixation_density`.

    Made by `make_loss_fn`. Optional fields of a batch: `weight` (0 for padding rows), and
    `fixations` with `fixations_valid`, which only the evaluation uses.
    """

    model: nn.Module
    inputs: Inputs

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Computes the mean divergence over the rows, which is also the metric `loss`."""
        augment_key, dropout_key = jax.random.split(key)
        batch = self.inputs.train(augment_key, _checked(batch))
        logits, model_state = self.model.apply(
            {"params": params, **model_state},
            batch["image"],
            train=True,
            rngs={"dropout": dropout_key},
            mutable=list(model_state),
        )
        total, count = self._loss(log_density_of(logits, batch["image"]), batch)
        return total / jnp.where(count == 0, 1, count), (model_state, {"loss": (total, count)})

    def measure(
        self, state: TrainState | Mapping[str, PyTree], batch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Sums the loss of a batch, and keeps what scores are computed from; see `Evaluation`."""
        batch = self.inputs.evaluate(_checked(batch))
        logits: Any = self.model.apply(evaluation_variables(state), batch["image"], train=False)
        log_density = log_density_of(logits, batch["image"])
        kept = {"log_density": log_density, "density": batch["fixation_density"]}
        rows = Rows(kept | known_fixations(batch), _row_weight(batch))
        return {"loss": self._loss(log_density, batch), "rows": rows}

    def summarize(self, gathered: Mapping[str, Any]) -> dict[str, float]:
        """Computes `loss`, `cc`, `sim` and, if batches have `fixations`, `nss` and `auc_judd`.

        They are means over the images in which they are defined; the loss is the divergence, `kl`.
        """
        total, count = gathered["loss"]
        means = {"loss": float(total / count) if count else float("nan")}
        for name, values in scores_of_images(**gathered["rows"]).items():
            known = values[~np.isnan(values)]
            if name != "kl":
                means[name] = float(known.mean()) if len(known) else float("nan")
        return means

    def diagnose(self, batch: Mapping[str, Any]) -> str | None:
        """Names non-finite numbers in a batch on the host; None if there are none."""
        return numbers_not_finite(batch)

    def check(self, batch: Mapping[str, Any]) -> None:
        """Traces augmentation, normalization and loss of a batch, without computing anything.

        Args:
            batch: A batch; only its shapes and types matter.

        Raises:
            KeyError: The augmentation needs a field that the batch lacks.
            TypeError: The type of a field cannot be augmented or normalized.
            ValueError: Shapes do not fit.
        """

        def loss(batch: Mapping[str, Any]) -> metrics.Pair:
            prepared = self.inputs.train(jax.random.key(0), _checked(batch))
            return self._loss(jnp.zeros(prepared["image"].shape[:-1]), prepared)

        jax.eval_shape(loss, dict(batch))

    def describe(self) -> dict[str, Any]:
        """Describes the task, model and inputs for the record of a run."""
        return {"task": "fixations", "models": {"model": self.model}, "inputs": self.inputs}

    def _loss(self, log_density: Array, batch: Mapping[str, Any]) -> metrics.Pair:
        density = jnp.asarray(batch["fixation_density"])
        return metrics.mean(losses.density_divergence(log_density, density), _row_weight(batch))


def make_loss_fn(model: nn.Module, *, inputs: Inputs | None = None) -> FixationLoss:
    """Makes the loss of a model of fixations for `make_train_step`; `fit(evaluate=...)` takes it.

    The softmax of the model's outputs over all pixels of an image is the predicted density of
    fixations. The loss is its divergence from `fixation_density`, `losses.density_divergence`.

    Args:
        model: Flax module called as `model(images, train=...)` that returns one number for each
            pixel, such as `models.create_segmenter("unet", num_classes=1)`.
        inputs: Augmentation and normalization; None only converts integer images to floats in
            [0, 1].

    Returns:
        `loss_fn(params, model_state, batch, key) -> (loss, (model_state, metrics))`.

    Raises:
        TypeError: The model is none.
        ValueError: The model has several numbers per pixel, or `mean` or `std` of `inputs` does not
            fit its channels.

    Reference: Jetley et al., End-to-end saliency mapping via probability distribution prediction,
    CVPR 2016, arXiv:1804.01793.

    >>> from jaxvision import models
    >>> model = models.PixelClassifier(num_classes=1)
    >>> loss_fn = make_loss_fn(model)
    >>> batch = {"image": np.ones((2, 4, 6, 3)), "fixation_density": np.ones((2, 4, 6))}
    >>> params = jax.eval_shape(model.init, jax.random.key(0), batch["image"])["params"]
    >>> _, (_, measured) = jax.eval_shape(loss_fn, params, {}, batch, jax.random.key(0))
    >>> sorted(measured)
    ['loss']
    """
    check_model(model)
    count = getattr(model, "num_classes", 1)
    if count != 1:
        raise ValueError(
            f"a density needs one number per pixel, and the model gives {count}: make it with "
            "num_classes=1"
        )
    inputs = Inputs() if inputs is None else inputs
    inputs.check_channels(getattr(model, "in_channels", None))
    return FixationLoss(model=model, inputs=inputs)


def _checked(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("image", "fixation_density"):
        if name not in batch:
            raise ValueError(
                f"to learn fixations, a batch needs 'image' and 'fixation_density'; this one has "
                f"{', '.join(batch)}; data.with_fixations makes synthetic ones"
            )
    images, densities = np.shape(batch["image"]), np.shape(batch["fixation_density"])
    if images[:-1] != densities or len(images) != 4:
        raise ValueError(
            "a density must have the shape of its image without channels; images have the shape "
            f"{images}, and densities {densities}"
        )
    return batch


def _row_weight(batch: Mapping[str, Any]) -> Float[Array, " batch"]:
    weight = jnp.asarray(batch.get("weight", np.ones(len(batch["image"]), np.float32)))
    return weight.astype(jnp.promote_types(weight.dtype, jnp.float32))
