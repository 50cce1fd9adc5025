"""Loss and evaluation of a classifier."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key, Num

from jaxvision import losses, metrics, models
from jaxvision.checks import check_name, check_share
from jaxvision.suggest import shortened
from jaxvision.train._arguments import check_loss, check_model
from jaxvision.train._diagnosis import labels_outside, numbers_not_finite, rows_that_count
from jaxvision.train.inputs import Inputs
from jaxvision.train.protocols import Metrics
from jaxvision.train.state import TrainState, evaluation_variables

PyTree = Any
ExampleLoss = Callable[..., Array]
"""`loss(logits, labels)`: one value per example."""
Targets = Integer[Array, " batch"] | Float[Array, "batch classes"]


@dataclasses.dataclass(frozen=True, eq=False)
class ClassificationLoss:
    """Loss function for batches with `image`, `label` and optionally `weight` (0 for padding rows).

    Made by `make_loss_fn`.
    """

    model: nn.Module
    loss: ExampleLoss
    label_smoothing: float
    class_weights: tuple[float, ...] | None
    l1: float
    l2: float
    inputs: Inputs

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Computes the mean loss of a batch and its metrics.

        The metrics `loss` (with penalties) and `accuracy` are those of the main logits. Auxiliary
        heads, if any, add `auxiliary_loss` to the loss that is differentiated, but not to the
        metric `loss`.
        """
        augment_key, _, dropout_key = jax.random.split(key, 3)
        images, labels, weight = _unpack(self.inputs.train(augment_key, batch))
        has_auxiliary = isinstance(self.model, models.Model)
        outputs, model_state = self.model.apply(
            {"params": params, **model_state},
            images,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=list(model_state),
            method="with_auxiliary" if has_auxiliary else None,
        )
        logits, auxiliary = outputs if has_auxiliary else (outputs, ())
        # With class weights, the sum is divided by the weights of the labels.
        class_weights = None if self.class_weights is None else jnp.array(self.class_weights)
        options: dict[str, Any] = {}
        if self.loss is losses.cross_entropy:
            options = {"label_smoothing": self.label_smoothing, "class_weights": class_weights}
        values = self.loss(logits, labels, **options)
        share = jnp.ones(()) if class_weights is None else _class_weight(labels, class_weights)
        count = (weight * share).sum()
        total, _ = metrics.mean(values, weight)
        loss = total / jnp.where(count == 0, 1, count)
        if self.l1:
            loss += self.l1 * losses.l1_regularization(params)
        if self.l2:
            loss += self.l2 * losses.l2_regularization(params)
        measured = {
            "loss": (loss * count, count),
            "accuracy": metrics.accuracy(logits, labels, weight),
        }
        if auxiliary:
            early = sum(self.loss(each, labels, **options) for each in auxiliary)
            added, _ = metrics.mean(self.model.auxiliary_weight * early, weight)
            measured["auxiliary_loss"] = (added, count)
            loss += added / jnp.where(count == 0, 1, count)
        return loss, (model_state, measured)

    def evaluate(
        self, state: TrainState | Mapping[str, PyTree], batch: Mapping[str, Any]
    ) -> Metrics:
        """Measures `loss` and `accuracy` on a batch, for `make_eval_fn`.

        This loss is without label smoothing, class weights and penalties. Uses averaged parameters
        if the state has them.
        """
        images, labels, weight = _unpack(self.inputs.evaluate(batch))
        logits: Any = self.model.apply(evaluation_variables(state), images, train=False)
        return {
            "loss": metrics.mean(self.loss(logits, labels), weight),
            "accuracy": metrics.accuracy(logits, labels, weight),
        }

    def diagnose(self, batch: Mapping[str, Any]) -> str | None:
        """Names non-finite numbers or invalid labels in a batch on the host; None without any."""
        counted = rows_that_count(batch, len(batch["label"]))
        num_classes = getattr(self.model, "num_classes", None)
        return numbers_not_finite(batch) or labels_outside(
            "label", batch["label"], num_classes, counted
        )

    def check(self, batch: Mapping[str, Any]) -> None:
        """Traces augmentation, normalization and loss of a batch, without computing anything.

        This finds errors at once that would otherwise appear after the compilation of the first
        step.

        Args:
            batch: A batch; only its shapes and types matter.

        Raises:
            KeyError: The augmentation needs a field that the batch lacks.
            TypeError: The type of a field cannot be augmented or normalized.
            ValueError: Shapes do not fit: `mean` and the channels, a diagonal flip and images that
                are not square, the loss and mixed labels.
        """
        prepared = jax.eval_shape(
            lambda batch: self.inputs.train(jax.random.key(0), batch), dict(batch)
        )
        num_classes = getattr(self.model, "num_classes", None)
        if num_classes is not None and "label" in prepared:
            labels = prepared["label"]
            logits = jax.ShapeDtypeStruct((labels.shape[0], num_classes), jnp.float32)
            try:
                jax.eval_shape(lambda logits, labels: self.loss(logits, labels), logits, labels)
            except (TypeError, ValueError) as error:
                if labels.ndim == jnp.ndim(batch["label"]):
                    raise
                raise ValueError(
                    f"mixup and cutmix make distributions of labels, and {_name(self.loss)} takes "
                    "classes only: leave them out, or take cross_entropy or focal"
                ) from error

    def describe(self) -> dict[str, Any]:
        """Describes the task, model, inputs and options for the record of a run."""
        return {
            "task": "classification",
            "models": {"model": self.model},
            "inputs": self.inputs,
            "loss": _name(self.loss),
            "label_smoothing": self.label_smoothing,
            "class_weights": self.class_weights,
            "l1": self.l1,
            "l2": self.l2,
        }


def make_loss_fn(
    model: nn.Module,
    *,
    loss: ExampleLoss = losses.cross_entropy,
    label_smoothing: float = 0.0,
    class_weights: str | Sequence[int | float] | Num[np.ndarray | Array, " classes"] | None = None,
    class_counts: Sequence[int] | Integer[np.ndarray, " classes"] | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    inputs: Inputs | None = None,
) -> ClassificationLoss:
    """Makes the loss of a classifier, for `make_train_step`.

    Args:
        model: Flax module called as `model(images, train=...)` that returns logits.
        loss: `loss(logits, labels)` with one value per example, such as those of `losses`; set
            options with `functools.partial`.
        label_smoothing: Label smoothing in [0, 1]; see `losses.cross_entropy`.
        class_weights: One weight per class, for imbalanced data, or `"balanced"` for
            `losses.balanced_weights(class_counts)`. The loss is divided by the sum of the labels'
            weights, as in torch. A mixed label has the mean weight of its classes (torch divides by
            the number of rows instead).
        class_counts: Training examples per class, `data.class_counts(dataset)`, for `"balanced"`.
        l1: Factor of the sum of the kernels' absolute values, which is added to the loss.
        l2: Factor of the sum of the kernels' squares, which is added to the loss. (Weight decay is
            an option of the optimizer.)
        inputs: Augmentation and normalization; None only converts integers to floats in [0, 1].

    Returns:
        `loss_fn(params, model_state, batch, key) -> (loss, (model_state, metrics))`.

    Raises:
        TypeError: The model or the loss is none.
        ValueError: A number is out of range; there is not one weight per class; `"balanced"` lacks
            `class_counts`; `mean` or `std` does not fit the model's channels; or an option of the
            cross-entropy is given with another loss.

    >>> from jaxvision import models
    >>> model = models.create_model("linear_classifier", num_classes=3)
    >>> batch = {"image": np.ones((2, 4, 4, 1)), "label": np.array([0, 2])}
    >>> params = {"head": {"kernel": np.zeros((16, 3)), "bias": np.zeros(3)}}
    >>> loss, _ = jax.jit(make_loss_fn(model))(params, {}, batch, jax.random.key(0))
    >>> round(float(loss), 4)  # log(3): no class is preferred
    1.0986
    """
    check_model(model)
    check_loss(loss, "cross_entropy")
    for name, factor in (("l1", l1), ("l2", l2)):
        if not 0 <= factor < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {factor}")
    if loss is not losses.cross_entropy and (label_smoothing or class_weights is not None):
        raise ValueError(
            f"label_smoothing and class_weights are options of cross_entropy, not of {_name(loss)}"
        )
    check_share("label_smoothing", label_smoothing)
    inputs = Inputs() if inputs is None else inputs
    inputs.check_channels(getattr(model, "in_channels", None))
    return ClassificationLoss(
        model=model,
        loss=loss,
        label_smoothing=label_smoothing,
        class_weights=_weights(class_weights, class_counts, getattr(model, "num_classes", None)),
        l1=l1,
        l2=l2,
        inputs=inputs,
    )


def _weights(given: Any, class_counts: Any, num_classes: int | None) -> tuple[float, ...] | None:
    """The checked weights, one per class; None without weights."""
    if given is None:
        return None
    if isinstance(given, str):
        check_name("class_weights", given, ["balanced"])
        if class_counts is None:
            raise ValueError(
                "class_weights='balanced' needs to know how many examples each class has: give "
                "class_counts=data.class_counts(train_data)"
            )
        given = losses.balanced_weights(class_counts)
    weights = tuple(float(number) for number in given)
    if num_classes is not None and len(weights) != num_classes:
        raise ValueError(
            f"class_weights must have one number for each of {num_classes} classes, got "
            f"{len(weights)}: {shortened(weights)}"
        )
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise ValueError(
            f"class_weights must be numbers, not negative and not all 0, got {shortened(weights)}"
        )
    return weights


def _name(loss: ExampleLoss) -> str:
    if isinstance(loss, functools.partial):
        options = ", ".join(f"{name}={value!r}" for name, value in loss.keywords.items())
        return f"{_name(loss.func)}({options})"
    return getattr(loss, "__name__", type(loss).__name__)


def _unpack(
    batch: Mapping[str, Any],
) -> tuple[Float[Array, "..."], Targets, Float[Array, " batch"]]:
    for name in ("image", "label"):
        if name not in batch:
            raise ValueError(
                f"to classify, a batch needs 'image' and 'label'; this one has {', '.join(batch)}"
            )
    images = batch["image"]
    labels = jnp.asarray(batch["label"])
    weight = jnp.asarray(batch["weight"]) if "weight" in batch else jnp.ones(len(images))
    return images, labels, weight.astype(jnp.promote_types(weight.dtype, jnp.float32))


def _class_weight(
    labels: Targets, class_weights: Float[Array, " classes"]
) -> Float[Array, " batch"]:
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return class_weights[labels]
    return labels @ class_weights
