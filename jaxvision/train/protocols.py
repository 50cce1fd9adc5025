"""The protocols of steps and losses, and the form of metrics."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jax.typing import ArrayLike
from jaxtyping import Array

PyTree = Any
RESERVED_METRICS = ("step", "split", "steps_per_second")
"""Names that metrics must not have, because log lines use them."""

Metrics = Mapping[str, tuple[ArrayLike, ArrayLike]]
"""Pairs of sums `(total, count)` by name; parts of a batch, devices and processes merge by `+`."""


@runtime_checkable
class Step(Protocol):
    """One training update: a pure function `(state, batch) -> (new state, metrics)`.

    A step may have these optional methods:

    - `prepare(state)` makes a state ready for the step before the first call.
    - `describe()` returns a dict for the run's record, in which `task` names the task that restores
      the run, `models` holds Flax modules by name, and `inputs` is an `Inputs`.
    - `diagnose(batch)` explains, given a batch on the host, why its loss is not finite, or returns
      None.
    """

    def __call__(self, state: Any, batch: Any, /) -> tuple[Any, Metrics]:
        """Updates a state by one batch.

        Args:
            state: A pytree of arrays.
            batch: A pytree of arrays with the rows along their first axis, or None.

        Returns:
            The new state, of the same structure; and the metrics, summed over the batch.
        """
        ...


@runtime_checkable
class LossFn(Protocol):
    """A task's loss, for `make_train_step`.

    It may have the methods `describe` and `diagnose` of `Step`.
    """

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Any, key: Array, /
    ) -> tuple[Array, tuple[PyTree, Metrics]]:
        """Computes the loss of a batch.

        Args:
            params: The parameters, with respect to which the gradient is taken.
            model_state: The other variable collections of the model, such as `batch_stats`.
            batch: A batch, as given to the step.
            key: The random key of this step.

        Returns:
            The mean loss over the batch; the new model state; and metrics. `metrics["loss"]`, if
            present, must be the loss times its denominator, and the denominator: partial losses (of
            accumulation steps or `pmap` devices) are weighted by it, so that the total equals that
            of the whole batch, with or without padding. Without it, all parts have the same weight.
        """
        ...


@runtime_checkable
class ContextLossFn(Protocol):
    """A `LossFn` with a further input, such as a teacher or another network.

    The step passes it, never split, as the keyword `context`; see `make_train_step`.
    """

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Any, key: Array, /, *, context: Any
    ) -> tuple[Array, tuple[PyTree, Metrics]]:
        """Computes the loss of a batch; the arguments and the result are those of `LossFn`."""
        ...


def check_metrics(metrics: Any) -> None:
    """Raises TypeError for metrics that are no pairs of sums, ValueError for a reserved name.

    >>> check_metrics({"loss": (6.0, 4)})
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must be a dict of pairs of sums, got {type(metrics).__name__}")
    for name, pair in metrics.items():
        if name in RESERVED_METRICS:
            raise ValueError(f"a metric must not be called {name!r}, which a log uses itself")
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"metric {name!r} must be a pair of sums (total, count); the mean m over n rows "
                "is (m * n, n)"
            )
