"""An iterator over batches with a look-ahead, and with a position that can be saved."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxvision.data import Batches


class Peekable(Iterator[Any]):
    """An iterator with a look-ahead of one item, and a position that can be saved.

    Attributes:
        can_move: Whether it has a position that can be saved and restored.
        counts_steps: Whether the `step` of a position is the number of items taken.
    """

    def __init__(self, items: Any) -> None:
        """Wraps any iterable; lists and tuples have a position too."""
        self._items: Any = _Listed(items) if isinstance(items, list | tuple) else iter(items)
        self._ahead: list[Any] = []
        self.can_move = hasattr(self._items, "get_state") and hasattr(self._items, "set_state")
        self.counts_steps = isinstance(items, Batches)

    def position(self) -> Any:
        """Returns the position in the data, for `move`; None if there is none."""
        return self._items.get_state() if self.can_move else None

    def move(self, position: Any) -> None:
        """Goes to a saved position."""
        self._items.set_state(position)

    def peek(self) -> Any:
        """Returns the next item, or None at the end; take it before calling `position`."""
        if not self._ahead:
            self._ahead = list(itertools.islice(self._items, 1))
        return self._ahead[0] if self._ahead else None

    def __next__(self) -> Any:
        return self._ahead.pop() if self._ahead else next(self._items)


class _Listed(Iterator[Any]):
    """An iterator over a sequence, with a position."""

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
                f"the saved position {state!r} is not a position in a list of {len(self._items)} "
                "batches"
            )
        self._next = state["next"]
