"""Image classification: from a model to a loss, an evaluation, predictions."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Integer, Key, Num

from jaxvision import losses, metrics, models
from jaxvision.data import Dataset, normalize, to_float
from jaxvision.train.state import TrainState, evaluation_variables
from jaxvision.train.step import Metrics

PyTree = Any
Augment = Callable[[Array, Array], Array]
Mix = Callable[..., tuple[Array, Array]]
Targets = Integer[Array, " batch"] | Float[Array, "batch classes"]


@dataclasses.dataclass(frozen=True, eq=False)
class ClassificationLoss:
    """A loss function over batches with `image`, `label` and, if rows are padding, `weight`.

    Made by `make_loss_fn`.
    """

    model: nn.Module
    label_smoothing: float
    class_weights: tuple[float, ...] | None
    l2: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment | None
    mix: Mix | None

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Computes the mean loss of the rows that count, and `loss` and `accuracy`."""
        augment_key, mix_key, dropout_key = jax.random.split(key, 3)
        images, labels, weight = _unpack(batch)
        if self.augment is not None:
            images = self.augment(augment_key, images)
        if self.mix is not None:
            images, labels = self.mix(mix_key, images, labels, weight=weight)
        logits, model_state = self.model.apply(
            {"params": params, **model_state},
            normalize(images, self.mean, self.std),
            train=True,
            rngs={"dropout": dropout_key},
            mutable=list(model_state),
        )
        # With class weights, the mean is over the weights of the labels.
        class_weights = None if self.class_weights is None else jnp.array(self.class_weights)
        values = losses.cross_entropy(
            logits, labels, label_smoothing=self.label_smoothing, class_weights=class_weights
        )
        share = jnp.ones(()) if class_weights is None else _class_weight(labels, class_weights)
        count = (weight * share).sum()
        total, _ = metrics.mean(values, weight)
        loss = total / jnp.where(count == 0, 1, count)
        if self.l2:
            loss += self.l2 * losses.l2_regularization(params)
        measured = {
            "loss": (loss * count, count),
            "accuracy": metrics.accuracy(logits, labels, weight),
        }
        return loss, (model_state, measured)

    def describe(self) -> dict[str, Any]:
        """What `settings.json` keeps of this loss.

        Returns:
            The task, the model and the options, as far as they are numbers.
        """
        return {
            "task": "classification",
            "model": _described(self.model),
            "label_smoothing": self.label_smoothing,
            "class_weights": self.class_weights,
            "l2": self.l2,
            "mean": self.mean,
            "std": self.std,
        }


def make_loss_fn(
    model: nn.Module,
    *,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | Float[np.ndarray | Array, " classes"] | None = None,
    l2: float = 0.0,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    augment: Augment | None = None,
    mix: Mix | None = None,
) -> ClassificationLoss:
    """Makes the cross-entropy of a model, for `make_train_step`.

    Args:
        model: A Flax module called as `model(images, train=...)` that gives logits.
        label_smoothing: See `losses.cross_entropy`.
        class_weights: One number per class, for skewed data; the loss is then divided by the
            weights of the labels, as torch divides it. A label that is a distribution weighs the
            mean of its classes, so that mixing changes no weight (torch divides by the rows).
        l2: Adds so much times the sum of squares of the kernels. (Weight decay is the optimizer's.)
        mean: Subtracted from every channel of images that lie between 0 and 1.
        std: Divided by.
        augment: `augment(key, images) -> images`, such as those of `data.augment`.
        mix: `mix(key, images, labels, weight=...) -> (images, distributions)`, such as
            `functools.partial(data.augment.mixup, alpha=0.2, num_classes=10)`.

    Returns:
        `loss_fn(params, model_state, batch, key) -> (loss, (model_state, metrics))`.

    Raises:
        ValueError: `l2` is negative.

    >>> from jaxvision import models, train
    >>> model = models.create_model("linear_classifier", num_classes=3)
    >>> batch = {"image": jnp.ones((2, 4, 4, 1)), "label": jnp.array([0, 2])}
    >>> variables = model.init(jax.random.key(0), batch["image"])
    >>> loss_fn = make_loss_fn(model)
    >>> loss, _ = loss_fn(jax.tree.map(jnp.zeros_like, variables["params"]), {}, batch,
    ...                   jax.random.key(0))
    >>> print(loss.round(4))  # log(3): no class is preferred
    1.0986
    """
    if not l2 >= 0:
        raise ValueError(f"l2 must not be negative, got {l2}")
    return ClassificationLoss(
        model=model,
        label_smoothing=label_smoothing,
        class_weights=None if class_weights is None else _floats(class_weights),
        l2=l2,
        mean=_floats(mean),
        std=_floats(std),
        augment=augment,
        mix=mix,
    )


def make_eval_fn(
    model: nn.Module,
    *,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> Callable[[TrainState, Mapping[str, Any]], Metrics]:
    """Makes the function that `fit` evaluates with.

    Args:
        model: The model of the loss.
        mean: As for the loss.
        std: As for the loss.

    Returns:
        `evaluate(state, batch) -> metrics`: the sums behind `loss` and `accuracy`, of the averaged
        parameters where the state has them.

    >>> import optax
    >>> from jaxvision import metrics, models, train
    >>> model = models.create_model("linear_classifier", num_classes=3)
    >>> batch = {"image": jnp.ones((2, 4, 4, 1)), "label": jnp.array([0, 2])}
    >>> state = train.init_state(jax.random.key(0), model, optax.sgd(0.1), batch)
    >>> sorted(metrics.compute(make_eval_fn(model)(state, batch)))
    ['accuracy', 'loss']
    """

    def evaluate(state: TrainState, batch: Mapping[str, Any]) -> Metrics:
        images, labels, weight = _unpack(batch)
        images = normalize(images, mean, std)
        logits: Any = model.apply(evaluation_variables(state), images, train=False)
        return {
            "loss": metrics.mean(losses.cross_entropy(logits, labels), weight),
            "accuracy": metrics.accuracy(logits, labels, weight),
        }

    return evaluate


def predict(
    model: nn.Module,
    variables: PyTree,
    data: Dataset | Iterable[Mapping[str, Any]],
    *,
    batch_size: int = 128,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> tuple[Float32[np.ndarray, "examples classes"], Integer[np.ndarray, " examples"]]:
    """Runs a model over data, on this process's first device.

    Args:
        model: The model.
        variables: Its variables, such as `restore_for_evaluation` gives them.
        data: A data set, or batches with `image` and perhaps `label` and `weight`.
        batch_size: Rows of a batch, if `data` is a data set.
        mean: As in training.
        std: As in training.

    Returns:
        The logits, and the labels; -1 where the data have none. Padding is left out.

    Raises:
        ValueError: There is no batch in the data.

    >>> from jaxvision import data, models
    >>> model = models.create_model("linear_classifier", num_classes=3)
    >>> images = np.ones((5, 4, 4, 1), np.float32)
    >>> variables = model.init(jax.random.key(0), images)
    >>> logits, labels = predict(model, variables, data.from_arrays({"image": images}))
    >>> logits.shape, labels.tolist()
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
    all_logits, all_labels = [], []
    for batch in data:
        kept = np.asarray(batch.get("weight", np.ones(len(batch["image"])))) > 0
        logits = np.asarray(logits_of(variables, jnp.asarray(batch["image"])), np.float32)
        labels = np.asarray(batch.get("label", np.full(len(kept), -1)))
        all_logits.append(logits[kept])
        all_labels.append(labels[kept])
    if not all_logits:
        raise ValueError("there is nothing to predict: the data hold no batch")
    return np.concatenate(all_logits), np.concatenate(all_labels)


def _described(model: nn.Module) -> dict[str, Any] | None:
    """How to make the model again; None for one that `create_model` did not make."""
    if not isinstance(model, models.Model):
        return None
    try:
        return models.describe(model)
    except ValueError:
        return None


def _floats(numbers: Iterable[Any]) -> tuple[float, ...]:
    return tuple(float(number) for number in numbers)


def _unpack(
    batch: Mapping[str, Any],
) -> tuple[Float[Array, "..."], Targets, Float[Array, " batch"]]:
    for name in ("image", "label"):
        if name not in batch:
            raise ValueError(
                f"to classify, a batch needs 'image' and 'label'; this one has {', '.join(batch)}"
            )
    images = to_float(jnp.asarray(batch["image"]))
    labels = jnp.asarray(batch["label"])
    weight = jnp.asarray(batch["weight"]) if "weight" in batch else jnp.ones(len(images))
    return images, labels, weight.astype(jnp.promote_types(weight.dtype, jnp.float32))


def _class_weight(
    labels: Targets, class_weights: Float[Array, " classes"]
) -> Float[Array, " batch"]:
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return class_weights[labels]
    return labels @ class_weights
