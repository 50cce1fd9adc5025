"""Exact nearest neighbors of points, in bounded memory."""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer

from jaxvision._reprs import brief
from jaxvision.checks import check_count, check_name

Metric = Literal["l2", "l1", "cosine"]

_BLOCK_NUMBERS = 2**24
"""Number of distances that are computed at once; they take 64 MiB."""
_SPARE = 8
"""Number of candidates beyond k; the distances of all candidates are computed exactly."""
_GROUP, _MANY_GROUPS = 16, 4
"""Columns in a group, and groups per neighbor from which searching groups first is faster."""


class Neighbors(NamedTuple):
    """The nearest references of each query, nearest first.

    Attributes:
        indices: Indices of the references.
        distances: Distances to the references; infinite where there are no more references.
    """

    indices: Int[Array, "queries k"]
    distances: Float[Array, "queries k"]

    def __repr__(self) -> str:
        return brief(self)


@functools.partial(jax.jit, static_argnames=("k", "metric"))
def nearest_neighbors(
    queries: Float[Array | np.ndarray, "queries features"],
    references: Float[Array | np.ndarray, "references features"],
    k: int,
    *,
    metric: Metric = "l2",
    query_groups: Integer[Array | np.ndarray, " queries"] | None = None,
    reference_groups: Integer[Array | np.ndarray, " references"] | None = None,
) -> Neighbors:
    """Finds the nearest references of each query.

    Queries are compared with all references in blocks, in memory for 64 MiB of distances. For the
    Euclidean metric a matrix product selects a few more candidates than needed, and their distances
    are computed again from differences, without cancellation.

    Args:
        queries: Points whose neighbors are wanted, one per row.
        references: Points among which to search, one per row.
        k: Number of neighbors.
        metric: "l2" is the Euclidean distance, "l1" the sum of absolute differences, "cosine" one
            minus the cosine of the angle (1 where either vector is 0).
        query_groups: Group of each query. References of the same group are not its neighbors: those
            of its fold in cross-validation, or the point itself if every point is its own group.
        reference_groups: Group of each reference.

    Returns:
        The neighbors. Of equally near references the one with the smaller index comes first.

    Raises:
        ValueError: There are fewer references than neighbors, numbers of features differ, the
            metric is unknown, or only one side has groups.

    >>> points = jnp.array([[0.0], [1.0], [3.0]])
    >>> found = nearest_neighbors(points, points, 1, query_groups=jnp.arange(3),
    ...                           reference_groups=jnp.arange(3))
    >>> print(found.indices[:, 0], found.distances[:, 0])
    [1 0 1] [1. 1. 2.]
    """
    check_name("metric", metric, get_args(Metric))
    check_count("k", k, of="neighbors")
    if queries.ndim != 2 or references.ndim != 2 or queries.shape[1] != references.shape[1]:
        raise ValueError(
            "queries and references must be matrices with as many features, got the shapes "
            f"{queries.shape} and {references.shape}"
        )
    count = len(references)
    if k > count:
        raise ValueError(f"k must be at most the number of references, {count}, got {k}")
    if (query_groups is None) != (reference_groups is None):
        raise ValueError(
            "query_groups and reference_groups must be given together, got one of them"
        )
    dtype = jnp.promote_types(jnp.result_type(queries, references), jnp.float32)
    queries, references = (jnp.asarray(each, dtype) for each in (queries, references))
    if metric == "cosine":
        queries, references = unit(queries), unit(references)
    elif metric == "l2":
        center = references.mean(axis=0)
        queries, references = queries - center, references - center
    search = functools.partial(_search, references=references, k=k, metric=metric)

    def of_block(rows: tuple[Array, ...]) -> Neighbors:
        if reference_groups is None:
            return search(rows[0], None)
        return search(rows[0], rows[1][:, None] == reference_groups)

    rows = [queries] if query_groups is None else [queries, jnp.asarray(query_groups)]
    return _by_blocks(of_block, tuple(rows), max(1, _BLOCK_NUMBERS // count))


def _search(
    queries: Array, own: Array | None, references: Array, k: int, metric: Metric
) -> Neighbors:
    """The neighbors of a block of queries; `own` marks pairs to leave out."""
    if metric == "l1":
        distances = jnp.abs(queries[:, None] - references).sum(axis=-1)
    elif metric == "cosine":
        distances = 1 - _product(queries, references)
    else:
        squares = jnp.square(references).sum(axis=1) - 2 * _product(queries, references)
        distances = jnp.square(queries).sum(axis=1, keepdims=True) + squares
    if own is not None:
        distances = jnp.where(own, jnp.inf, distances)
    if metric != "l2":
        return _smallest(distances, k)
    candidates = jnp.sort(_smallest(distances, min(k + _SPARE, len(references))).indices, axis=1)
    taken = jnp.take_along_axis(distances, candidates, axis=1)
    exact = jnp.sqrt(jnp.square(queries[:, None] - references[candidates]).sum(axis=-1))
    exact = jnp.where(jnp.isinf(taken), jnp.inf, exact)
    nearest, order = jax.lax.top_k(-exact, k)
    return Neighbors(jnp.take_along_axis(candidates, order, axis=1), -nearest)


def _smallest(distances: Array, k: int) -> Neighbors:
    """The k smallest numbers of each row; of equal numbers the first.

    They are in the k groups of columns with the smallest minima, so that only these are sorted.
    """
    rows, columns = distances.shape
    if columns < _MANY_GROUPS * _GROUP * k:
        nearest, indices = jax.lax.top_k(-distances, k)
        return Neighbors(indices, -nearest)
    padded = jnp.pad(distances, [(0, 0), (0, -columns % _GROUP)], constant_values=jnp.inf)
    groups = padded.reshape(rows, -1, _GROUP)
    kept = jnp.sort(jax.lax.top_k(-groups.min(axis=2), k)[1], axis=1)
    indices = (kept[:, :, None] * _GROUP + jnp.arange(_GROUP)).reshape(rows, -1)
    numbers = jnp.take_along_axis(groups, kept[:, :, None], axis=1).reshape(rows, -1)
    nearest, order = jax.lax.top_k(-numbers, k)
    return Neighbors(jnp.take_along_axis(indices, order, axis=1), -nearest)


def _by_blocks(
    of_block: Callable[[tuple[Array, ...]], Neighbors], rows: tuple[Array, ...], size: int
) -> Neighbors:
    """Applies a function to blocks of rows, one block after the other."""
    count = len(rows[0])
    size = min(size, max(count, 1))
    blocks = -(-count // size)
    padded = [
        jnp.pad(each, [(0, blocks * size - count)] + [(0, 0)] * (each.ndim - 1)) for each in rows
    ]
    found = jax.lax.map(
        of_block, tuple(each.reshape(blocks, size, *each.shape[1:]) for each in padded)
    )
    return Neighbors(*(each.reshape(blocks * size, each.shape[-1])[:count] for each in found))


def unit(vectors: Float[Array, "rows features"]) -> Float[Array, "rows features"]:
    """Scales vectors to length 1, except those of length 0."""
    length = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / jnp.where(length == 0, 1, length)


def _product(first: Array, second: Array) -> Array:
    return jnp.matmul(first, second.T, precision=jax.lax.Precision.HIGHEST)
