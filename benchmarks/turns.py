"""How contenders are timed: in turns, because the machine may do other work meanwhile."""

import time
from collections.abc import Callable, Mapping
from typing import Any


def all_seconds(runs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Times functions in turns.

    Every other round goes backwards: the threads of some libraries, torch's among them, wait
    busily for a while after their work, and slow down whoever always comes next.

    Args:
        runs: Functions that return when their work is done, by name.
        rounds: How often each is called.

    Returns:
        The times of each, in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for _ in range(rounds):
        for name in order:
            start = time.perf_counter()
            runs[name]()
            times[name].append(time.perf_counter() - start)
        order.reverse()
    return times


def least_seconds(runs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Times functions in turns.

    Args:
        runs: Functions that return when their work is done, by name.
        rounds: How often each is called.

    Returns:
        The least time of each, in seconds.
    """
    return {name: min(times) for name, times in all_seconds(runs, rounds).items()}
