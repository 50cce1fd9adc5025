"""Loss and evaluation of a model with several tasks."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxvision import losses, metrics
from jaxvision.checks import check_name
from jaxvision.models import MultiHead
from jaxvision.train._arguments import check_model
from jaxvision.train._diagnosis import labels_outside, numbers_not_finite, rows_that_count
from jaxvision.train.inputs import Inputs
from jaxvision.train.protocols import Metrics
from jaxvision.train.state import TrainState, evaluation_variables

PyTree = Any
Rows = Float[Array, " batch"]
Kind = Literal["classification", "regression"]


@dataclasses.dataclass(frozen=True)
class Task:
    """Task of one head.

    Attributes:
        label: Field of a batch with the targets.
        kind: "classification": outputs are logits, targets are integers of shape (batch,), the loss
            is the cross-entropy. "regression": targets are numbers of shape (batch,) or (batch,
            outputs), the loss is the squared error.
        weight: Factor of the loss, unless the model learns weights.
        present: Field of a batch that is 1 for rows with a target and 0 for rows without; None if
            all rows have one.

    Raises:
        ValueError: `kind` is unknown, or `weight` is negative.

    >>> Task("label", "classification", weight=0.5).weight
    0.5
    """

    label: str
    kind: Kind
    weight: float = 1.0
    present: str | None = None

    def __post_init__(self) -> None:
        check_name("kind", self.kind, get_args(Kind))
        if not self.weight >= 0:
            raise ValueError(f"weight must not be negative, got {self.weight}")

    def measure(
        self, outputs: Array, targets: Array, weight: Rows
    ) -> tuple[Rows, dict[str, metrics.Pair]]:
        """The loss of each row, and a metric over the rows that count."""
        if self.kind == "classification":
            values = losses.cross_entropy(outputs, targets)
            return values, {"accuracy": metrics.accuracy(outputs, targets, weight)}
        targets = targets.reshape(outputs.shape)
        values = losses.squared_error(outputs, targets)
        errors = jnp.abs(outputs - targets).mean(axis=1)
        return values, {"absolute_error": metrics.mean(errors, weight)}


@dataclasses.dataclass(frozen=True, eq=False)
class MultiTaskLoss:
    """Loss function for batches with `image` and the targets of all tasks.

    Made by `make_loss_fn`.
    """

    model: MultiHead
    tasks: Mapping[str, Task]
    inputs: Inputs

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Computes the mean of the weighted losses over the rows, and the metrics of `measure`."""
        augment_key, dropout_key = jax.random.split(key)
        batch = self.inputs.train(augment_key, batch)
        (outputs, log_variances), model_state = self.model.apply(
            {"params": params, **model_state},
            batch["image"],
            train=True,
            rngs={"dropout": dropout_key},
            mutable=list(model_state),
            method="with_log_variances",
        )
        loss, measured = self.measure(outputs, log_variances, batch)
        return loss, (model_state, measured)

    def measure(
        self,
        outputs: Mapping[str, Array],
        log_variances: Mapping[str, Array],
        batch: Mapping[str, Any],
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss and the metrics of every task, under names such as `TASK_loss`.

        Args:
            outputs: Outputs of the heads, by task.
            log_variances: Log-variances by task; empty if weights are not learned.
            batch: Targets, and optionally `weight` (0 for padding rows).

        Returns:
            The mean loss over the weighted rows, and metrics as pairs of sums.
        """
        rows = len(batch["image"])
        row_weight = jnp.asarray(batch.get("weight", jnp.ones(rows)), jnp.float32)
        total = jnp.zeros(rows)
        measured: dict[str, metrics.Pair] = {}
        for name, task in self.tasks.items():
            present = jnp.ones(rows) if task.present is None else jnp.asarray(batch[task.present])
            targets = jnp.asarray(batch[task.label])
            # A row without a target may hold NaN or -1 there, which must not reach the loss.
            has_target = present.reshape(rows, *[1] * (targets.ndim - 1)) > 0
            targets = jnp.where(has_target, targets, jnp.zeros_like(targets))
            weight = row_weight * present
            values, extra = task.measure(outputs[name], targets, weight)
            measured[f"{name}_loss"] = metrics.mean(values, weight)
            measured |= {f"{name}_{what}": pair for what, pair in extra.items()}
            if name in log_variances:
                values = _likelihood(task, values, log_variances[name])
                measured[f"{name}_log_variance"] = (log_variances[name], jnp.ones(()))
            else:
                values = task.weight * values
            total += present * values
        measured["loss"] = metrics.mean(total, row_weight)
        return losses.weighted_mean(total, row_weight), measured

    def evaluate(
        self, state: TrainState | Mapping[str, PyTree], batch: Mapping[str, Any]
    ) -> Metrics:
        """Measures a state on a batch, with averaged parameters if it has any."""
        batch = self.inputs.evaluate(batch)
        heads: Any = self.model.apply(
            evaluation_variables(state), batch["image"], train=False, method="with_log_variances"
        )
        outputs, log_variances = heads
        return self.measure(outputs, log_variances, batch)[1]

    def diagnose(self, batch: Mapping[str, Any]) -> str | None:
        """Names non-finite numbers or invalid labels in a batch on the host; None without any."""
        present = dict(batch)
        sentences = []
        for name, task in self.tasks.items():
            labels = batch[task.label]
            counted = rows_that_count(batch, len(labels))
            if task.present is not None:
                counted &= batch[task.present] > 0
            # Rows without a target may hold any value there.
            present[task.label] = np.where(
                counted.reshape(-1, *[1] * (labels.ndim - 1)), labels, np.zeros_like(labels)
            )
            if task.kind == "classification":
                num_classes = self.model.heads[name]
                sentences.append(labels_outside(task.label, labels, num_classes, counted))
        return numbers_not_finite(present) or next(filter(None, sentences), None)

    def describe(self) -> dict[str, Any]:
        """Describes the model, inputs and tasks for the record of a run."""
        return {
            "task": "multitask",
            "models": {"model": self.model},
            "inputs": self.inputs,
            "tasks": {name: dataclasses.asdict(task) for name, task in self.tasks.items()},
        }


def make_loss_fn(
    model: MultiHead,
    tasks: Mapping[str, Task],
    *,
    inputs: Inputs | None = None,
) -> MultiTaskLoss:
    """Makes the loss of several tasks, for `make_train_step`.

    With fixed weights, the loss of a row is `sum_i w_i * loss_i`. If the model has
    `learned_weights`, it is the negative log-likelihood of Kendall, Gal and Cipolla
    (arXiv:1705.07115): with the log-variance s of a task, `exp(-s) * loss + s / 2` for a
    classification, and `exp(-s) * loss / 2 + s / 2` for a regression. A row without a target of a
    task adds nothing to the loss of that task. The sum is divided by the number of all rows, so
    that parts of a batch add up to the whole.

    Args:
        model: Model with one head per task.
        tasks: Tasks by the names of their heads.
        inputs: Augmentation and normalization; the augmentation must not invalidate any target.
            None only converts integers to floats in [0, 1].

    Returns:
        `loss_fn(params, model_state, batch, key) -> (loss, (model_state, metrics))`.

    Raises:
        TypeError: The model is none.
        ValueError: Heads and tasks differ in their names, or a weight is both given and learned.

    >>> from jaxvision import models, train
    >>> backbone = models.create_model("lenet5")
    >>> model = models.MultiHead(backbone=backbone, heads={"digit": 10, "slant": 1})
    >>> slant = Task("slant", "regression", weight=0.5)
    >>> tasks = {"digit": Task("label", "classification"), "slant": slant}
    >>> loss_fn = make_loss_fn(model, tasks)
    >>> batch = {"image": np.zeros((2, 32, 32, 1)), "label": np.array([3, 1]),
    ...          "slant": np.array([0.1, -0.2])}
    >>> key = jax.random.key(0)
    >>> params = jax.eval_shape(model.init, key, batch["image"])["params"]
    >>> loss, (_, measured) = jax.eval_shape(loss_fn, params, {}, batch, key)
    >>> sorted(measured)
    ['digit_accuracy', 'digit_loss', 'loss', 'slant_absolute_error', 'slant_loss']
    """
    check_model(model)
    if set(tasks) != set(model.heads):
        raise ValueError(
            f"the model has heads for {', '.join(model.heads)}; the tasks are {', '.join(tasks)}"
        )
    weighted = [name for name, task in tasks.items() if task.weight != 1]
    if model.learned_weights and weighted:
        raise ValueError(
            f"the weight of {', '.join(weighted)} is given, and the model learns weights: leave it "
            "out, or make the model with learned_weights=False"
        )
    return MultiTaskLoss(
        model=model, tasks=dict(tasks), inputs=Inputs() if inputs is None else inputs
    )


def _likelihood(task: Task, values: Rows, log_variance: Float[Array, ""]) -> Rows:
    share = 1.0 if task.kind == "classification" else 0.5
    return share * jnp.exp(-log_variance) * values + log_variance / 2
