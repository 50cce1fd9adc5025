"""How well an embedding preserves the neighbors of points."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int64

from jaxvision.metrics._checks import ArrayLike, floats
from jaxvision.metrics._distances import blocks, squared_distances

_Points = Float64[np.ndarray, "_ _"]


def trustworthiness(points: ArrayLike, embedding: ArrayLike, *, k: int = 10) -> float:
    """The trustworthiness of an embedding: whether neighbors in it are neighbors in the data.

    A neighbor in the embedding that is not one of the k nearest in the data costs its excess rank.

    Args:
        points: The data, (points, features).
        embedding: Their embedding, (points, components).
        k: The number of neighbors; less than half the number of points.

    Returns:
        From 0 to 1, where all neighbors in the embedding are neighbors in the data.

    Raises:
        ValueError: The numbers of rows differ, k is out of range, or a number is NaN.

    Reference: Venna and Kaski, Neighborhood preservation in nonlinear projection methods, 2001.

    >>> line = np.arange(8.0)[:, None]
    >>> trustworthiness(line, line, k=2)
    1.0
    """
    return _by_ranks(*_checked(points, embedding, k), k)


def continuity(points: ArrayLike, embedding: ArrayLike, *, k: int = 10) -> float:
    """The continuity of an embedding: whether neighbors in the data are neighbors in it.

    A neighbor in the data that is not among the k nearest in the embedding costs its excess rank
    there. Arguments and errors are those of `trustworthiness`.

    Returns:
        From 0 to 1, where all neighbors in the data are neighbors in the embedding.

    Reference: Venna and Kaski, Neighborhood preservation in nonlinear projection methods, 2001.

    >>> line = np.arange(8.0)[:, None]
    >>> continuity(line, line, k=2)
    1.0
    """
    high, low = _checked(points, embedding, k)
    return _by_ranks(low, high, k)


def neighbor_preservation(points: ArrayLike, embedding: ArrayLike, *, k: int = 10) -> float:
    """The share of the k nearest neighbors that are also among the k nearest in the embedding.

    Arguments and errors are those of `trustworthiness`.

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
    """One minus the scaled excess ranks, by `judge`, of the k nearest neighbors by `judged`."""
    count, cost = len(judge), 0
    for truth, shown in zip(_distances(judge), _distances(judged), strict=True):
        wrong = _nearest(shown, k) & ~_nearest(truth, k)
        rows, columns = np.nonzero(wrong)
        for start in range(0, len(rows), k * 64):  # few ranks at once, to save memory
            row, column = rows[start : start + k * 64], columns[start : start + k * 64]
            cost += (_ranks(truth[row], column) - k).sum()
    return float(1 - cost * 2 / (count * k * (2 * count - 3 * k - 1)))


def _ranks(
    distances: Float64[np.ndarray, "pairs points"], columns: Int64[np.ndarray, " pairs"]
) -> Int64[np.ndarray, " pairs"]:
    """The rank of one neighbor in each row, from 1; ties by index."""
    own = np.take_along_axis(distances, columns[:, None], axis=1)
    before = np.arange(distances.shape[1]) < columns[:, None]
    return 1 + ((distances < own) | ((distances == own) & before)).sum(axis=1)


def _nearest(
    distances: Float64[np.ndarray, "rows points"], k: int
) -> Bool[np.ndarray, "rows points"]:
    """Marks the k nearest points of each row; ties by index."""
    farthest = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    nearer, equal = distances < farthest, distances == farthest
    places = np.cumsum(equal, axis=1) <= k - nearer.sum(axis=1, keepdims=True)
    return nearer | (equal & places)


def _distances(points: _Points) -> Iterator[Float64[np.ndarray, "_ _"]]:
    """The squared distances of blocks of points to all points; infinite for a point to itself."""
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
            "points and embedding must be matrices with the same number of rows, got the shapes "
            f"{high.shape} and {low.shape}"
        )
    if not 1 <= k < len(high) / 2:
        raise ValueError(
            f"k must be at least 1 and less than half of the {len(high)} points, got {k}"
        )
    return high - high[0], low - low[0]  # near 0 less precision cancels; equal points stay equal
