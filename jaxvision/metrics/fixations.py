"""Maps of saliency against where people look: one value per image, as the MIT benchmark has them.

`fixation_counts` makes maps of fixated positions. In all other functions, arrays have the shape
(images, height, width). Fixations are above 0 at each pixel that someone looked at; more than one
fixation of a pixel counts as one. Densities are fixations after a blur. It is a ValueError if
shapes differ or are empty, a value is not finite, or a density is negative.

Reference for all: Bylinskii et al., What do different evaluation metrics tell us about saliency
models?, 2016, arXiv:1604.03605.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64

from jaxvision.metrics import _checks
from jaxvision.metrics._checks import ArrayLike

Values = Float64[np.ndarray, "images"]
_Rows = Float64[np.ndarray, "images pixels"]
_EPSILON = float(np.finfo(np.float64).eps)


def nss(saliency: ArrayLike, fixations: ArrayLike) -> Values:
    """The normalized scanpath saliency: the mean of the standardized saliency at fixated pixels.

    Args:
        saliency: Maps of saliency.
        fixations: Maps of fixations.

    Returns:
        0 is chance, higher is better; NaN without fixations, and where the saliency is the same
        everywhere.

    Reference: Peters et al., Components of bottom-up gaze allocation in natural images, 2005.

    >>> nss([[[0.0, 1.0], [2.0, 5.0]]], [[[0, 0], [0, 1]]]).round(4)
    array([1.6036])
    """
    maps, fixated = _fixated(saliency, fixations)
    spread = np.where(_varies(maps), maps.std(axis=1), np.nan)
    standardized = (maps - maps.mean(axis=1, keepdims=True)) / spread[:, None]
    return _share(np.where(fixated, standardized, 0).sum(axis=1), fixated.sum(axis=1))


def auc_judd(saliency: ArrayLike, fixations: ArrayLike) -> Values:
    """The area under the ROC curve of fixated against all other pixels, by Judd's thresholds.

    The curve has a point for each value of saliency that a fixated pixel has, and straight lines in
    between. So it lies above the curve of `roc_auc`, whose thresholds are all values: by at most
    half of the inverse number of fixations. Equal values form one threshold, where the benchmark
    adds noise.

    Args:
        saliency: Maps of saliency.
        fixations: Maps of fixations.

    Returns:
        0.5 is chance and the value of a constant map, 1 the best; NaN if no pixel is fixated, or
        all are.

    Reference: Judd et al., Learning to predict where humans look, ICCV 2009.

    >>> auc_judd([[[0.0, 1.0], [2.0, 5.0]]], [[[0, 1], [0, 1]]])
    array([0.875])
    """
    maps, fixated = _fixated(saliency, fixations)
    return np.array([_area(row, mask) for row, mask in zip(maps, fixated, strict=True)])


def fixation_correlation(saliency: ArrayLike, density: ArrayLike) -> Values:
    """Pearson's correlation coefficient (CC) of saliency and density of fixations.

    Args:
        saliency: Maps of saliency.
        density: Densities of fixations.

    Returns:
        From -1 to 1; NaN where a map is the same everywhere.

    >>> fixation_correlation([[[0.0, 1.0], [2.0, 5.0]]], [[[1.0, 3.0], [5.0, 11.0]]]).round(4)
    array([1.])
    """
    pair = _rows(saliency=saliency, density=density)
    scaled = []
    for maps in pair:
        centered = maps - maps.mean(axis=1, keepdims=True)
        norm = np.where(_varies(maps), np.linalg.norm(centered, axis=1), np.nan)
        scaled.append(centered / norm[:, None])
    return np.clip((scaled[0] * scaled[1]).sum(axis=1), -1, 1)


def fixation_divergence(saliency: ArrayLike, density: ArrayLike) -> Values:
    """The Kullback-Leibler divergence (KL) of saliency from the density of fixations, in nats.

    Both maps are divided by their sums, to p and q; the sum of `q log(e + q / (p + e))` regularizes
    with the machine epsilon e of float64, as the benchmark does.

    Args:
        saliency: Maps of saliency, not negative.
        density: Densities of fixations.

    Returns:
        0 for equal maps, higher is worse; NaN where a map is 0 everywhere.

    >>> fixation_divergence([[[1.0, 3.0]]], [[[1.0, 1.0]]]).round(4)
    array([0.1438])
    """
    p, q = _densities(saliency, density)
    return (q * np.log(_EPSILON + q / (p + _EPSILON))).sum(axis=1)


def fixation_similarity(saliency: ArrayLike, density: ArrayLike) -> Values:
    """The intersection (SIM) of saliency and density of fixations, each divided by its sum.

    The code of the benchmark also moves the least value of each map to 0 first; here, as in the
    paper, maps are taken as they are.

    Args:
        saliency: Maps of saliency, not negative.
        density: Densities of fixations.

    Returns:
        From 0 to 1 for equal maps; NaN where a map is 0 everywhere.

    >>> fixation_similarity([[[1.0, 3.0]]], [[[1.0, 1.0]]])
    array([0.75])
    """
    p, q = _densities(saliency, density)
    return np.minimum(p, q).sum(axis=1)


def fixation_counts(
    fixations: ArrayLike,
    size: tuple[int, int],
    valid: ArrayLike | None = None,
) -> Int64[np.ndarray, "images height width"]:
    """Counts the fixations of each pixel.

    Args:
        fixations: Positions x, y in pixels, (images, fixations, 2); the center of the first pixel
            is (0, 0). Positions outside of the image are not counted.
        size: Height and width of the image.
        valid: Which fixations to count, (images, fixations); None counts all.

    Raises:
        ValueError: The shapes do not match, or a counted position is not finite.

    >>> fixation_counts([[[1.0, 0.0], [0.6, 0.2], [2.0, 0.0]]], (1, 2))
    array([[[0, 2]]])
    """
    places = np.asarray(fixations, np.float64)
    if places.ndim != 3 or places.shape[2] != 2:
        raise ValueError(f"fixations must have shape (images, fixations, 2), got {places.shape}")
    counted = np.ones(places.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    if counted.shape != places.shape[:2]:
        raise ValueError(f"valid must have shape {places.shape[:2]}, got {counted.shape}")
    if not np.isfinite(places[counted]).all():
        raise ValueError("fixations must be finite")
    columns, rows = np.moveaxis(np.floor(np.where(counted[..., None], places, -1) + 0.5), 2, 0)
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    images, numbers = np.nonzero(inside)
    counts = np.zeros((len(places), *size), np.int64)
    at = (rows[images, numbers].astype(int), columns[images, numbers].astype(int))
    np.add.at(counts, (images, *at), 1)
    return counts


def _area(values: Float64[np.ndarray, "pixels"], fixated: Bool[np.ndarray, "pixels"]) -> float:
    hits, others = np.sort(values[fixated]), np.sort(values[~fixated])
    if not (len(hits) and len(others)):
        return float("nan")
    thresholds = np.unique(hits)[::-1]
    true, false = (
        np.concatenate([[0], 1 - np.searchsorted(each, thresholds) / len(each), [1]])
        for each in (hits, others)
    )
    return float(np.trapezoid(true, false))


def _fixated(
    saliency: ArrayLike, fixations: ArrayLike
) -> tuple[_Rows, Bool[np.ndarray, "images pixels"]]:
    maps, counts = _rows(saliency=saliency, fixations=fixations)
    return maps, counts > 0


def _densities(saliency: ArrayLike, density: ArrayLike) -> tuple[_Rows, _Rows]:
    """Maps divided by their sums; NaN where a sum is 0."""
    pair = _rows(saliency=saliency, density=density)
    for name, maps in zip(("saliency", "density"), pair, strict=True):
        if (maps < 0).any():
            raise ValueError(f"{name} must not be negative, got {maps.min()}")
    p, q = (
        maps / np.where(sums > 0, sums, np.nan)
        for maps, sums in ((maps, maps.sum(axis=1, keepdims=True)) for maps in pair)
    )
    return p, q


def _rows(**maps: ArrayLike) -> tuple[_Rows, _Rows]:
    """Two maps of the same shape, with their pixels in rows."""
    arrays = {name: _checks.floats(name, values) for name, values in maps.items()}
    for name, array in arrays.items():
        if array.ndim != 3:
            raise ValueError(f"{name} must have shape (images, height, width), got {array.shape}")
        if np.isinf(array).any():
            raise ValueError(f"{name} must be finite")
    first, second = arrays.values()
    if first.shape != second.shape:
        raise ValueError(
            f"{' and '.join(arrays)} must have one shape, got {first.shape} and {second.shape}"
        )
    return first.reshape(len(first), -1), second.reshape(len(second), -1)


def _varies(maps: _Rows) -> Bool[np.ndarray, "images"]:
    """Whether a map is not constant; its deviation may differ from 0 by rounding only."""
    return np.ptp(maps, axis=1) > 0


def _share(sums: Values, counts: np.ndarray) -> Values:
    return sums / np.where(counts > 0, counts, np.nan)
