"""The time of a step on a device that works while the host goes on."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax

Made = TypeVar("Made")


class Calls(NamedTuple):
    """A step that is ready to run.

    Attributes:
        call: Begins a step and need not wait for it.
        wait: Returns when all steps are done.
        compile_seconds: How long it took to trace and to compile it.
    """

    call: Callable[[], Any]
    wait: Callable[[], Any]
    compile_seconds: float


def compiled(step: Any, state: Any, batch: Any = None) -> Calls:
    """Compiles a step whose new state takes the place of the old one in memory.

    Args:
        step: `step(state, batch)` gives a state and metrics.
        state: Where it begins, on the device.
        batch: What every step is made on.

    Returns:
        The step. It has been run once.
    """
    batch = jax.device_put(batch)
    began = time.perf_counter()
    program = jax.jit(step, donate_argnums=0).lower(state, batch).compile()
    seconds = time.perf_counter() - began
    # Some fields of a fresh state may be the same array, which cannot be given away twice.
    latest = [jax.tree.map(lambda leaf: leaf.copy() if hasattr(leaf, "copy") else leaf, state)]

    def call() -> None:
        latest[0], _ = program(latest[0], batch)

    def wait() -> None:
        jax.block_until_ready(latest[0])

    call()
    wait()
    return Calls(call, wait, seconds)


def seconds_per_call(calls: Calls, *, toy: bool = False, windows: int = 5) -> float:
    """The time of a step: the median of several windows of many steps, waited for at their ends.

    Args:
        calls: The step.
        toy: Whether one step in a window is enough.
        windows: How many windows there are.

    Returns:
        Seconds.
    """

    def window(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            calls.call()
        calls.wait()
        return (time.perf_counter() - began) / count

    if toy:
        return window(1)
    window(3)  # warms up
    count = min(1000, math.ceil(0.5 / window(3)))
    return statistics.median(window(count) for _ in range(windows))


def of_largest(batches: Sequence[int], make: Callable[[int], Made]) -> tuple[int, Made]:
    """Tries batches until one fits into memory.

    Args:
        batches: Their sizes, the largest first.
        make: Makes something that needs the memory of a batch.

    Returns:
        The size that fits, and what was made.
    """
    for place, batch in enumerate(batches):
        try:
            return batch, make(batch)
        except Exception as error:  # JAX and torch have classes of their own for this
            full = "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
            if not full or place == len(batches) - 1:
                raise
            print(f"a batch of {batch} does not fit", flush=True)
    raise ValueError("there must be a batch")


def batches_for(kind_bytes: int | None, large: int) -> tuple[int, ...]:
    """Sizes of batches to try: the large one on a device of 60 GiB or more, else parts of it."""
    gib = 0 if kind_bytes is None else kind_bytes / 2**30
    share = 1 if gib >= 60 else 2 if gib >= 30 else 4 if gib >= 14 else 8
    return tuple(max(1, large // part) for part in (1, 2, 4, 8, 16) if part >= share)


def memory_of(device: Any) -> int | None:
    """Bytes of memory that a device says it has for programs; None where it says nothing."""
    stats = device.memory_stats() or {}
    limit = stats.get("bytes_limit")
    return None if limit is None else int(limit)
