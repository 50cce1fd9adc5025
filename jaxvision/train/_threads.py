"""Threads that a library starts and does not say how to wait for."""

import threading
import time
from collections.abc import Collection


def wait_for_others(before: Collection[threading.Thread], seconds: float = 5.0) -> None:
    """Waits for threads that were started since, but not for long.

    Args:
        before: The threads that were there before.
        seconds: How long to wait for all of them together.

    >>> before = threading.enumerate()
    >>> threading.Thread(target=time.sleep, args=(0.01,)).start()
    >>> wait_for_others(before)
    >>> threading.enumerate() == before
    True
    """
    end = time.monotonic() + seconds
    for thread in {*threading.enumerate()} - {*before, threading.current_thread()}:
        thread.join(max(0.0, end - time.monotonic()))
