"""Predictions of a segmenter."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from jaxvision._labels import IGNORED
from jaxvision._reprs import brief
from jaxvision.data import Dataset, to_float
from jaxvision.train.inputs import Inputs
from jaxvision.train.mapping import map_batches
from jaxvision.train.segmentation.loss import (
    classes_of,
    labels_of,
    middle,
    num_classes_of,
    of_two_classes,
)
from jaxvision.train.segmentation.views import Views, with_views

PyTree = Any
Refine = Callable[[Array, Array], Array]


class Predictions(NamedTuple):
    """Predicted and true masks, one row per example.

    Attributes:
        classes: Most probable class of each pixel.
        labels: True class of each pixel; 255 for none.
        indices: Index of each example in the data set; undecodable images are skipped.
        num_classes: Number of classes.
    """

    classes: UInt8[np.ndarray, "examples *space"]
    labels: UInt8[np.ndarray, "examples *space"]
    indices: Int[np.ndarray, " examples"]
    num_classes: int

    def __repr__(self) -> str:
        return brief(self)


def predict(
    model: nn.Module,
    variables: PyTree,
    data: Dataset | Iterable[Mapping[str, Any]] | None,
    *,
    batch_size: int = 32,
    inputs: Inputs | None = None,
    views: Views = "none",
    refine: Refine | None = None,
) -> Predictions:
    """Applies a segmenter to images of one size, on all devices.

    Args:
        model: Flax module that returns logits for each pixel.
        variables: Variables of the model, as from `SavedRun.variables`.
        data: Data set, or batches with `image` and optionally `mask` and `weight`.
        batch_size: Examples per batch, if `data` is a data set.
        inputs: Normalization of the training; None only converts integers to floats in [0, 1].
        views: Flips and rotations to average over; see `with_views`.
        refine: `refine(logits, images) -> logits`, which refines logits given the images in [0, 1],
            such as `functools.partial(ops.dense_crf, kernels=...)`.

    Returns:
        Classes and labels of the pixels, without padding rows. If the logits are smaller than the
        images, both cover the center of the images.

    Raises:
        ValueError: `data` is None or empty, the model has more than 255 classes, or `views` are
            requested for volumes or for logits smaller than the images.

    >>> import jax
    >>> from jaxvision import data, models
    >>> model = models.ClassicUNet(num_classes=3, channels=(2, 2), padded=True)
    >>> images = np.ones((5, 4, 6, 1), np.float32)
    >>> variables = jax.jit(model.init)(jax.random.key(0), images)
    >>> predictions = predict(model, variables, data.from_arrays({"image": images}))
    >>> predictions.classes.shape, int(predictions.labels.min())
    ((5, 4, 6), 255)
    """
    prepared = Inputs() if inputs is None else inputs
    num_classes = 0

    def apply(variables: PyTree, images: Any) -> Any:
        return model.apply(variables, images, train=False)

    seen: Callable[..., Any] = apply
    if views != "none":
        seen = with_views(lambda *inputs: of_two_classes(apply(*inputs)), views)

    def of_batch(variables: PyTree, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        nonlocal num_classes
        images = prepared.evaluate(batch)["image"]
        logits: Any = seen(variables, images)
        if refine is not None:
            logits = refine(logits, middle(to_float(jnp.asarray(batch["image"])), logits))
        num_classes = num_classes_of(logits)
        if num_classes > IGNORED:
            raise ValueError(f"masks hold up to {IGNORED} classes, and the model has {num_classes}")
        classes = classes_of(logits).astype(jnp.uint8)
        if "mask" not in batch:
            return classes, jnp.full_like(classes, IGNORED)
        labels = labels_of(batch, logits)
        return classes, jnp.where(labels < 0, IGNORED, labels).astype(jnp.uint8)

    (classes, labels), indices = map_batches(of_batch, variables, data, batch_size=batch_size)
    return Predictions(classes, labels, indices, num_classes)
