"""How well an embedding keeps the neighbors that points have."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int64

from jaxvision.metrics._checks import ArrayLike, floats
from jaxvision.metrics._distances import blocks, squared_distances

_Points = Float64[np.ndarray, "_ _"]


def trustworthiness(points: ArrayLike, embedding: ArrayLike, *, k: int = 10) -> float:
    """How far neighbors in the embedding are from being neighbors of each other.

    A neighbor in the embedding that is not among the k nearest of the points costs by how many
    ranks it is too far.

    Args:
        points: (points, features).
        embedding: (points, components).
        k: How many neighbors; fewer than half of the points.

    Returns:
        From 0 to 1, where all neighbors in the embedding are neighbors.

    Raises:
        ValueError: There are not as many rows, too few for k, or a number is NaN.

    Reference: Venna and Kaski, Neighborhood preservation in nonlinear projection methods, ICANN
    2001.

    >>> line = np.arange(8.0)[:, None]
    >>> trustworthiness(line, line, k=2)
    1.0
    """
    return _by_ranks(*_checked(points, embedding, k), k)


def continuity(points: ArrayLike, embedding: ArrayLike, *, k: int = 10) -> float:
    """How far neighbors are from being neighbors in the embedding: what it tears apart.

    A neighbor that is not among the k nearest in the embedding costs by how many ranks it is too
    far there.

    Args:
        points: (points, features).
        embedding: (points, components).
        k: How many neighbors; fewer than half of the points.

    Returns:
        From 0 to 1, where all neighbors are neighbors in the embedding.

    Raises:
        ValueError: There are not as many rows, too few for k, or a number is NaN.

    Reference: Venna and Kaski, Neighborhood preservation in nonlinear projection methods, ICANN
    2001.

    >>> line = np.arange(8.0)[:, None]
    >>> continuity(line, line, k=2)
    1.0
    """
    high, low = _checked(points, embedding, k)
    return _by_ranks(low, high, k)


def neighbor_preservation(points: ArrayLike, embedding: ArrayLike, *, k: int = 10) -> float:
    """The share of the k nearest neighbors that are among the k nearest in the embedding.

    Args:
        points: (points, features).
        embedding: (points, components).
        k: How many neighbors; fewer than half of the points.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: There are not as many rows, too few for k, or a number is NaN.

    >>> line = np.arange(8.0)[:, None]
    >>> neighbor_preservation(line, -2 * line, k=2)
    1.0
    """
    high, low = _checked(points, embedding, k)
    kept = 0
    for of_points, of_embedding in zip(_distances(high), _distances(low), strict=True):
        kept += (_nearest(of_points, k) & _nearest(of_embedding, k)).sum()
    return float(kept / (len(high) * k))


def _by_ranks(judge: _Points, judged: _Points, k: int) -> float:
    """One minus the ranks, among the judge's neighbors, that the judged neighbors are too far."""
    count, cost = len(judge), 0
    for truth, shown in zip(_distances(judge), _distances(judged), strict=True):
        wrong = _nearest(shown, k) & ~_nearest(truth, k)
        rows, columns = np.nonzero(wrong)
        for start in range(0, len(rows), k * 64):  # ranks of few at once, for their memory
            row, column = rows[start : start + k * 64], columns[start : start + k * 64]
            cost += (_ranks(truth[row], column) - k).sum()
    return float(1 - cost * 2 / (count * k * (2 * count - 3 * k - 1)))


def _ranks(
    distances: Float64[np.ndarray, "pairs points"], columns: Int64[np.ndarray, " pairs"]
) -> Int64[np.ndarray, " pairs"]:
    """The rank of one neighbor in each row, from 1; of equally near ones the first comes first."""
    own = np.take_along_axis(distances, columns[:, None], axis=1)
    before = np.arange(distances.shape[1]) < columns[:, None]
    return 1 + ((distances < own) | ((distances == own) & before)).sum(axis=1)


def _nearest(
    distances: Float64[np.ndarray, "rows points"], k: int
) -> Bool[np.ndarray, "rows points"]:
    """Which are among the k nearest; of equally near ones the first."""
    farthest = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    nearer, equal = distances < farthest, distances == farthest
    places = np.cumsum(equal, axis=1) <= k - nearer.sum(axis=1, keepdims=True)
    return nearer | (equal & places)


def _distances(points: _Points) -> Iterator[Float64[np.ndarray, "_ _"]]:
    """The squared distances of some points to all, block by block; to themselves infinite."""
    start = 0
    for rows in blocks(points, len(points)):
        squares = squared_distances(rows, points)
        here = np.arange(len(rows))
        squares[here, here + start] = np.inf
        start += len(rows)
        yield squares


def _checked(points: ArrayLike, embedding: ArrayLike, k: int) -> tuple[_Points, _Points]:
    high, low = floats("points", points), floats("embedding", embedding)
    if high.ndim != 2 or low.ndim != 2 or len(high) != len(low):
        raise ValueError(
            "points and their embedding must be matrices with as many rows, got the shapes "
            f"{high.shape} and {low.shape}"
        )
    if not 1 <= k < len(high) / 2:
        raise ValueError(
            f"k must be at least 1 and less than half of the {len(high)} points, got {k}"
        )
    return high - high[0], low - low[0]  # near 0, where less cancels; and what was equal stays so
