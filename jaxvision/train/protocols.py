"""What steps, losses and metrics are: the protocols that all tasks meet."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jax.typing import ArrayLike
from jaxtyping import Array

PyTree = Any
RESERVED_METRICS = ("step", "split", "steps_per_second")
"""Names that the lines of a log use themselves."""

Metrics = Mapping[str, tuple[ArrayLike, ArrayLike]]
"""Pairs of sums `(total, count)`: parts of a batch, devices and processes merge by `+`."""


@runtime_checkable
class Step(Protocol):
    """Everything that learns is one: a pure function of a state and a batch.

    A step may have methods besides. `prepare(state)` makes a state ready for it, before the first
    call. `describe()` tells the record of the run what it is: a dict of JSON, in which `task` names
    the task that restores the run, `models` holds Flax modules by name, and `inputs` is an
    `Inputs`. `diagnose(batch)` says why the loss of a batch on the host is not finite, or None.
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
    """What a task makes from a model, and `make_train_step` turns into a step.

    It may have the methods `describe` and `diagnose` of a `Step`, which the step passes on.
    """

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Any, key: Array, /
    ) -> tuple[Array, tuple[PyTree, Metrics]]:
        """Computes the loss of a batch.

        Args:
            params: The parameters, which the gradient is taken of.
            model_state: The other variable collections of the model, such as `batch_stats`.
            batch: What `fit` was given.
            key: Draws what is random in this step.

        Returns:
            The loss, a mean over the batch; the new model state; and metrics. If `metrics` has
            `"loss"`, that is the loss times its denominator, and the denominator: the parts of a
            batch that are computed apart (accumulation, devices under `pmap`) are then weighed by
            it, so that the result is that of the whole batch, padding or not. Without it the parts
            weigh the same.
        """
        ...


@runtime_checkable
class ContextLossFn(Protocol):
    """A `LossFn` that looks at more than its parameters, such as a teacher or another network.

    It gets that whole, by the keyword `context`; see `make_train_step`.
    """

    def __call__(
        self, params: PyTree, model_state: PyTree, batch: Any, key: Array, /, *, context: Any
    ) -> tuple[Array, tuple[PyTree, Metrics]]:
        """Computes the loss of a batch; the arguments and the result are those of `LossFn`."""
        ...


def check_metrics(metrics: Any) -> None:
    """Checks that metrics are pairs of sums.

    Args:
        metrics: What a loss function or a step gave.

    Raises:
        TypeError: One is something else.
        ValueError: One has a name that the lines of a log use themselves.

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
