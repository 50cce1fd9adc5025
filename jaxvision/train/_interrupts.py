"""Signals that ask a run to stop, heard between steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import jax


class Interrupts:
    """Whether somebody wants the run to stop; ask `requested` between steps."""

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._asked = 0

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Notes a signal; a second one acts at once.

        Args:
            number: The signal.
            frame: Not used.
        """
        del frame
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = signal.Signals(number)

    def requested(self) -> signal.Signals | None:
        """The signal that came, if all processes of the run can act on it now.

        Several processes hear it at different steps, and must stop at the same one: JAX agrees on
        it for them. All have to ask equally often.

        Returns:
            The signal, or None to go on.
        """
        if jax.process_count() == 1:
            return self._signal
        from jax.experimental import multihost_utils

        self._asked += 1
        reached = multihost_utils.reached_preemption_sync_point(self._asked)
        return signal.SIGTERM if reached else None

    def heard(self) -> signal.Signals | None:
        """The signal that came, where this process need not agree with others on it.

        Returns:
            The signal; None if there is none, or there are other processes.
        """
        return self._signal if jax.process_count() == 1 else None

    def act(self) -> None:
        """Ends the program as the signal asks.

        Raises:
            SystemExit: With status 0, on SIGTERM.
            KeyboardInterrupt: On SIGINT.
        """
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(0)


@contextlib.contextmanager
def listen(*, enabled: bool) -> Iterator[Interrupts]:
    """Hears SIGTERM and SIGINT in place of the usual handlers.

    Args:
        enabled: Whether to; only the main thread can.

    Yields:
        What to ask between steps.
    """
    interrupts = Interrupts()
    signals = [signal.SIGINT]
    if jax.process_count() == 1:  # else JAX itself hears SIGTERM
        signals.append(signal.SIGTERM)
    if not enabled or threading.current_thread() is not threading.main_thread():
        signals = []
    before = {number: signal.signal(number, interrupts.hear) for number in signals}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
