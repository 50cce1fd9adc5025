"""Evaluations compiled for the devices of a step."""

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxvision.data import Dataset, Prefetch
from jaxvision.metrics import compute
from jaxvision.train.evaluation import EvalData, EvalFn, EvaluateOn, Evaluation, Rows
from jaxvision.train.inputs import Inputs
from jaxvision.train.parallel import ParallelStep
from jaxvision.train.protocols import RESERVED_METRICS, Metrics, check_metrics

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluator:
    """An evaluation compiled for the devices of a step.

    Attributes:
        name: Its name in log lines.
        every: Steps between evaluations.
        measure: Measures a state on a batch that is on the devices.
        summarize: Computes metrics from the gathered measurements.
        make_batches: Returns the batches anew; None without data.
        place: Puts a batch on the devices.
    """

    name: str
    every: int
    measure: Callable[[Any, Any], PyTree]
    summarize: Callable[[PyTree], Mapping[str, float]]
    make_batches: Callable[[], Iterable[Any]] | None
    place: Callable[[Any], Any]

    def __call__(
        self,
        state: PyTree,
        *,
        between: Callable[[], object],
        while_waiting: Callable[[], object],
    ) -> dict[str, float]:
        """Measures a state; calls `between` after each batch, `while_waiting` during waits."""
        if self.make_batches is None:
            try:
                return self._numbers(gather([self.measure(state, None)]))
            except (AttributeError, TypeError) as error:
                error.add_note(f"{self.name} has no data, and got None for a batch: give eval_data")
                raise
        with Prefetch(self.make_batches(), self.place, while_waiting=while_waiting) as placed:

            def measured() -> Iterator[PyTree]:
                for batch in placed:
                    yield self.measure(state, batch)
                    between()

            gathered = gather(measured())
        return self._numbers(gathered)

    def _numbers(self, gathered: PyTree) -> dict[str, float]:
        if gathered is None:
            raise ValueError(f"there is nothing to evaluate in {self.name}: the data hold no batch")
        found = dict(self.summarize(gathered))
        for name, value in found.items():
            if name in RESERVED_METRICS:
                raise ValueError(f"a metric must not be called {name!r}, which a log uses itself")
            if not isinstance(value, numbers.Real) and np.shape(value) != ():
                raise TypeError(
                    f"{name!r} of the evaluation {self.name} must be a number, and has the shape "
                    f"{np.shape(value)}"
                )
        return {name: float(value) for name, value in found.items()}


def gather(measured: Iterable[PyTree]) -> PyTree:
    """Adds up sums and concatenates `Rows` over all batches, on the host; None without batches.

    >>> x = np.array([1, 2])
    >>> batches = [{"n": 2, "x": Rows(x, np.array([1, weight]))} for weight in (1, 0)]
    >>> gather(batches)["n"].item(), gather(batches)["x"].tolist()
    (4, [1, 2, 1])
    """
    structure: Any = None
    kinds: list[bool] = []
    parts: list[Any] = []
    for tree in measured:
        leaves, found = jax.tree.flatten(tree, is_leaf=_is_rows)
        if structure is None:
            structure = found
            kinds = [_is_rows(leaf) for leaf in leaves]
            parts = [[] if rows else 0 for rows in kinds]
        for index, leaf in enumerate(jax.device_get(leaves)):
            if kinds[index]:
                parts[index].append(_real_rows(leaf))
            else:  # in 64 bits, so that sums over many batches stay accurate
                parts[index] = parts[index] + _wide(leaf)
    if structure is None:
        return None
    joined = [
        jax.tree.map(lambda *arrays: np.concatenate(arrays), *part) if rows else part
        for part, rows in zip(parts, kinds, strict=True)
    ]
    return jax.tree.unflatten(structure, joined)


def plan_evaluations(
    evaluations: Mapping[str, EvaluateOn],
    parallel: ParallelStep,
    state: PyTree,
    batches: Any,
    every: int,
) -> list[Evaluator]:
    """Compiles evaluations for the devices of a step.

    Data sets are evaluated with the batch size of training. Raises ValueError if an evaluation is
    called `train`, it lacks data, they can be used only once, or its interval is not positive.
    """
    evaluators = []
    for name, each in evaluations.items():
        if name == "train":
            raise ValueError("an evaluation must not be called 'train', as lines of training are")
        loss = getattr(each.evaluation, "__self__", each.evaluation)
        if each.data is None and isinstance(getattr(loss, "inputs", None), Inputs):
            raise ValueError(
                f"the loss of {name} measures batches and has no data: give eval_data=..., a data "
                "set or a list of batches"
            )
        if isinstance(each.data, Iterator):
            raise ValueError(
                "the data of an evaluation must last for every evaluation: give the data set, a "
                "list of batches, or a function that gives batches anew"
            )
        if each.every is not None and each.every < 1:
            raise ValueError(f"every must be at least 1 step, got {each.every}")
        measure, summarize = _parts(each.evaluation)
        evaluators.append(
            Evaluator(
                name=name,
                every=each.every or every,
                measure=measure
                if each.data is None
                else parallel.compile_evaluation(measure, state),
                summarize=summarize,
                make_batches=_make_batches(each.data, parallel, batches),
                place=parallel.place_batch,
            )
        )
    return evaluators


def _parts(
    evaluation: Evaluation | EvalFn,
) -> tuple[Callable[[Any, Any], PyTree], Callable[[PyTree], Mapping[str, float]]]:
    if isinstance(evaluation, Evaluation):
        return evaluation.measure, evaluation.summarize
    evaluate: EvalFn = getattr(evaluation, "evaluate", evaluation)  # a task's loss has the method

    def measure(state: PyTree, batch: Any) -> Metrics:
        metrics = evaluate(state, batch)
        check_metrics(metrics)
        return metrics

    return measure, compute


def _make_batches(
    data: EvalData | None, parallel: ParallelStep, batches: Any
) -> Callable[[], Iterable[Any]] | None:
    if data is None:
        return None
    if isinstance(data, Dataset):
        devices = parallel.mesh.size
        size = getattr(batches, "batch_size", None) or math.ceil(128 / devices) * devices
        return functools.partial(data.batches, size, shuffle=False, epochs=1)
    return data if callable(data) else functools.partial(iter, data)


def _is_rows(leaf: Any) -> bool:
    return isinstance(leaf, Rows)


def _real_rows(rows: Rows) -> PyTree:
    real = np.asarray(rows.weight) > 0
    if real.ndim != 1:
        raise ValueError(f"Rows need one weight per example, got weights of shape {real.shape}")
    return jax.tree.map(lambda values: np.asarray(values)[real], rows.values)


def _wide(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.int64 if array.dtype.kind in "biu" else np.float64)
