"""Distances between many points in float64, in blocks that limit the memory."""

import numpy as np
from jaxtyping import Float64

Points = Float64[np.ndarray, "_ _"]

_BLOCK = 2**22
"""The number of distances in memory at once."""


def blocks(rows: Points, columns: int) -> list[Points]:
    """Splits rows into blocks whose distances to `columns` points fit into memory."""
    size = max(1, _BLOCK // columns)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def squared_distances(a: Points, b: Points) -> Float64[np.ndarray, "_ _"]:
    """The squared Euclidean distances of all pairs, from a matrix product."""
    squares: np.ndarray = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return squares.clip(0)
