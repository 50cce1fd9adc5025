"""Evaluates states on the same data again and again."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from jaxvision.data import Dataset, Prefetch
from jaxvision.metrics import compute
from jaxvision.train.parallel import ParallelStep
from jaxvision.train.step import check_metrics

PyTree = Any
Evaluate = Callable[[Any, Any], Any]
EvalData = Dataset | Iterable[Any] | Callable[[], Iterable[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """A function of a state, added up over batches.

    Attributes:
        name: What is evaluated on, as lines of the log call it.
        measure: Gives sums of a state and a batch on the devices; or, without data, of a state and
            None.
        make_batches: Gives the batches anew; None if there are no data.
        place: Puts a batch on the devices.
    """

    name: str
    measure: Evaluate
    make_batches: Callable[[], Iterable[Any]] | None
    place: Callable[[Any], Any]

    def __call__(
        self,
        state: PyTree,
        *,
        between: Callable[[], object],
        while_waiting: Callable[[], object],
    ) -> dict[str, float]:
        """Measures a state.

        Args:
            state: The state.
            between: Called after every batch.
            while_waiting: Called several times a second while a batch is waited for.

        Returns:
            Metrics by name.
        """
        if self.make_batches is None:
            pairs = self.measure(state, None)
            check_metrics(pairs)
            return compute(pairs)
        sums: dict[str, Any] = {}
        with Prefetch(self.make_batches(), self.place, while_waiting=while_waiting) as placed:
            for batch in placed:
                for metric, pair in self.measure(state, batch).items():
                    # In float64, so that the order of many batches does not show.
                    sums[metric] = sums.get(metric, 0) + np.asarray(pair, np.float64)
                between()
        return compute({metric: (pair[0], pair[1]) for metric, pair in sums.items()})


def make_evaluation(
    parallel: ParallelStep,
    evaluate: Evaluate | None,
    eval_data: EvalData | None,
    state: PyTree,
    batches: Any,
) -> Evaluation | None:
    """Compiles an evaluation for the devices of a step.

    Args:
        parallel: The step that is evaluated.
        evaluate: Gives the sums of a state and a batch; None evaluates nothing.
        eval_data: What to evaluate on; None calls `evaluate` once as it is.
        state: A state, or its shapes.
        batches: Those of training, whose size is taken where the data are a data set.

    Returns:
        The evaluation, or None.
    """
    if evaluate is None:
        return None
    if eval_data is None:
        return Evaluation("evaluation", evaluate, None, parallel.place_batch)
    name = "evaluation"
    if isinstance(eval_data, Dataset):
        # Lines of `train` are those of the steps.
        name = eval_data.split if eval_data.split != "train" else "train_evaluation"
        devices = parallel.mesh.size
        size = getattr(batches, "batch_size", None) or math.ceil(128 / devices) * devices
        make: Callable[[], Iterable[Any]] = functools.partial(
            eval_data.batches, size, shuffle=False, epochs=1
        )
    else:
        make = eval_data if callable(eval_data) else functools.partial(iter, eval_data)
    compiled = parallel.compile_evaluation(evaluate, state)
    return Evaluation(name, compiled, make, parallel.place_batch)
