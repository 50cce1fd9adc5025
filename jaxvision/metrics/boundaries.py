"""Distances between the outlines of masks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from jaxvision.metrics._checks import ArrayLike


def hausdorff_distance(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    percentile: int | float = 95,
    spacing: Sequence[float] | None = None,
) -> float:
    """A percentile of the distances between the outlines of two masks (HD95 by default).

    For each pixel of one outline, it takes the distance to the nearest pixel of the other outline,
    and of these distances the percentile; the result is the larger one of both directions.
    `percentile=100` gives the Hausdorff distance. The outline consists of the pixels of a mask at
    the border of the image or with a neighbor along an axis that is not in the mask.

    Args:
        truth: A mask with any number of axes.
        prediction: Another mask, of the same shape.
        percentile: The percentile of the distances, from 0 to 100.
        spacing: The size of a pixel along each axis; None means 1.

    Returns:
        The distance in the unit of `spacing`: 0 if both masks are empty, infinity if only one is.

    Raises:
        ValueError: The shapes differ, or `percentile` or `spacing` is out of range.

    Reference: Huttenlocher et al., Comparing images using the Hausdorff distance, PAMI 15, 1993.

    >>> truth = np.zeros((8, 8), bool)
    >>> truth[2:5, 2:5] = True
    >>> hausdorff_distance(truth, np.roll(truth, 2, axis=1))
    2.0
    """
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile must be from 0 to 100, got {percentile}")
    first, second = _outlines(truth, prediction)
    if not (first.any() and second.any()):
        return 0.0 if first.any() == second.any() else float("inf")
    distances = _distances(first, second, spacing), _distances(second, first, spacing)
    return float(max(np.percentile(each, percentile) for each in distances))


def boundary_f1(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    tolerance: int | float = 2,
    spacing: Sequence[float] | None = None,
) -> float:
    """The F1 score of the predicted outline, with a tolerance in distance.

    Precision is the share of pixels of the predicted outline with a pixel of the true outline
    within the tolerance; recall is the same with the outlines exchanged.

    Args:
        truth: A mask with any number of axes.
        prediction: Another mask, of the same shape.
        tolerance: The largest distance of a match, in the unit of `spacing`.
        spacing: The size of a pixel along each axis; None means 1.

    Returns:
        The harmonic mean of precision and recall: 1 if both masks are empty, 0 if only one is.

    Raises:
        ValueError: The shapes differ, `tolerance` is negative, or `spacing` is not positive.

    Reference: Csurka et al., What is a good evaluation measure for semantic segmentation?, 2013.

    >>> truth = np.zeros((8, 8), bool)
    >>> truth[2:5, 2:5] = True
    >>> boundary_f1(truth, np.roll(truth, 1, axis=1), tolerance=1)
    1.0
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance}")
    first, second = _outlines(truth, prediction)
    if not (first.any() and second.any()):
        return float(first.any() == second.any())
    recall = np.mean(_distances(first, second, spacing) <= tolerance)
    precision = np.mean(_distances(second, first, spacing) <= tolerance)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _outlines(truth: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(truth), np.asarray(prediction)
    if first.shape != second.shape or first.ndim == 0:
        raise ValueError(
            f"truth and prediction must have one shape, of one axis or more, got {first.shape} and "
            f"{second.shape}"
        )
    return _outline(first != 0), _outline(second != 0)


def _outline(mask: Bool[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    from scipy import ndimage

    inner: np.ndarray = ndimage.binary_erosion(mask, border_value=0)
    return mask & ~inner


def _distances(
    outline: Bool[np.ndarray, "*shape"],
    other: Bool[np.ndarray, "*shape"],
    spacing: Sequence[float] | None,
) -> Float64[np.ndarray, " pixels"]:
    """The distance of each pixel of an outline to the nearest pixel of another."""
    from scipy import ndimage

    sizes = (1.0,) * other.ndim if spacing is None else tuple(spacing)
    if len(sizes) != other.ndim or not all(size > 0 for size in sizes):
        raise ValueError(
            f"spacing must have a positive number for each of {other.ndim} axes, got {sizes}"
        )
    distance: np.ndarray = ndimage.distance_transform_edt(~other, sampling=sizes)
    return distance[outline]
