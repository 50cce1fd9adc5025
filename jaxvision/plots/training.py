"""Learning curves: metrics over training steps."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from jaxvision import metrics
from jaxvision.plots import _style

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

History = Sequence[Mapping[str, Any]]
"""Log of a run, as `fit` returns it: lines with a `step`, a `split` and metrics."""

_NOT_METRICS = ("step", "split", "steps_per_second")
_MARKERS = "os^Dv"
_MOST_COLUMNS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class _Curve:
    """One metric of one split, by increasing step; NaN where it is not finite."""

    steps: Float64[np.ndarray, "points"]
    values: Float64[np.ndarray, "points"]


_Curves = dict[str, dict[str, _Curve]]
"""Curves by metric, then by split."""


def learning_curves(
    history: History, *, title: str | None = None, x: str = "training step", log: bool = False
) -> "matplotlib.figure.Figure":
    """Draws every metric of a run over its steps, in one panel each.

    The training split is a thin gray line, other splits are colored and have markers. The loss
    comes first; speed is left out. The axis of a loss (a metric with `loss` in its name) is
    logarithmic if its values are positive and span more than a factor of ten.

    Args:
        history: Lines with `step`, `split` and metrics, which may differ between lines. Values that
            are NaN, infinite or None leave a gap.
        title: Title of the figure.
        x: Label of the step axis.
        log: Whether other metrics get logarithmic axes too, under the same condition.

    Raises:
        ValueError: There are no lines, a line lacks its step or split, or none has a metric.
        ImportError: Matplotlib is not installed.

    >>> history = [
    ...     {"step": 100, "split": "train", "loss": 0.7, "steps_per_second": 50.0},
    ...     {"step": 200, "split": "train", "loss": 0.3, "steps_per_second": 50.0},
    ...     {"step": 200, "split": "test", "loss": 0.4, "accuracy": 0.9},
    ... ]
    >>> [axes.get_ylabel() for axes in learning_curves(history).axes]
    ['loss', 'accuracy']
    """
    curves = _curves_of(history, "history")
    styles = _styles([curves])
    figure, panels = _panels(curves, title, x)
    for name, axes in panels.items():
        for split, curve in curves[name].items():
            if split == "train":
                _draw_thin(axes, curve, _style.QUIET, label=split)
            else:
                _draw_marked(axes, curve, *styles[split], label=split)
        _scale(axes, _floor(log or "loss" in name, curves[name].values()))
        _label_constant(axes, curves[name].values())
    _style.legend(figure, panels.values())
    return figure


def learning_curves_by_seed(
    histories: Sequence[History], *, title: str | None = None, x: str = "training step"
) -> "matplotlib.figure.Figure":
    """Draws runs that differ only in their seed, with their mean.

    Each run is a thin line. A thick line is the mean over the runs, and a band its 95% t interval,
    at the steps that all runs have; both have gaps where a run has NaN. They are drawn for all
    splits but `train`, or for `train` if it is the only one. A single run is drawn as by
    `learning_curves`, whose panels and axes are used for several runs too. Axes fit the runs, and
    cut off a band that is much wider, such as that of two seeds.

    Args:
        histories: One history per seed, as for `learning_curves`.
        title: Title of the figure.
        x: Label of the step axis.

    Raises:
        ValueError: There is no history, or `learning_curves` rejects one.
        ImportError: Matplotlib is not installed.

    >>> histories = [
    ...     [{"step": 100, "split": "test", "accuracy": value}] for value in (0.91, 0.93, 0.92)
    ... ]
    >>> figure = learning_curves_by_seed(histories)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['test, each seed', 'test, mean of 3 seeds', 'test, 95% interval of the mean']
    """
    if len(histories) == 0:
        raise ValueError("histories is empty: at least one run is needed")
    runs = [_curves_of(history, f"histories[{seed}]") for seed, history in enumerate(histories)]
    if len(runs) == 1:
        return learning_curves(histories[0], title=title, x=x)
    styles = _styles(runs)
    summarized = [split for split in styles if split != "train"] or ["train"]
    names = dict.fromkeys(name for run in runs for name in run)
    figure, panels = _panels(names, title, x)
    for name, axes in panels.items():
        all_curves = [curve for run in runs for curve in run.get(name, {}).values()]
        floor = _floor("loss" in name, all_curves)
        for split, (color, marker) in styles.items():
            curves = [run[name][split] for run in runs if split in run.get(name, {})]
            for curve in curves:
                _draw_thin(
                    axes, curve, color, label=f"{split}, each seed", faint=split in summarized
                )
            if split in summarized and len(curves) == len(runs):
                _draw_mean(axes, curves, color, marker, split, floor)
        _scale(axes, floor)
        _keep_to(axes, all_curves)
    _style.legend(figure, panels.values())
    return figure


def _curves_of(history: History, name: str) -> _Curves:
    if len(history) == 0:
        raise ValueError(f"{name} is empty: the run has logged nothing")
    points: dict[str, dict[str, dict[float, float]]] = {}
    for index, line in enumerate(history):
        if "step" not in line or "split" not in line:
            raise ValueError(f"{name}[{index}] needs 'step' and 'split', got {sorted(line)}")
        for metric in line:
            if metric not in _NOT_METRICS:
                value = math.nan if line[metric] is None else float(line[metric])
                by_step = points.setdefault(metric, {}).setdefault(str(line["split"]), {})
                by_step[float(line["step"])] = value if math.isfinite(value) else math.nan
    if not points:
        raise ValueError(f"{name} has no metric besides {', '.join(_NOT_METRICS)}")
    return {
        metric: {split: _sorted(by_step) for split, by_step in splits.items()}
        for metric, splits in sorted(points.items(), key=lambda item: item[0] != "loss")
    }


def _sorted(by_step: Mapping[float, float]) -> _Curve:
    steps, values = zip(*sorted(by_step.items()), strict=True)
    return _Curve(np.array(steps), np.array(values))


def _styles(runs: Iterable[_Curves]) -> dict[str, tuple[str, str]]:
    """Color and marker of each split, the same in all panels; `train` comes first."""
    splits = dict.fromkeys(split for run in runs for panel in run.values() for split in panel)
    others = [split for split in splits if split != "train"]
    styles = {"train": (_style.QUIET, "o")} if "train" in splits else {}
    for index, split in enumerate(others):
        color = _style.PALETTE[index % len(_style.PALETTE)]
        styles[split] = color, _MARKERS[index % len(_MARKERS)]
    return styles


def _panels(
    names: Iterable[str], title: str | None, x: str
) -> tuple["matplotlib.figure.Figure", dict[str, "matplotlib.axes.Axes"]]:
    names = list(names)
    rows = math.ceil(len(names) / _MOST_COLUMNS)
    columns = math.ceil(len(names) / rows)
    figure = _style.new_figure(max(4.5, 3.8 * columns), 3.0 * rows + 0.5, title)
    panels = {}
    for index, name in enumerate(names):
        panels[name] = axes = figure.add_subplot(rows, columns, index + 1)
        _style.dress(axes, x=x, y=name.replace("_", " "), grid=True)
    return figure, panels


def _draw_thin(
    axes: "matplotlib.axes.Axes", curve: _Curve, color: str, *, label: str, faint: bool = False
) -> None:
    # A point between two gaps gets a marker, because it has no line.
    finite = np.pad(np.isfinite(curve.values), 1)
    alone = finite[1:-1] & ~finite[:-2] & ~finite[2:]
    axes.plot(
        curve.steps,
        curve.values,
        color=color,
        linewidth=0.9,
        linestyle="-",
        alpha=0.45 if faint else 1.0,
        marker="." if alone.any() else "None",
        markevery=alone,
        label=label,
    )


def _draw_marked(
    axes: "matplotlib.axes.Axes", curve: _Curve, color: str, marker: str, *, label: str
) -> None:
    axes.plot(
        curve.steps,
        curve.values,
        color=color,
        linewidth=1.6,
        linestyle="-",
        marker=marker,
        markersize=4,
        markevery=1 + len(curve.steps) // 30,
        label=label,
        zorder=3,
    )


def _draw_mean(
    axes: "matplotlib.axes.Axes",
    curves: Sequence[_Curve],
    color: str,
    marker: str,
    split: str,
    floor: float | None,
) -> None:
    steps = functools.reduce(np.intersect1d, [curve.steps for curve in curves])
    values = np.stack(
        [curve.values[np.searchsorted(curve.steps, steps)] for curve in curves], axis=1
    )
    mean = _Curve(steps, values.mean(axis=1))
    _draw_marked(axes, mean, color, marker, label=f"{split}, mean of {len(curves)} seeds")
    unknown = metrics.Interval(math.nan, math.nan)
    ends = [unknown if np.isnan(row).any() else metrics.t_interval(row) for row in values]
    axes.fill_between(
        steps,
        np.maximum([interval.low for interval in ends], -math.inf if floor is None else floor),
        [interval.high for interval in ends],
        color=color,
        alpha=0.18,
        linewidth=0,
        label=f"{split}, 95% interval of the mean",
    )


def _label_constant(axes: "matplotlib.axes.Axes", curves: Iterable[_Curve]) -> None:
    """Labels the axis of a constant, such as a learning rate, with the constant alone."""
    values = np.concatenate([curve.values for curve in curves])
    values = values[np.isfinite(values)]
    if len(values) and np.ptp(values) <= 1e-6 * np.abs(values).max():
        middle = float(values.mean())
        margin = 0.5 * abs(middle) or 1.0
        axes.set_ylim(middle - margin, middle + margin)
        axes.set_yticks([middle], [f"{middle:.4g}"])


def _keep_to(axes: "matplotlib.axes.Axes", curves: Sequence[_Curve]) -> None:
    """Limits an axis to the curves and half of their range on both sides."""
    values = np.concatenate([curve.values for curve in curves])
    values = values[np.isfinite(values)]
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    is_log = axes.get_yscale() == "log"
    if is_log:
        low, high = math.log(low), math.log(high)
    margin = 0.5 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    if is_log:
        low, high = math.exp(low), math.exp(high)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low), min(top, high))


def _floor(log: bool, curves: Iterable[_Curve]) -> float | None:
    """Lower limit of the axis if it is logarithmic; None for a linear axis."""
    values = np.concatenate([curve.values for curve in curves])
    values = values[np.isfinite(values)]
    if log and len(values) and 0 < 10 * values.min() < values.max():
        return float(values.min() / 1.5)
    return None


def _scale(axes: "matplotlib.axes.Axes", floor: float | None) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if floor is not None:
        axes.set_yscale("log")
        axes.set_ylim(bottom=floor)
        _style.log_ticks(axes.yaxis, floor, axes.get_ylim()[1])
