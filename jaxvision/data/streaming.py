"""Examples read as they are needed, by Grain's threads or worker processes."""

import dataclasses
import gc
import multiprocessing
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxvision.data.errors import CorruptImageError
from jaxvision.data.plan import BatchPlan
from jaxvision.data.source import Corrupt, Example, Source, first_readable, stack

THREADS = 4
"""Threads that read batches, one each, where there are no workers."""

THREADS_PER_WORKER = 2
"""Threads in every worker: one decodes while the other waits for the disk."""


_MAIN = (
    "If a worker ended at once: every worker imports the script that runs, which therefore has to "
    'begin its work under `if __name__ == "__main__":`.'
)


class Stream(Iterator[dict[str, np.ndarray]]):
    """Batches of a plan from a given step on, with the weight among the arrays."""

    def __init__(
        self,
        plan: BatchPlan,
        source: Source,
        corrupt: Corrupt,
        num_workers: int,
        *,
        start: int,
        name: str,
    ) -> None:
        """Starts threads or workers.

        Args:
            plan: Which examples each batch holds.
            source: Examples by index.
            corrupt: Whether an image that cannot be decoded stops, or becomes a row of weight 0.
            num_workers: Worker processes; 0 reads by threads.
            start: The step of the first batch.
            name: What to call the data in errors.
        """
        import grain

        template = first_readable(source, corrupt, name) if corrupt == "skip" else None
        batches = _Batches(plan, source, start, template, name)
        # A thread or worker takes whole batches in turn, so that the batches are the same however
        # many there are.
        threads = THREADS_PER_WORKER if num_workers else THREADS
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        dataset = grain.MapDataset.source(batches).to_iter_dataset(options)
        if num_workers:
            _let_grain_read_its_flags()
            workers = grain.MultiprocessingOptions(num_workers=num_workers)
            dataset = dataset.mp_prefetch(workers, worker_init_fn=_end_with_parent)
        self._iterators: list[Any] = [iter(dataset)]
        self._has_workers = num_workers > 0
        # Also when nobody closes this: Grain's own clean-up fails while the interpreter shuts down.
        self._stop = weakref.finalize(self, _close, self._iterators, self._has_workers)

    def __next__(self) -> dict[str, np.ndarray]:
        try:
            batch = next(self._iterators[0])
        except RuntimeError as error:
            if self._has_workers:
                error.add_note(_MAIN)
            raise
        if not self._has_workers:
            return batch
        # Copies, because a worker wants its memory back.
        return {name: np.array(values) for name, values in batch.items()}

    def close(self) -> None:
        """Stops the threads or workers."""
        self._stop()


def _end_with_parent(index: int, count: int) -> None:
    """In a worker: ends it when the process that started it is gone, as after SIGKILL."""
    del index, count
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()


def _close(iterators: list[Any], has_workers: bool) -> None:
    """Closes Grain's iterator, and lets go of all that hangs on it."""
    iterators.pop().close()
    if has_workers:
        # It hangs together in cycles, semaphores among it. Were they collected later, while
        # Python's resource tracker happens to be at work, Python 3.12 would call that an error.
        gc.collect()


@dataclasses.dataclass(frozen=True)
class _Batches:
    """The batches of a plan by index, from a step on."""

    plan: BatchPlan
    source: Source
    start: int
    template: Example | None
    name: str

    def __len__(self) -> int:
        return sys.maxsize if self.plan.num_steps is None else self.plan.num_steps - self.start

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        rows, weight = self.plan.rows(self.start + position)
        examples = []
        for row, index in enumerate(rows.tolist()):
            try:
                examples.append(self.source[index])
            except CorruptImageError:
                if self.template is None:
                    raise
                examples.append(self.template)
                weight[row] = 0
        return {**stack(examples, self.name), "weight": weight}


def _let_grain_read_its_flags() -> None:
    """Grain's workers read absl flags, which only absl's own `app.run` would have parsed."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
