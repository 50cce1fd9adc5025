"""Reliability diagrams."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from jaxvision import metrics
from jaxvision.plots import _style
from jaxvision.plots._style import ArrayLike

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_NUM_BINS = 15
_FEW, _PALE = 4, 0.25
"""Bins with fewer examples than `_FEW` are drawn with the opacity `_PALE`."""

_GAP = "#FBE3D2"
_EDGE: Any = {"edgecolor": "white", "linewidth": 0.6}


def reliability_diagram(
    curve_or_probabilities: metrics.ReliabilityCurve | ArrayLike,
    labels: ArrayLike | None = None,
    *,
    num_bins: int | None = None,
    title: str | None = None,
) -> "matplotlib.figure.Figure":
    r"""Draws the accuracy in bins of confidence, and below it the number of examples per bin.

    Dots are accuracies with 95% Wilson intervals; bins of fewer than four examples are pale.
    Hatched bars span the gap between accuracy and mean confidence: the model is overconfident where
    the dot is at the lower end, and underconfident where it is at the upper end. A calibrated model
    has its dots near the diagonal. The expected calibration error is the mean gap over the
    examples.

    Args:
        curve_or_probabilities: Output of `metrics.reliability_curve`, or the probabilities that it
            takes: of class 1, or of every class.
        labels: Only with probabilities: 0 or 1, or class indices.
        num_bins: Only with probabilities: number of equally wide bins over [0, 1]; None takes 15.
        title: Title of the figure; the error is shown below it.

    Returns:
        The figure: axes with the diagram, and axes with the histogram.

    Raises:
        ValueError: Labels or bins are given with a curve, labels are missing with probabilities,
            the curve has no examples, or `metrics.reliability_curve` rejects its arguments.
        ImportError: Matplotlib is not installed.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599.

    >>> figure = reliability_diagram([0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1], num_bins=2)
    >>> print(figure.axes[0].get_title())
    expected calibration error 0.290, in 2 bins
    share of class 1 60%, mean probability 51%, 5 examples
    """
    x, y, mean = "confidence", "accuracy", "mean confidence"
    if isinstance(curve_or_probabilities, metrics.ReliabilityCurve):
        if labels is not None or num_bins is not None:
            raise ValueError("a curve has its labels and bins already: give neither")
        curve = curve_or_probabilities
    else:
        if labels is None:
            raise ValueError("probabilities need labels; only a ReliabilityCurve goes without")
        bins = _NUM_BINS if num_bins is None else num_bins
        curve = metrics.reliability_curve(curve_or_probabilities, labels, bins)
        if np.ndim(curve_or_probabilities) == 1:
            x, y, mean = "probability of class 1", "share of class 1", "mean probability"
    if not curve.count.any():
        raise ValueError("the curve has no examples")

    figure = _style.new_figure(5.0, 6.4, title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _style.dress(upper, title=_summary(curve, y, mean), y=y, grid=True)
    _style.dress(lower, x=x, y="examples", grid=True)
    _draw_accuracy(upper, curve, y, mean)
    lower.bar(curve.centers, curve.count, width=1 / len(curve.count), color=_style.QUIET, **_EDGE)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    return figure


def _summary(curve: metrics.ReliabilityCurve, y: str, mean: str) -> str:
    filled = curve.count > 0
    count = curve.count[filled]
    accuracy, confidence = curve.accuracy[filled], curve.confidence[filled]
    error = np.average(np.abs(accuracy - confidence), weights=count)
    words = (
        f"expected calibration error {error:.3f}, in {len(filled)} bins\n"
        f"{y} {_style.percent(np.average(accuracy, weights=count))}, "
        f"{mean} {_style.percent(np.average(confidence, weights=count))}, "
    )
    return f"{words}{count.sum()} examples"


def _draw_accuracy(
    axes: "matplotlib.axes.Axes", curve: metrics.ReliabilityCurve, y: str, mean: str
) -> None:
    from matplotlib.patches import Patch

    filled = curve.count > 0
    centers, count = curve.centers[filled], curve.count[filled]
    accuracy, confidence = curve.accuracy[filled], curve.confidence[filled]
    width = 1 / len(filled)
    gap: Any = {
        "facecolor": _GAP,
        "edgecolor": _style.VERMILLION,
        "linewidth": 0.6,
        "hatch": "////",
    }
    bars = axes.bar(centers, accuracy, width=width, color=_style.SKY, **_EDGE)
    gaps = axes.bar(
        centers,
        np.abs(confidence - accuracy),
        width=width,
        bottom=np.minimum(confidence, accuracy),
        **gap,
    )
    for number, bar, its_gap in zip(count, bars, gaps, strict=True):
        bar.set_alpha(_PALE if number < _FEW else 1.0)
        its_gap.set_visible(bool(number >= _FEW))
    low, high = _wilson(accuracy, count)
    dots = axes.errorbar(
        centers,
        accuracy,
        yerr=(np.maximum(accuracy - low, 0), np.maximum(high - accuracy, 0)),
        fmt="o",
        markersize=3.5,
        color=_style.INK,
        linewidth=1.0,
        capsize=0,
        clip_on=False,
    )
    (diagonal,) = axes.plot([0, 1], [0, 1], color=_style.INK, linewidth=1.0, linestyle="--")
    diagonal.set_marker("None")
    legend: dict[str, Any] = {
        "calibrated": diagonal,
        f"gap to {mean}": Patch(**gap),
        f"{y}, 95% interval": dots,
    }
    if (count < _FEW).any():
        legend[f"pale: fewer than {_FEW} examples"] = Patch(facecolor=_style.SKY, alpha=_PALE)
    axes.figure.legend(
        list(legend.values()),
        list(legend),
        loc="outside lower center",
        ncols=2,
        fontsize=_style.SMALL_SIZE,
        labelcolor=_style.INK,
        frameon=False,
    )


def _wilson(
    accuracy: Float64[np.ndarray, "bins"], count: np.ndarray
) -> tuple[Float64[np.ndarray, "bins"], Float64[np.ndarray, "bins"]]:
    right = np.round(accuracy * count)
    ends = [metrics.wilson_interval(k, n) for k, n in zip(right, count, strict=True)]
    return np.array([end.low for end in ends]), np.array([end.high for end in ends])
