"""Streams batches of examples, read when needed by Grain's threads or worker processes."""

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
"""Number of threads, each reading whole batches, without workers."""

THREADS_PER_WORKER = 2
"""Number of threads per worker: one decodes while the other waits for the disk."""


_MAIN = (
    "If a worker ended at once: every worker imports the script that runs, which therefore has to "
    'begin its work under `if __name__ == "__main__":`.'
)


class Stream(Iterator[dict[str, np.ndarray]]):
    """Iterator over the batches of a plan from a given step, with the weight among the arrays."""

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
        """Starts threads or workers; with "skip", corrupt images become rows of weight 0."""
        import grain

        template = first_readable(source, corrupt, name) if corrupt == "skip" else None
        batches = _Batches(plan, source, start, template, name)
        # Threads and workers take whole batches in turn: their number does not change the batches.
        threads = THREADS_PER_WORKER if num_workers else THREADS
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        dataset = grain.MapDataset.source(batches).to_iter_dataset(options)
        if num_workers:
            _let_grain_read_its_flags()
            workers = grain.MultiprocessingOptions(num_workers=num_workers)
            dataset = dataset.mp_prefetch(workers, worker_init_fn=_end_with_parent)
        self._iterators: list[Any] = [iter(dataset)]
        self._has_workers = num_workers > 0
        # This closes forgotten streams: Grain's own clean-up fails while the interpreter exits.
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
        # Copies, because the worker reuses its memory.
        return {name: np.array(values) for name, values in batch.items()}

    def close(self) -> None:
        """Stops the threads or workers."""
        self._stop()


def _end_with_parent(index: int, count: int) -> None:
    """Ends a worker when its parent process is gone, for example after SIGKILL."""
    del index, count
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()


def _close(iterators: list[Any], has_workers: bool) -> None:
    """Closes Grain's iterator and frees its objects."""
    iterators.pop().close()
    if has_workers:
        # They form cycles that hold semaphores. If these were collected later, while Python's
        # resource tracker is at work, Python 3.12 would raise an error.
        gc.collect()


@dataclasses.dataclass(frozen=True)
class _Batches:
    """Batches of a plan by index, counted from `start`."""

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
    """Marks absl's flags as parsed, because Grain's workers read them."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
