"""Evaluations: what is measured of a state, batch by batch, and what it comes to."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import flax.struct

from jaxvision._reprs import brief
from jaxvision.data import Dataset
from jaxvision.train.protocols import Metrics

PyTree = Any
EvalFn = Callable[[Any, Any], Metrics]
"""`(state, batch) -> metrics`: pairs of sums, as a step gives them."""

EvalData = Dataset | Iterable[Any] | Callable[[], Iterable[Any]]


class Rows(flax.struct.PyTreeNode):
    """Numbers of each example, which an evaluation gathers instead of adding them up.

    Attributes:
        values: An array, or a tree of arrays, with the examples along the first axis.
        weight: The weight of each example; those of weight 0 are padding, and are left out.
    """

    values: PyTree
    weight: Any

    def __repr__(self) -> str:
        return brief(self)


@runtime_checkable
class Evaluation(Protocol):
    """Measures a state on data; mean IoU, average precision, FID and BLEU are all of this form.

    A function `(state, batch) -> metrics` stands for one whose metrics are the quotients of the
    sums.
    """

    def measure(self, state: Any, batch: Any, /) -> PyTree:
        """Measures a state on one batch; it is compiled for all devices.

        Args:
            state: The state.
            batch: A batch, whose rows may be padding; None where there are no data.

        Returns:
            A tree. Its arrays are sums over the batch, and are added up over the batches. What is
            in `Rows` is put together instead, in the order of the data.
        """
        ...

    def summarize(self, gathered: PyTree, /) -> Mapping[str, float]:
        """Makes numbers of what was measured of all data; it runs on the host, once.

        Args:
            gathered: The tree of `measure`: sums as NumPy arrays, in float64 or int64, and in the
                place of `Rows` their values, of all examples that are no padding.

        Returns:
            Numbers by name.
        """
        ...


@dataclasses.dataclass(frozen=True)
class EvaluateOn:
    """An evaluation with data and an interval of its own, for `fit`.

    Attributes:
        evaluation: An `Evaluation`, or a function `(state, batch) -> metrics`.
        data: What to evaluate on: a data set, a list of batches, or a function that gives batches.
            None calls `evaluation` once, uncompiled, with None for a batch.
        every: Steps between evaluations, besides the one at the end; None takes those of `fit`.
    """

    evaluation: Evaluation | EvalFn
    data: EvalData | None = None
    every: int | None = None


def make_eval_fn(loss_fn: Any) -> Evaluation | EvalFn:
    """Makes what `fit` evaluates of the loss of a task.

    Args:
        loss_fn: A loss function as the tasks' `make_loss_fn` make them: an `Evaluation`, or one
            with a method `evaluate(state, batch) -> metrics`.

    Returns:
        The loss function itself, or that method. It prepares batches as the loss does, without
        augmentation, and uses the averaged parameters where there are any.

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
