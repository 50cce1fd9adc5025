"""Accumulation of training metrics between two log lines."""

import collections
from typing import Any

import jax
import numpy as np

from jaxvision.train.protocols import check_metrics

Sums = dict[str, list[float]]


class NonFiniteLossError(FloatingPointError):
    """A loss became NaN or infinite; the message names the step and the last good checkpoint.

    Attributes:
        batch: The batch of that step, if known.
    """

    batch: Any = None


class MetricAccumulator:
    """Adds up metrics without making the devices wait for Python.

    Its methods raise NonFiniteLossError once a step's loss turns out not to be finite.
    """

    def __init__(self, sums: Sums | None = None) -> None:
        """Starts at zero, or at the totals and counts that a checkpoint kept."""
        self._sums: Sums = dict(sums or {})
        self._pending: collections.deque[tuple[int, int, Any, Any]] = collections.deque()

    def add(self, first: int, count: int, metrics: Any, batches: Any = None) -> None:
        """Adds the metrics of `count` steps after step `first`, in a program that may still run."""
        self._pending.append((first, count, metrics, batches))
        # One program runs and one waits: more would only take memory.
        while len(self._pending) > 2:
            self._take()

    def sums(self) -> Sums:
        """Waits for all steps, and returns totals and counts by name, JSON-able."""
        while self._pending:
            self._take()
        return {name: list(pair) for name, pair in self._sums.items()}

    def flush(self) -> dict[str, float]:
        """Waits for all steps, and starts again at zero; returns the means of what was counted."""
        sums = self.sums()
        self._sums = {}
        return {name: total / count for name, (total, count) in sums.items() if count}

    def _take(self) -> None:
        first, count, metrics, batches = self._pending.popleft()
        check_metrics(metrics)
        taken = {
            name: [np.asarray(sums, np.float64).reshape(-1)[:count] for sums in pair]
            for name, pair in metrics.items()
        }
        for index in range(count):  # step by step, to name the first one that is not finite
            for name, (totals, _) in taken.items():
                if "loss" in name and not np.isfinite(totals[index]):
                    error = NonFiniteLossError(
                        f"{name} is {totals[index]} at step {first + index + 1}"
                    )
                    error.batch = _batch(batches, index, stacked=_is_stacked(metrics))
                    raise error
        for name, (totals, counts) in taken.items():
            # One after the other, so that the sum does not depend on how steps were fused.
            total, weight = self._sums.get(name, [0.0, 0.0])
            for more, and_more in zip(totals.tolist(), counts.tolist(), strict=True):
                total, weight = total + more, weight + and_more
            self._sums[name] = [total, weight]


def _is_stacked(metrics: Any) -> bool:
    return any(np.ndim(sums) for pair in metrics.values() for sums in pair)


def _batch(batches: Any, index: int, *, stacked: bool) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], batches) if stacked else batches
