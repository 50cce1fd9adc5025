"""What a classifier says of data."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Integer, Num

from jaxvision.data import Dataset, normalize, to_float

PyTree = Any


class Predictions(NamedTuple):
    """What a model said, one row per example that counts.

    Attributes:
        logits: One per class, float32.
        labels: The classes, -1 where the data have none.
        indices: The examples' places in the data: those that could not be decoded are left out.
    """

    logits: Float32[np.ndarray, "examples classes"]
    labels: Integer[np.ndarray, " examples"]
    indices: Int[np.ndarray, " examples"]

    @property
    def probabilities(self) -> Float[np.ndarray, "examples classes"]:
        """The softmax of the logits, in float64."""
        logits = self.logits.astype(np.float64)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    @property
    def classes(self) -> Int[np.ndarray, " examples"]:
        """The most probable class of each example."""
        return self.logits.argmax(axis=1)


def predict(
    model: nn.Module,
    variables: PyTree,
    data: Dataset | Iterable[Mapping[str, Any]],
    *,
    batch_size: int = 128,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> Predictions:
    """Runs a model over data, on this process's first device.

    Args:
        model: The model.
        variables: Its variables, such as `restore_for_evaluation` gives them.
        data: A data set, or batches with `image` and perhaps `label` and `weight`.
        batch_size: Rows of a batch, if `data` is a data set.
        mean: As in training.
        std: As in training.

    Returns:
        Logits, labels and places in the data, without padding.

    Raises:
        ValueError: There is no batch in the data.

    >>> from jaxvision import data, models
    >>> model = models.create_model("linear_classifier", num_classes=3)
    >>> images = np.ones((5, 4, 4, 1), np.float32)
    >>> variables = jax.jit(model.init)(jax.random.key(0), images)
    >>> predictions = predict(model, variables, data.from_arrays({"image": images}))
    >>> predictions.logits.shape, predictions.labels.tolist()
    ((5, 3), [-1, -1, -1, -1, -1])
    """

    @jax.jit
    def logits_of(variables: PyTree, images: Num[Array, "..."]) -> Float[Array, "batch classes"]:
        logits: Any = model.apply(variables, normalize(to_float(images), mean, std), train=False)
        return logits

    if isinstance(data, Mapping):
        raise ValueError("predict takes a data set or several batches; put one batch in a list")
    if isinstance(data, Dataset):
        size = min(batch_size, len(data))
        data = data.batches(size, shuffle=False, epochs=1, process_index=0, process_count=1)
    all_logits, all_labels, all_kept = [], [], []
    for batch in data:
        kept = np.asarray(batch.get("weight", np.ones(len(batch["image"])))) > 0
        logits = np.asarray(logits_of(variables, jnp.asarray(batch["image"])), np.float32)
        labels = np.asarray(batch.get("label", np.full(len(kept), -1)))
        all_logits.append(logits[kept])
        all_labels.append(labels[kept])
        all_kept.append(kept)
    if not all_logits:
        raise ValueError("there is nothing to predict: the data hold no batch")
    indices = np.flatnonzero(np.concatenate(all_kept))
    return Predictions(np.concatenate(all_logits), np.concatenate(all_labels), indices)
