"""Several tasks on one backbone: weighted losses, fixed or learned."""

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
from jaxvision.train._diagnosis import labels_outside, numbers_not_finite, rows_that_count
from jaxvision.train.inputs import Inputs
from jaxvision.train.protocols import Metrics
from jaxvision.train.state import TrainState, evaluation_variables

PyTree = Any
Rows = Float[Array, " batch"]
Kind = Literal["classification", "regression"]


@dataclasses.dataclass(frozen=True)
class Task:
    """What a head learns.

    Attributes:
        label: What the targets are called in a batch.
        kind: "classification", where the head's outputs are the logits of classes, targets
            (batch,) integers and the loss the cross-entropy; or "regression", where targets are
            numbers, (batch,) or (batch, outputs), and the loss the squared error.
        weight: The factor of its loss, where weights are not learned.
        present: What in a batch says which rows have a target (1) and which have none (0); None
            if all have.

    Raises:
        ValueError: The kind is unknown, or the weight is negative.

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
        """The loss of each row, and what else is measured over those that count."""
        if self.kind == "classification":
            values = losses.cross_entropy(outputs, targets)
            return values, {"accuracy": metrics.accuracy(outputs, targets, weight)}
        targets = targets.reshape(outputs.shape)
        values = losses.squared_error(outputs, targets)
        errors = jnp.abs(outputs - targets).mean(axis=1)
        return values, {"absolute_error": metrics.mean(errors, weight)}


@dataclasses.dataclass(frozen=True, eq=False)
class MultiTaskLoss:
    """A loss function over batches with `image` and the targets of all tasks.

    Made by `make_loss_fn`.
    """

    model: MultiHead
    tasks: Mapping[str, Task]
    inputs: Inputs

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, Metrics]]:
        """Computes the mean of the weighted losses over the rows, and what `measure` gives."""
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
        """The loss, and the metrics of every task under `TASK_loss` and so on.

        Args:
            outputs: Of the heads.
            log_variances: By task, or none.
            batch: The targets, and `weight` if rows are padding.

        Returns:
            The mean over the rows that count, and pairs of sums.
        """
        rows = len(batch["image"])
        row_weight = jnp.asarray(batch.get("weight", jnp.ones(rows)), jnp.float32)
        total = jnp.zeros(rows)
        measured: dict[str, metrics.Pair] = {}
        for name, task in self.tasks.items():
            present = jnp.ones(rows) if task.present is None else jnp.asarray(batch[task.present])
            targets = jnp.asarray(batch[task.label])
            # Whatever stands where there is no target must not reach the loss: it may be NaN or -1.
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
        """Measures a state on a batch, for `make_eval_fn`.

        Args:
            state: A train state; its averaged parameters are used where it has them.
            batch: The batch.

        Returns:
            What `measure` gives.
        """
        batch = self.inputs.evaluate(batch)
        heads: Any = self.model.apply(
            evaluation_variables(state), batch["image"], train=False, method="with_log_variances"
        )
        outputs, log_variances = heads
        return self.measure(outputs, log_variances, batch)[1]

    def diagnose(self, batch: Mapping[str, Any]) -> str | None:
        """Says why the loss of a batch is not finite: numbers in it, or labels that are no class.

        Args:
            batch: The batch, on the host.

        Returns:
            A sentence, or None if the batch does not show it.
        """
        present = dict(batch)
        sentences = []
        for name, task in self.tasks.items():
            labels = batch[task.label]
            counted = rows_that_count(batch, len(labels))
            if task.present is not None:
                counted &= batch[task.present] > 0
            # Where there is no target, anything may stand.
            present[task.label] = np.where(
                counted.reshape(-1, *[1] * (labels.ndim - 1)), labels, np.zeros_like(labels)
            )
            if task.kind == "classification":
                num_classes = self.model.heads[name]
                sentences.append(labels_outside(task.label, labels, num_classes, counted))
        return numbers_not_finite(present) or next(filter(None, sentences), None)

    def describe(self) -> dict[str, Any]:
        """What the record of a run keeps of this loss.

        Returns:
            The model, the inputs, and the tasks.
        """
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

    With fixed weights a row's loss is `sum_i w_i * loss_i`. If the model has `learned_weights`, it
    is the negative log likelihood of Kendall, Gal and Cipolla (arXiv:1705.07115) with s the log
    variance of a task: `exp(-s) * loss + s / 2` for a classification, and
    `exp(-s) * loss / 2 + s / 2` for a regression. A row adds nothing to a task it has no target of,
    and the sum is divided by the number of rows, so that it is the same in parts of a batch.

    Args:
        model: One head for every task.
        tasks: What each head learns, by its name.
        inputs: How batches are augmented and normalized; the augmentation must leave all targets
            as they are. None only makes images floating point.

    Returns:
        `loss_fn(params, model_state, batch, key) -> (loss, (model_state, metrics))`.

    Raises:
        ValueError: Heads and tasks do not have the same names, or a weight is given and learned.

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
