"""The next items made ready while the current one is used."""

import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

PATIENCE = 10.0
"""How many seconds `Prefetch.close` waits for its thread, which may be waiting for the data."""


class Prefetch(Iterator[U], Generic[T, U]):
    """Draws items in a thread, some ahead, and applies a function to each.

    An error in the thread is raised where the item would have come. Close it, or use it in a
    `with`, when not all items are taken: that waits for the thread to end, for `PATIENCE` seconds
    at most, because nothing can end it while it waits for an item. Otherwise the thread ends some
    time after the last reference has gone.

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
            items: Where the items come from, such as `Dataset.batches(...)`; only the thread
                touches it from now on.
            apply: What makes an item ready, such as `ParallelStep.place_batch`, which starts the
                copy to the devices.
            size: How many items to hold ready.
            while_waiting: Called several times a second while an item is waited for; what it raises
                is raised there.
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
        """Ends the thread; items that it holds ready are dropped."""
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
    except BaseException as error:  # it is raised again in the other thread
        _put(ready, stop, "error", error)


def _put(ready: queue.Queue, stop: threading.Event, kind: str, value: object) -> None:
    while not stop.is_set():
        try:
            ready.put((kind, value), timeout=0.1)
        except queue.Full:
            continue
        return
