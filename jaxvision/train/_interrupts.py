"""Signals that ask a run to stop between steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax


class Interrupts:
    """Remembers a signal that asks the run to stop; call `requested` between steps."""

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._asked = 0

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal by remembering it; a second one raises KeyboardInterrupt."""
        del frame
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = signal.Signals(number)

    def requested(self) -> signal.Signals | None:
        """Returns the signal, once all processes of the run can stop at this step, else None.

        A signal reaches processes at different steps, and JAX agrees on a common one. Every process
        must therefore call this equally often.
        """
        if jax.process_count() == 1:
            return self._signal
        from jax.experimental import multihost_utils

        self._asked += 1
        reached = multihost_utils.reached_preemption_sync_point(self._asked)
        return signal.SIGTERM if reached else None

    def heard(self) -> signal.Signals | None:
        """Returns the signal, if there are no other processes that must stop at the same step."""
        return self._signal if jax.process_count() == 1 else None

    def act(self) -> None:
        """Ends the program: by KeyboardInterrupt after SIGINT, else with status 0."""
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(0)


@contextlib.contextmanager
def listen(*, enabled: bool) -> Iterator[Interrupts]:
    """Handles SIGINT and SIGTERM inside the `with` block, if enabled and in the main thread."""
    interrupts = Interrupts()
    signals = [signal.SIGINT]
    if jax.process_count() == 1:  # else JAX itself handles SIGTERM
        signals.append(signal.SIGTERM)
    if not enabled or threading.current_thread() is not threading.main_thread():
        signals = []
    before = {number: signal.signal(number, interrupts.hear) for number in signals}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
