"""Drawing of batches, and their copy to the devices."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxvision.data import Prefetch
from jaxvision.train._intervals import Intervals
from jaxvision.train._peekable import Peekable
from jaxvision.train.parallel import ParallelStep

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Chunk:
    """The batches of one program.

    Attributes:
        batches: A batch on the devices, several stacked ones, or None.
        count: The number of steps.
        position: The position in the data after these steps; None if unknown.
    """

    batches: PyTree
    count: int
    position: Any


@contextlib.contextmanager
def feed(
    parallel: ParallelStep,
    iterator: Peekable | None,
    intervals: Intervals,
    *,
    start: int,
    fuse: int,
    while_waiting: Callable[[], object] | None = None,
) -> Iterator[Iterator[Chunk]]:
    """Draws batches in a thread, and copies them to the devices ahead of their use.

    Yields an iterator over chunks of at most `fuse` steps, which end at the intervals. If
    `iterator` is None, each chunk holds the constant batch of the step, or None.
    """
    if iterator is None:
        batch = None
        if parallel.constant is not None:
            batch = parallel.place_batch(parallel.constant.batch)
        yield (Chunk(batch, count, None) for count in _counts(intervals, start, fuse))
        return

    def place(drawn: tuple[list[Any], Any]) -> Chunk:
        batches, position = drawn
        if fuse == 1:
            return Chunk(parallel.place_batch(batches[0]), 1, position)
        # Filled up to the number that the program was compiled for; it skips the copies.
        filled = batches + [batches[-1]] * (fuse - len(batches))
        try:
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *filled)
        except ValueError as error:
            raise ValueError(
                "steps can be fused only over batches of one structure and shape: fill the last "
                "batch up with rows of weight 0, as Dataset.batches does, or give fit "
                f"fuse_steps=1 ({error})"
            ) from error
        return Chunk(parallel.place_batch(stacked, stacked=True), len(batches), position)

    drawn = _draw(iterator, intervals, start, fuse)
    with Prefetch(drawn, place, while_waiting=while_waiting) as chunks:
        yield chunks


def _counts(intervals: Intervals, step: int, fuse: int) -> Iterator[int]:
    """The lengths of chunks from `step` to the end."""
    while step < (intervals.num_steps or 0):
        stop = intervals.next_stop(step, fuse)
        yield stop - step
        step = stop


def _draw(
    iterator: Peekable, intervals: Intervals, step: int, fuse: int
) -> Iterator[tuple[list[Any], Any]]:
    """Batches on the host up to the next stop, and the position in the data after them."""
    while intervals.num_steps is None or step < intervals.num_steps:
        batches = list(itertools.islice(iterator, intervals.next_stop(step, fuse) - step))
        if not batches:
            return
        step += len(batches)
        yield batches, iterator.position()
