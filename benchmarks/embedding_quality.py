"""How good embeddings are, by NumPy, SciPy and scikit-learn alone: no code that is measured."""

import numpy as np
import scipy.sparse
from jaxtyping import Float
from sklearn.neighbors import NearestNeighbors

Points = Float[np.ndarray, "points _"]
_ROWS = 500
"""Points that are compared with all others at once."""


def neighbors(points: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The squared distances and the indices of the nearest neighbors, exact."""
    search = NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=-1).fit(points)
    distances, indices = search.kneighbors()
    return np.square(distances, dtype=np.float64), indices


def probabilities(points: Points, perplexity: float) -> scipy.sparse.csr_array:
    """The joint probabilities of t-SNE from three times the perplexity of neighbors, in float64."""
    squares, indices = neighbors(points, int(3 * perplexity))
    squares = squares - squares[:, :1]
    low, high = np.zeros(len(points)), np.full(len(points), np.inf)
    for _ in range(100):
        beta = np.where(np.isinf(high), np.maximum(2 * low, 1e-6), (low + high) / 2)
        weights = np.exp(-beta[:, None] * squares)
        rows = weights / weights.sum(axis=1, keepdims=True)
        logs = np.log(np.where(rows > 0, rows, 1))
        wide = -(rows * logs).sum(axis=1) > np.log(perplexity)
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
    starts = np.arange(len(points) + 1) * indices.shape[1]
    directed = scipy.sparse.csr_array((rows.ravel(), indices.ravel(), starts))
    both = (directed + directed.T).tocsr()
    return both / both.sum()


def divergence(joint: scipy.sparse.csr_array, embedding: Points) -> float:
    """The Kullback-Leibler divergence of t-SNE's similarities from probabilities, in nats."""
    places = np.asarray(embedding, np.float64)
    pairs = joint.tocoo()
    squares = np.square(places[pairs.row] - places[pairs.col]).sum(axis=1)
    total = _similarities(places)
    positive = pairs.data > 0
    p, s = pairs.data[positive], squares[positive]
    return float((p * (np.log(p) + np.log1p(s))).sum() + np.log(total))


def _similarities(places: Points) -> float:
    """The sum of `1 / (1 + s)` over all pairs."""
    lengths = np.square(places).sum(axis=1)
    total = 0.0
    for start in range(0, len(places), _ROWS):
        rows = places[start : start + _ROWS]
        squares = lengths - 2 * rows @ places.T
        squares += 1 + lengths[start : start + _ROWS, None]
        np.maximum(squares, 1, out=squares)
        total += np.reciprocal(squares, out=squares).sum() - len(rows)
    return total


def kept(points: Points, embedding: Points, k: int = 10, rows: int = 5_000) -> float:
    """The share of the nearest neighbors that are nearest in the embedding, of some points."""
    chosen = np.random.default_rng(0).permutation(len(points))[:rows]
    found = [
        NearestNeighbors(n_neighbors=k + 1).fit(each).kneighbors(each[chosen])[1]
        for each in (points, embedding)
    ]
    same = [
        len({*first} & {*second} - {point}) / k
        for point, first, second in zip(chosen, *found, strict=True)
    ]
    return float(np.mean(same))
