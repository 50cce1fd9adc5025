"""The iterator over batches."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxvision.data.checks import whole
from jaxvision.data.plan import BatchPlan
from jaxvision.data.source import Corrupt, Source
from jaxvision.data.streaming import Stream

Batch = dict[str, np.ndarray]
Arrays = Mapping[str, Shaped[np.ndarray, "examples ..."]]


class Batches(Iterator[Batch]):
    """Iterator over batches in the order of a plan, from memory or from disk.

    `Dataset.batches` makes it. `get_state` and `set_state` save and restore its position.

    Attributes:
        plan: Which examples each batch holds.
        name: Name of the data in errors.
        num_skipped: Number of rows before the position that this process could not decode; saved
            and restored with the position.
    """

    def __init__(
        self,
        plan: BatchPlan,
        data: Arrays | Source,
        *,
        name: str = "data",
        corrupt: Corrupt = "stop",
        num_workers: int = 0,
        describe: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """Starts at the first batch.

        Args:
            plan: Which examples each batch holds.
            data: Stacked arrays, or a source that reads examples by index.
            name: Name of the data in errors.
            corrupt: Whether an image that cannot be decoded raises (`"stop"`), or becomes a row of
                weight 0 that `num_skipped` counts (`"skip"`).
            num_workers: Number of processes that read examples; 0 reads with threads.
            describe: Function whose result the method `describe` returns.

        Raises:
            ValueError: `num_workers` is negative or not whole.
        """
        self._num_workers = whole("num_workers", num_workers)
        if self._num_workers < 0:
            raise ValueError(f"num_workers must not be negative, got {num_workers}")
        self.plan = plan
        self.name = name
        self.num_skipped = 0
        self._data = data
        self._corrupt: Corrupt = corrupt
        self._describe = describe
        self._step = 0
        self._stream: Stream | None = None

    @property
    def batch_size(self) -> int:
        """Rows of a batch over all processes."""
        return self.plan.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in one pass over the examples."""
        return self.plan.steps_per_epoch

    def __iter__(self) -> "Batches":
        return self

    def __len__(self) -> int:
        """Number of batches from first to last, at any position; a TypeError if they never end."""
        if self.plan.num_steps is None:
            raise TypeError(
                f"these batches never end, and have no length; {self.steps_per_epoch} go once "
                "through the examples (steps_per_epoch), and epochs=... says how often"
            )
        return self.plan.num_steps

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        end = "endless" if self.plan.num_steps is None else f"{self.plan.num_steps} batches"
        return (
            f"Batches({self.name}: {self.plan.num_examples} examples, {self.batch_size} at once, "
            f"{self.steps_per_epoch} batches an epoch, {end}, at batch {self._step})"
        )

    def __next__(self) -> Batch:
        if self.plan.num_steps is not None and self._step >= self.plan.num_steps:
            self.close()
            raise StopIteration
        index, weight = self.plan.rows(self._step)
        if isinstance(self._data, Mapping):
            batch = {name: values[index] for name, values in self._data.items()}
        else:
            batch = self._next_of_stream(self._data)
            planned, weight = weight, batch.pop("weight")
            self.num_skipped += int(np.sum(planned != weight))
        self._step += 1
        return {**batch, "weight": weight}

    def _next_of_stream(self, source: Source) -> Batch:
        if self._stream is None:
            self._stream = Stream(
                self.plan,
                source,
                self._corrupt,
                self._num_workers,
                start=self._step,
                name=self.name,
            )
        try:
            return dict(next(self._stream))
        except BaseException:
            self.close()  # the stream may have read past the failed batch: restart at that batch
            raise

    def describe(self) -> dict[str, Any]:
        """Returns the description of the data, which a run folder keeps; see `Dataset.describe`."""
        return self._describe()

    def get_state(self) -> dict[str, Any]:
        """Returns the position, and the values that the order depends on, as a JSON-able dict."""
        return {"step": self._step, "num_skipped": self.num_skipped, **self._identity()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to a position that `get_state` returned.

        Raises:
            ValueError: The state is not a position, or is one in other data or in another order.
        """
        own = self._identity()
        numbers = ("step", "num_skipped")
        if not isinstance(state, Mapping) or not all(
            type(state.get(name)) is int and state[name] >= 0 for name in numbers
        ):
            raise ValueError(
                f"a position in {self.name} has whole numbers {' and '.join(numbers)}, not {state}"
            )
        differing = [name for name in own if state.get(name) != own[name]]
        if differing:
            raise ValueError(
                f"the saved position does not fit {self.name}: "
                + ", ".join(f"{name} was {state.get(name)}, now {own[name]}" for name in differing)
            )
        self.close()
        self._step = state["step"]
        self.num_skipped = state["num_skipped"]

    def close(self) -> None:
        """Stops worker processes and threads; the next batch starts them again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _identity(self) -> dict[str, Any]:
        """Returns the values that a position depends on; the number of processes may change."""
        plan = dataclasses.asdict(self.plan)
        kept = ("num_examples", "batch_size", "seed", "shuffle", "drop_remainder")
        return {"data": self.name, **{name: plan[name] for name in kept}}
