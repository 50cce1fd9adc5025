"""Batches on their way to the devices."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxvision.data import Batches, Prefetch
from jaxvision.train.intervals import Intervals
from jaxvision.train.parallel import ParallelStep

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What one program takes.

    Attributes:
        batches: A batch on the devices, several stacked ones, or None.
        count: How many steps that makes.
        position: The position in the data after them, or None if it cannot be told.
    """

    batches: PyTree
    count: int
    position: Any


@contextlib.contextmanager
def feed(
    parallel: ParallelStep,
    iterator: Iterator[Any] | None,
    intervals: Intervals,
    *,
    start: int,
    fuse: int,
    while_waiting: Callable[[], object] | None = None,
) -> Iterator[Iterator[Chunk]]:
    """Draws batches in a thread and starts their copy to the devices ahead of their use.

    Args:
        parallel: The step that takes them.
        iterator: Where they come from; None gives None.
        intervals: When the run stops for something else: chunks end there.
        start: The step of the first.
        fuse: The most steps of one chunk.
        while_waiting: See `Prefetch`.

    Yields:
        An iterator over chunks, that ends with the last step or the data.
    """
    if iterator is None:
        steps = range(start, intervals.num_steps or 0)
        yield (Chunk(None, 1, None) for _ in steps)
        return

    def place(drawn: tuple[list[Any], Any]) -> Chunk:
        batches, position = drawn
        if fuse == 1:
            return Chunk(parallel.place_batch(batches[0]), 1, position)
        # Always as many as the program was compiled for; it runs only those that count.
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


def _draw(
    iterator: Iterator[Any], intervals: Intervals, step: int, fuse: int
) -> Iterator[tuple[list[Any], Any]]:
    """Host batches up to the next stop, and the position in the data after them."""
    position = getattr(iterator, "get_state", lambda: None)
    while intervals.num_steps is None or step < intervals.num_steps:
        batches = list(itertools.islice(iterator, intervals.next_stop(step, fuse) - step))
        if not batches:
            return
        step += len(batches)
        yield batches, position()


class Peekable(Iterator[Any]):
    """An iterator whose first item can be looked at; its position counts only what was taken.

    Attributes:
        counts_steps: Whether the `step` of a position counts the items taken.
    """

    def __init__(self, items: Any) -> None:
        """Wraps an iterator.

        Args:
            items: Any iterable; of a list or tuple the position is known too.
        """
        self._items = _Listed(items) if isinstance(items, list | tuple) else iter(items)
        self._ahead: list[Any] = []
        self.counts_steps = isinstance(items, Batches)
        for name in ("get_state", "set_state"):
            if hasattr(self._items, name):
                setattr(self, name, getattr(self._items, name))

    def peek(self) -> Any:
        """Looks at the next item. Take it before the position is asked for.

        Returns:
            The item, or None at the end.
        """
        if not self._ahead:
            self._ahead = list(itertools.islice(self._items, 1))
        return self._ahead[0] if self._ahead else None

    def __next__(self) -> Any:
        return self._ahead.pop() if self._ahead else next(self._items)


class _Listed(Iterator[Any]):
    """Goes through a sequence, and can be put back to a place in it."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self._next = 0

    def __next__(self) -> Any:
        if self._next >= len(self._items):
            raise StopIteration
        self._next += 1
        return self._items[self._next - 1]

    def get_state(self) -> dict[str, int]:
        return {"next": self._next}

    def set_state(self, state: Mapping[str, int]) -> None:
        if not isinstance(state, Mapping) or not 0 <= state.get("next", -1) <= len(self._items):
            raise ValueError(
                f"the saved position {state!r} is none in a list of {len(self._items)} batches"
            )
        self._next = state["next"]
