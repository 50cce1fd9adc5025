"""Examples read as they are needed, by Grain's threads or worker processes."""

import dataclasses
import functools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxvision.data.errors import CorruptImageError
from jaxvision.data.plan import BatchPlan
from jaxvision.data.source import Corrupt, Example, Source, first_readable

THREADS = 4
"""Threads that read examples, in every worker or, without workers, in this process."""


class Stream(Iterator[dict[str, np.ndarray]]):
    """Batches of a plan from a given step on, with the weight among the arrays."""

    def __init__(
        self, plan: BatchPlan, source: Source, corrupt: Corrupt, num_workers: int, *, start: int
    ) -> None:
        """Starts threads or workers.

        Args:
            plan: Which examples each batch holds.
            source: Examples by index.
            corrupt: Whether an image that cannot be decoded stops, or becomes a row of weight 0.
            num_workers: Worker processes; 0 reads by threads.
            start: The step of the first batch.
        """
        import grain

        template = first_readable(source, corrupt, "the data") if corrupt == "skip" else None
        rows = _Rows(plan, source, start, template)
        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=2 * THREADS)
        # Batched before it is iterated: workers and threads then take whole batches in turn, and
        # the batches are the same however many there are.
        dataset = grain.MapDataset.source(rows).batch(plan.rows_per_process)
        dataset = dataset.to_iter_dataset(options)
        if num_workers:
            _let_grain_read_its_flags()
            dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_workers))
        self._iterator: Any = iter(dataset)

    def __next__(self) -> dict[str, np.ndarray]:
        # Copies, because a worker's arrays lie in shared memory that it wants back.
        return {name: np.array(values) for name, values in next(self._iterator).items()}

    def close(self) -> None:
        """Stops the threads or workers."""
        self._iterator.close()


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows that the batches of a plan need from a step on, one after the other."""

    plan: BatchPlan
    source: Source
    start: int
    template: Example | None

    def __len__(self) -> int:
        if self.plan.num_steps is None:
            return sys.maxsize
        return (self.plan.num_steps - self.start) * self.plan.rows_per_process

    def __getitem__(self, position: int) -> Example:
        step, row = divmod(int(position), self.plan.rows_per_process)
        index, weight = _rows(self.plan, self.start + step)
        try:
            example = self.source[int(index[row])]
        except CorruptImageError:
            if self.template is None:
                raise
            example, weight = self.template, np.zeros_like(weight)
        return {**example, "weight": weight[row]}


@functools.lru_cache(maxsize=64)
def _rows(plan: BatchPlan, step: int) -> tuple[np.ndarray, np.ndarray]:
    return plan.rows(step)


def _let_grain_read_its_flags() -> None:
    """Grain's workers read absl flags, which only absl's own `app.run` would have parsed."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
