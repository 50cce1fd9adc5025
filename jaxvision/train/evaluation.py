"""Evaluations: measurements of a state, batch by batch, and the metrics computed from them."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import flax.struct

from jaxvision._reprs import brief
from jaxvision.data import Dataset
from jaxvision.train.protocols import Metrics

PyTree = Any
EvalFn = Callable[[Any, Any], Metrics]
"""`(state, batch) -> metrics`, where metrics are pairs of sums, as those of a step."""

EvalData = Dataset | Iterable[Any] | Callable[[], Iterable[Any]]


class Rows(flax.struct.PyTreeNode):
    """Per-example values, which an evaluation concatenates instead of summing.

    Attributes:
        values: An array, or a tree of arrays, with the examples along the first axis.
        weight: The weight of each example; examples of weight 0 are padding, and are dropped.
    """

    values: PyTree
    weight: Any

    def __repr__(self) -> str:
        return brief(self)


@runtime_checkable
class Evaluation(Protocol):
    """Measures a state on data; mean IoU, average precision, FID and BLEU have this form.

    Where an `Evaluation` is expected, a function `(state, batch) -> metrics` will do: its metrics
    are the quotients of the sums.
    """

    def measure(self, state: Any, batch: Any, /) -> PyTree:
        """Measures a state on one batch; `fit` compiles it for all devices.

        Args:
            state: The state.
            batch: A batch, whose rows may be padding; None for an evaluation without data.

        Returns:
            A tree. Its arrays are sums over the batch, and are added up over the batches. `Rows` in
            it are concatenated instead, in the order of the data.
        """
        ...

    def summarize(self, gathered: PyTree, /) -> Mapping[str, float]:
        """Computes metrics from the measurements of all batches, once, on the host.

        Args:
            gathered: The tree of `measure`, with NumPy arrays: sums in float64 or int64, and each
                `Rows` replaced by its values for all examples that are not padding.

        Returns:
            Metrics by name.
        """
        ...


@dataclasses.dataclass(frozen=True)
class EvaluateOn:
    """An evaluation with its own data and interval, for `fit`.

    Attributes:
        evaluation: An `Evaluation`, or a function `(state, batch) -> metrics`.
        data: A data set, a list of batches, or a function that returns batches. None calls
            `evaluation` once, uncompiled, with None for the batch.
        every: Steps between evaluations, in addition to the one at the end; None takes `eval_every`
            of `fit`.
    """

    evaluation: Evaluation | EvalFn
    data: EvalData | None = None
    every: int | None = None


def make_eval_fn(loss_fn: Any) -> Evaluation | EvalFn:
    """Returns the evaluation of a task's loss, for `fit(..., evaluate=...)`.

    Args:
        loss_fn: A loss made by a task's `make_loss_fn`: an `Evaluation`, or an object with a method
            `evaluate(state, batch) -> metrics`.

    Returns:
        The loss itself, or its method `evaluate`. Batches are prepared as for the loss, without
        augmentation; averaged parameters (`ema_params`) are used if the state has them.

    Raises:
        TypeError: The loss is neither.

    >>> import jax, numpy as np
    >>> from jaxvision import metrics, models, train
    >>> model = models.create_model("linear_classifier", num_classes=3)
    >>> evaluate = make_eval_fn(train.classification.make_loss_fn(model))
    >>> params = {"head": {"kernel": np.zeros((16, 3)), "bias": np.zeros(3)}}
    >>> state = {"params": params, "model_state": {}}
    >>> batch = {"image": np.ones((2, 4, 4, 1)), "label": np.array([0, 2])}
    >>> sorted(metrics.compute(jax.jit(evaluate)(state, batch)))
    ['accuracy', 'loss']
    """
    if isinstance(loss_fn, Evaluation):
        return loss_fn
    evaluate: EvalFn | None = getattr(loss_fn, "evaluate", None)
    if evaluate is None:
        raise TypeError(
            f"{loss_fn!r} has no method evaluate(state, batch) -> metrics: give fit a function of "
            "that form, or an Evaluation"
        )
    return evaluate
