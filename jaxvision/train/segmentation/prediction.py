"""What a segmenter says of data."""

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
    """What a model said of each example that counts.

    Attributes:
        classes: The most probable class of each pixel.
        labels: The true class of each pixel; 255 where there is none.
        indices: The examples' places in the data: those that could not be decoded are left out.
        num_classes: How many classes there are.
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
    """Applies a model to data whose images have one size, on all devices.

    Args:
        model: The model.
        variables: Its variables, such as `SavedRun.variables` gives them.
        data: A data set, or batches with `image` and perhaps `mask` and `weight`.
        batch_size: Rows of a batch, if `data` is a data set.
        inputs: How images are normalized, as in training; None only makes them floating point.
        views: Flips and rotations of images to average over; see `with_views`.
        refine: `refine(logits, images) -> logits` changes the logits by what the images show, such
            as `functools.partial(ops.dense_crf, kernels=...)`. Images are from 0 to 1.

    Returns:
        Classes and labels of the pixels, without padding. Of a model whose logits are smaller than
        the images, they are those in the middle.

    Raises:
        ValueError: There is no example in the data, there are more than 255 classes, or `views` are
            asked of volumes, or of a model whose logits are smaller than the images.

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
