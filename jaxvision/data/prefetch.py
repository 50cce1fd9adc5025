"""The next items made ready while the current one is used."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Prefetch(Iterator[U], Generic[T, U]):
    """Draws items in a thread, some ahead, and applies a function to each.

    An error in the thread is raised where the item would have come. Close it, or use it in a
    `with`, so that the thread ends when not all items are taken.
    """

    def __init__(self, items: Iterable[T], apply: Callable[[T], U], *, size: int = 2) -> None:
        """Starts the thread.

        Args:
            items: Where the items come from; only the thread touches it from now on.
            apply: For example `ParallelStep.place_batch`, which starts the copy to the devices.
            size: How many items to hold ready.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self._queue: queue.Queue[tuple[str, object]] = queue.Queue(maxsize=size)
        self._stop = threading.Event()
        self._finished = False
        self._thread = threading.Thread(
            target=self._run, args=(items, apply), name="prefetch", daemon=True
        )
        self._thread.start()

    def __next__(self) -> U:
        if self._finished:
            raise StopIteration
        kind, value = self._queue.get()
        if kind == "item":
            return value  # type: ignore[return-value]
        self._finished = True
        if isinstance(value, BaseException):
            raise value
        raise StopIteration

    def close(self) -> None:
        """Ends the thread; items that it holds ready are dropped."""
        self._finished = True
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                continue

    def __enter__(self) -> "Prefetch[T, U]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, items: Iterable[T], apply: Callable[[T], U]) -> None:
        try:
            for item in items:
                if self._stop.is_set():
                    return
                self._put("item", apply(item))
            self._put("end", None)
        except BaseException as error:  # it is raised again in the other thread
            self._put("error", error)

    def _put(self, kind: str, value: object) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put((kind, value), timeout=0.1)
            except queue.Full:
                continue
            return


def prefetch(items: Iterable[T], apply: Callable[[T], U], *, size: int = 2) -> Prefetch[T, U]:
    """Makes the next items ready in a thread while the current one is used.

    Args:
        items: Where the items come from, such as `Dataset.batches(...)`.
        apply: What makes an item ready, such as `ParallelStep.place_batch`.
        size: How many items to hold ready.

    Returns:
        An iterator over what `apply` returned; close it when not all is taken.

    >>> with prefetch(range(3), lambda number: number * 10) as items:
    ...     list(items)
    [0, 10, 20]
    """
    return Prefetch(items, apply, size=size)
