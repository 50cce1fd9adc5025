"""Prepares the next items in a thread while the current one is used."""

import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

PATIENCE = 10.0
"""Seconds that `Prefetch.close` waits for its thread, which may itself be waiting for data."""


class Prefetch(Iterator[U], Generic[T, U]):
    """Draws items ahead in a thread, and applies a function to each.

    An error in the thread is raised in place of its item. If not all items are taken, call `close`
    or use a `with` block: both wait up to `PATIENCE` seconds for the thread, which cannot be ended
    while it waits for an item. Otherwise the thread ends some time after the last reference is
    gone.

    >>> with Prefetch(range(3), lambda number: number * 10) as items:
    ...     list(items)
    [0, 10, 20]
    """

    def __init__(
        self,
        items: Iterable[T],
        apply: Callable[[T], U],
        *,
        size: int = 2,
        while_waiting: Callable[[], object] | None = None,
    ) -> None:
        """Starts the thread.

        Args:
            items: Iterable such as `Dataset.batches(...)`; from now on, only the thread may use it.
            apply: Function that prepares an item, such as `ParallelStep.place_batch`, which starts
                the copy to the devices.
            size: Number of items to hold ready.
            while_waiting: Function called several times a second while waiting for an item; its
                exceptions propagate.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self._queue: queue.Queue[tuple[str, object]] = queue.Queue(maxsize=size)
        self._stop = threading.Event()
        self._finished = False
        self._while_waiting = while_waiting
        weakref.finalize(self, self._stop.set)
        # A method would hold on to this object, which would then never become garbage.
        self._thread = threading.Thread(
            target=_produce,
            args=(items, apply, self._queue, self._stop),
            name="prefetch",
            daemon=True,
        )
        self._thread.start()

    def __next__(self) -> U:
        if self._finished:
            raise StopIteration
        kind, value = self._get()
        if kind == "item":
            return value  # type: ignore[return-value]
        self._finished = True
        if isinstance(value, BaseException):
            raise value
        raise StopIteration

    def _get(self) -> tuple[str, object]:
        while True:
            try:
                return self._queue.get(timeout=None if self._while_waiting is None else 0.2)
            except queue.Empty:
                assert self._while_waiting is not None
                self._while_waiting()

    def close(self) -> None:
        """Ends the thread and drops the prepared items."""
        self._finished = True
        self._stop.set()
        end = time.monotonic() + PATIENCE
        while self._thread.is_alive() and time.monotonic() < end:
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                continue

    def __enter__(self) -> "Prefetch[T, U]":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _produce(
    items: Iterable[T], apply: Callable[[T], U], ready: queue.Queue, stop: threading.Event
) -> None:
    try:
        for item in items:
            if stop.is_set():
                return
            _put(ready, stop, "item", apply(item))
        _put(ready, stop, "end", None)
    except BaseException as error:  # `Prefetch.__next__` raises it again
        _put(ready, stop, "error", error)


def _put(ready: queue.Queue, stop: threading.Event, kind: str, value: object) -> None:
    while not stop.is_set():
        try:
            ready.put((kind, value), timeout=0.1)
        except queue.Full:
            continue
        return
