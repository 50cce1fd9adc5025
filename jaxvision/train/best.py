"""Selection of the best state of a run, by a metric of an evaluation."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Best:
    """A criterion for the best state of a run; made by `highest` and `lowest`.

    Attributes:
        metric: The name of the metric.
        of: The name of the evaluation; None considers every evaluation that has the metric.
        highest: Whether a higher value is better.
    """

    metric: str
    of: str | None
    highest: bool

    def step(self, history: Iterable[Mapping[str, Any]]) -> int | None:
        """Returns the step of the best state so far, the first of equal ones.

        Args:
            history: Lines of the log, as `FitResult.history` holds them.

        Returns:
            The step; None if the metric was never measured, or was always NaN.

        >>> lines = [{"step": step, "split": "test", "loss": loss}
        ...          for step, loss in ((1, 0.5), (2, 0.25), (3, math.nan))]
        >>> lowest("loss").step(lines)
        2
        """
        best: tuple[float, int] | None = None
        for line in self._measured(history):
            value = line[self.metric] if self.highest else -line[self.metric]
            if not math.isnan(value) and (best is None or value > best[0]):
                best = value, line["step"]
        return None if best is None else best[1]

    def evaluations_since(self, history: Sequence[Mapping[str, Any]]) -> int:
        """Counts the evaluations after the best one; all of them if the metric was always NaN.

        >>> lines = [{"step": step, "split": "test", "loss": loss}
        ...          for step, loss in ((1, 0.5), (2, 0.25), (3, math.nan), (4, 0.25))]
        >>> lowest("loss").evaluations_since(lines)
        2
        """
        best = self.step(history) or 0
        return len({line["step"] for line in self._measured(history) if line["step"] > best})

    def _measured(self, history: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The lines of evaluations that have the metric."""
        for line in history:
            is_asked = line["split"] != "train" and self.of in (None, line["split"])
            if is_asked and self.metric in line:
                yield line

    def check(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Raises an error if evaluations were made and none of them has the metric.

        Args:
            history: Lines of the log, after an evaluation.

        Raises:
            ValueError: No evaluation has the metric.
        """
        measured: dict[str, list[str]] = {}
        for line in history:
            if line["split"] != "train" and self.of in (None, line["split"]):
                names = [name for name in line if name not in ("step", "split")]
                measured[line["split"]] = names
        if measured and not any(self.metric in names for names in measured.values()):
            known = "; ".join(f"{split} has {', '.join(n)}" for split, n in measured.items())
            raise ValueError(f"keep_best names {self.metric!r}, which is not measured: {known}")

    def describe(self) -> dict[str, Any]:
        """Returns a JSON-able dict for the record of a run: `Best(**best.describe()) == best`."""
        return dataclasses.asdict(self)


def highest(metric: str, *, of: str | None = None) -> Best:
    """Selects the state with the highest value of a metric, for `fit(..., keep_best=...)`.

    Args:
        metric: The name of the metric, such as `"accuracy"`.
        of: The name of the evaluation; None considers every evaluation that has the metric.

    >>> highest("mean_iou", of="validation").highest
    True
    """
    return Best(metric, of, highest=True)


def lowest(metric: str, *, of: str | None = None) -> Best:
    """Selects the state with the lowest value of a metric, for `fit(..., keep_best=...)`.

    Args:
        metric: The name of the metric, such as `"loss"`.
        of: The name of the evaluation; None considers every evaluation that has the metric.

    >>> lowest("loss").highest
    False
    """
    return Best(metric, of, highest=False)
