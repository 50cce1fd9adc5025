"""Loss and evaluation of a segmenter."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key, Num

from jaxvision import losses, metrics, ops
from jaxvision._labels import IGNORED
from jaxvision.checks import check_name
from jaxvision.train._arguments import check_loss, check_model
from jaxvision.train._diagnosis import labels_outside, numbers_not_finite, rows_that_count
from jaxvision.train.inputs import Inputs
from jaxvision.train.protocols import Metrics
from jaxvision.train.state import TrainState, evaluation_variables

PyTree = Any
Labels = Integer[Array, "batch *space"]


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentationLoss:
    """Loss function, and `Evaluation`, for batches with `image` and `mask`.

    Made by `make_loss_fn`. Optional fields of a batch: `weight` (0 for padding rows) and
    `pixel_weight` (weight of each pixel in pixelwise losses). Images and masks have two or three
    spatial axes. If the logits are smaller than the images, as of an unpadded U-Net, masks are
    center-cropped.
    """

    model: nn.Module
    loss: losses.Sum
    reduce: losses.Reduce
    auxiliary_weight: float
    inputs: Inputs

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Computes the loss of a batch and its metrics.

        The metrics `loss` and `pixel_accuracy` are those of the main logits. Auxiliary heads, if
        any, add `auxiliary_loss` to the loss that is differentiated, but not to the metric `loss`.
        """
        augment_key, dropout_key = jax.random.split(key)
        batch = self.inputs.train(augment_key, _checked(batch))
        has_auxiliary = hasattr(self.model, "with_auxiliary")
        outputs, model_state = self.model.apply(
            {"params": params, **model_state},
            batch["image"],
            train=True,
            rngs={"dropout": dropout_key},
            mutable=list(model_state),
            method="with_auxiliary" if has_auxiliary else None,
        )
        logits, auxiliary = outputs if has_auxiliary else (outputs, ())
        total, count = self._loss(logits, batch)
        labels, weight = labels_of(batch, logits), _row_weight(batch)
        known = is_labelled(labels)
        right = known & (labels == classes_of(logits))
        right, pixels = (each.sum(range(1, labels.ndim)) for each in (right, known))
        measured = {
            "loss": (total, count),
            "pixel_accuracy": ((weight * right).sum(), (weight * pixels).sum()),
        }
        if auxiliary:
            heads = [self._loss(coarse, shrunk(batch, coarse))[0] for coarse in auxiliary]
            added = self.auxiliary_weight * sum(heads)
            measured["auxiliary_loss"] = (added, count)
            total += added
        return total / jnp.where(count == 0, 1, count), (model_state, measured)

    def measure(
        self, state: TrainState | Mapping[str, PyTree], batch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Sums the loss and the confusion matrix of pixels of a batch; see `Evaluation`."""
        batch = self.inputs.evaluate(_checked(batch))
        logits: Any = self.model.apply(evaluation_variables(state), batch["image"], train=False)
        labels, num_classes = labels_of(batch, logits), num_classes_of(logits)
        counted = is_labelled(labels) & _by_row(_row_weight(batch) > 0, labels)
        cell = jnp.where(counted, labels * num_classes + classes_of(logits), num_classes**2)
        counts = jnp.bincount(cell.ravel(), length=num_classes**2 + 1)[:-1]
        return {
            "matrix": counts.reshape(num_classes, num_classes),
            "loss": self._loss(logits, batch),
        }

    def summarize(self, gathered: Mapping[str, Any]) -> dict[str, float]:
        """Computes `loss`, `mean_iou`, `mean_dice` and `pixel_accuracy` from the sums of `measure`.

        Class means leave out classes that are neither labeled nor predicted. Without a labeled
        pixel, the scores are NaN.
        """
        total, count = gathered["loss"]
        loss = float(total / count) if count else float("nan")
        matrix = gathered["matrix"]
        if not matrix.any():
            return {"loss": loss, **dict.fromkeys(_SCORES, float("nan"))}
        return {"loss": loss, **{name: score(matrix) for name, score in _SCORES.items()}}

    def diagnose(self, batch: Mapping[str, Any]) -> str | None:
        """Names non-finite numbers or invalid labels in a batch on the host; None without any."""
        mask = np.asarray(batch["mask"])
        counted = _by_row(rows_that_count(batch, len(mask)), mask) & is_labelled(mask)
        num_classes = getattr(self.model, "num_classes", None)
        if num_classes == 1:
            num_classes = 2
        return numbers_not_finite(batch) or labels_outside("mask", mask, num_classes, counted)

    def check(self, batch: Mapping[str, Any]) -> None:
        """Traces augmentation, normalization and loss of a batch, without computing anything.

        Args:
            batch: A batch; only its shapes and types matter.

        Raises:
            KeyError: The augmentation needs a field that the batch lacks.
            TypeError: The type of a field cannot be augmented or normalized.
            ValueError: Shapes do not fit: `mean` and the channels, a diagonal flip and images that
                are not square, class weights and classes.
        """

        def loss(batch: Mapping[str, Any]) -> metrics.Pair:
            prepared = self.inputs.train(jax.random.key(0), _checked(batch))
            num_classes = getattr(self.model, "num_classes", None) or 2
            return self._loss(jnp.zeros((*prepared["mask"].shape, num_classes)), prepared)

        jax.eval_shape(loss, dict(batch))

    def describe(self) -> dict[str, Any]:
        """Describes the task, model, inputs and loss for the record of a run."""
        return {
            "task": "segmentation",
            "models": {"model": self.model},
            "inputs": self.inputs,
            "terms": self.loss.describe(),
            "reduce": self.reduce,
            "auxiliary_weight": self.auxiliary_weight,
        }

    def _loss(self, logits: Array, batch: Mapping[str, Any]) -> metrics.Pair:
        """The weighted sum of the rows' losses, and the sum of their weights."""
        options = {}
        if "pixel_weight" in batch:
            options["pixel_weight"] = middle(jnp.asarray(batch["pixel_weight"]), logits)
        weight = _row_weight(batch)
        values = self.loss(
            logits, labels_of(batch, logits), reduce=self.reduce, weight=weight, **options
        )
        return metrics.mean(jnp.broadcast_to(values, weight.shape), weight)


def make_loss_fn(
    model: nn.Module,
    *,
    loss: losses.MaskLoss = losses.pixel_cross_entropy,
    reduce: losses.Reduce = "sample",
    auxiliary_weight: int | float = 0.5,
    inputs: Inputs | None = None,
) -> SegmentationLoss:
    """Makes the loss of a segmenter for `make_train_step`; `fit(evaluate=...)` takes it too.

    Args:
        model: Flax module called as `model(images, train=...)` that returns logits for each pixel.
            A single logit is that of class 1 (its sigmoid is the probability).
        loss: `loss(logits, labels, reduce=..., weight=...)`, such as those of `losses`; set options
            with `functools.partial`, and add several up with `losses.Sum`.
        reduce: `"sample"` averages the losses of the examples; `"batch"` computes one loss over the
            pixels of all examples. Only `"sample"` gives the same result for a batch computed in
            parts (gradient accumulation, devices under `pmap`).
        auxiliary_weight: Weight of each auxiliary head's loss, if the model has any; masks are
            resized to the head's logits by nearest neighbor.
        inputs: Augmentation and normalization; None only converts integer images to floats in
            [0, 1].

    Returns:
        `loss_fn(params, model_state, batch, key) -> (loss, (model_state, metrics))`.

    Raises:
        TypeError: The model or the loss is none.
        ValueError: `reduce` is unknown, `auxiliary_weight` is negative, or `mean` or `std` of
            `inputs` does not fit the model's channels.

    >>> from jaxvision import models
    >>> model = models.ClassicUNet(num_classes=3, channels=(2, 2), padded=True)
    >>> loss = losses.Sum((losses.pixel_cross_entropy, 1.0), (losses.soft_dice, 0.5))
    >>> loss_fn = make_loss_fn(model, loss=loss)
    >>> batch = {"image": np.ones((2, 6, 8, 1)), "mask": np.zeros((2, 6, 8), np.uint8)}
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), batch["image"])
    >>> key, params = jax.random.key(0), variables["params"]
    >>> _, (_, measured) = jax.eval_shape(loss_fn, params, {}, batch, key)
    >>> sorted(measured)
    ['loss', 'pixel_accuracy']
    """
    check_model(model)
    check_loss(loss, "pixel_cross_entropy")
    check_name("reduce", reduce, get_args(losses.Reduce))
    if not auxiliary_weight >= 0:
        raise ValueError(f"auxiliary_weight must not be negative, got {auxiliary_weight}")
    inputs = Inputs() if inputs is None else inputs
    inputs.check_channels(getattr(model, "in_channels", None))
    return SegmentationLoss(
        model=model,
        loss=loss if isinstance(loss, losses.Sum) else losses.Sum((loss, 1.0)),
        reduce=reduce,
        auxiliary_weight=float(auxiliary_weight),
        inputs=inputs,
    )


def num_classes_of(logits: Num[Any, "..."]) -> int:
    """Number of classes that logits distinguish; a single logit distinguishes two."""
    return max(logits.shape[-1], 2)


def classes_of(logits: Num[Any, "*pixels classes"]) -> Integer[Array, "*pixels"]:
    """Most probable class of each pixel; the first one in a tie."""
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype(jnp.int32)
    return logits.argmax(-1)


def of_two_classes(logits: Num[Array, "*pixels classes"]) -> Num[Array, "*pixels _"]:
    """Logits of two classes or more: a single logit gets a zero for class 0 before it."""
    if logits.shape[-1] > 1:
        return logits
    return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)


def labels_of(batch: Mapping[str, Any], logits: Num[Any, "..."]) -> Labels:
    """Masks of a batch as int32, center-cropped to the size of the logits."""
    mask = middle(jnp.asarray(batch["mask"]), logits)
    if not jnp.issubdtype(mask.dtype, jnp.integer) and mask.dtype != bool:
        raise ValueError(f"a mask must have a whole number for each pixel, got {mask.dtype}")
    return mask.astype(jnp.int32)


def is_labelled(labels: Any) -> Any:
    """Which pixels have a label: not negative, and not 255."""
    return (labels >= 0) & (labels != IGNORED)


def middle(maps: Array, logits: Num[Any, "..."]) -> Array:
    """Maps, (batch, *space) or with channels, center-cropped to the size of the logits."""
    new = logits.shape[1:-1]
    old = maps.shape[1 : logits.ndim - 1]
    if len(old) != len(new) or any(big < small for big, small in zip(old, new, strict=True)):
        raise ValueError(
            f"the logits of the model have the size {new}, and the masks {old}: logits must be "
            "as large as the images, or smaller"
        )
    return ops.center_crop(maps, new)


def shrunk(batch: Mapping[str, Any], logits: Num[Any, "..."]) -> dict[str, Any]:
    """The batch with masks and pixel weights resized to coarser logits, by nearest neighbor."""
    changed = dict(batch)
    for name in ("mask", "pixel_weight"):
        if name in batch:
            maps = jnp.asarray(batch[name])
            for axis, size in enumerate(logits.shape[1:-1], start=1):
                maps = ops.nearest_along(maps, axis, size, "nearest_exact")
            changed[name] = maps
    return changed


_SCORES = {
    "mean_iou": lambda matrix: float(metrics.jaccard_index(matrix, "macro")),
    "mean_dice": lambda matrix: float(metrics.f1_score(matrix, "macro")),
    "pixel_accuracy": lambda matrix: float(metrics.sensitivity(matrix, "micro")),
}


def _checked(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("image", "mask"):
        if name not in batch:
            raise ValueError(
                f"to segment, a batch needs 'image' and 'mask'; this one has {', '.join(batch)}"
            )
    images, masks = np.shape(batch["image"]), np.shape(batch["mask"])
    if images[:-1] != masks:
        raise ValueError(
            f"a mask must have the shape of its image without channels; images have the shape "
            f"{images}, and masks {masks}"
        )
    return batch


def _row_weight(batch: Mapping[str, Any]) -> Float[Array, " batch"]:
    weight = jnp.asarray(batch.get("weight", np.ones(len(batch["image"]), np.float32)))
    return weight.astype(jnp.promote_types(weight.dtype, jnp.float32))


def _by_row(rows: Any, labels: Any) -> Any:
    """One value per example, with singleton axes to broadcast over labels."""
    return rows.reshape(-1, *(1,) * (labels.ndim - 1))
