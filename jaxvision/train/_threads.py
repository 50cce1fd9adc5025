"""Waiting for threads of a library that offers no way to join them."""

import threading
import time
from collections.abc import Collection


def wait_for_others(before: Collection[threading.Thread], seconds: float = 5.0) -> None:
    """Waits, at most `seconds` in all, for threads that are not in `before`.

    >>> before = threading.enumerate()
    >>> threading.Thread(target=time.sleep, args=(0.01,)).start()
    >>> wait_for_others(before)
    >>> threading.enumerate() == before
    True
    """
    end = time.monotonic() + seconds
    for thread in {*threading.enumerate()} - {*before, threading.current_thread()}:
        thread.join(max(0.0, end - time.monotonic()))
