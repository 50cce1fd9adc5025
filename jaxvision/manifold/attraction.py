"""What pulls the points of an embedding together: a sum over the pairs of neighbors."""

import functools
import operator
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision.manifold.affinities import Affinities
from jaxvision.manifold.kernels import Kernel

Embedding = Float[Array, "points components"]
_SLICE = 128
"""Points whose neighbors lie side by side."""
_DEPTH = 8
"""Neighbors of a point that are added up at once."""


class Edges(flax.struct.PyTreeNode):
    """Pairs of neighbors in the order in which they are fastest to go through.

    Points are sorted by the number of their neighbors and cut into slices of 128. The neighbors of
    a slice are laid out in tiles, eight for each of its points, so that little is padded, and what
    is read of a slice's own points lies side by side (the format SELL-C-sigma). The fields are
    annotated loosely, because trees of this form hold shapes and shardings too.

    Attributes:
        order: The point at each place of the slices; places at the end repeat the first point.
        places: The place of each point.
        owners: The slice of each tile, (tiles,).
        neighbors: The place of each neighbor, (tiles, 8, 128).
        values: The probability of each pair, 0 where there is none, of the same shape.

    Reference: Kreutzer et al., A unified sparse matrix data format for efficient general sparse
    matrix-vector multiplication on modern processors with wide SIMD units, SIAM J. Sci. Comput.
    2014, arXiv:1307.6209.
    """

    order: Any
    places: Any
    owners: Any
    neighbors: Any
    values: Any


def lay_out(affinities: Affinities) -> Edges:
    """Sorts pairs into tiles.

    Args:
        affinities: The pairs. Their values may be traced, their rows and columns may not.

    Returns:
        The same pairs.
    """
    rows, columns = np.asarray(affinities.rows), np.asarray(affinities.columns)
    count = affinities.num_points
    degrees = np.bincount(rows, minlength=count)
    order = np.argsort(-degrees, kind="stable")
    places = np.empty(count, np.int32)
    places[order] = np.arange(count, dtype=np.int32)
    slices = -(-count // _SLICE)
    order = np.concatenate([order, np.zeros(slices * _SLICE - count, np.int64)]).astype(np.int32)
    deepest = degrees[order[::_SLICE]]
    tiles = -(-deepest // _DEPTH)
    first_tile = np.cumsum(tiles) - tiles
    first_pair = np.cumsum(degrees) - degrees
    rank = (np.arange(len(rows)) - first_pair[rows]).astype(np.int32)
    place = places[rows]
    tile = first_tile[place // _SLICE] + rank // _DEPTH
    at = (tile * _DEPTH + rank % _DEPTH) * _SLICE + place % _SLICE
    shape = int(tiles.sum()), _DEPTH, _SLICE
    neighbors = np.zeros(shape, np.int32)
    neighbors.reshape(-1)[at] = places[columns]
    owners = np.repeat(np.arange(slices, dtype=np.int32), tiles)
    values = _placed(affinities.values, at, neighbors.size).reshape(shape)
    return Edges(*map(jnp.asarray, (order, places, owners, neighbors, values)))


def _placed(values: Array, at: Int[np.ndarray, " pairs"], size: int) -> Array | np.ndarray:
    """Puts values at their places among zeros, on the host where they are known."""
    if isinstance(values, jax.core.Tracer):
        return jnp.zeros(size, values.dtype).at[at].set(values, unique_indices=True)
    placed = np.zeros(size, values.dtype)
    placed[at] = values
    return placed


def attraction(embedding: Embedding, edges: Edges, kernel: Kernel) -> Embedding:
    """Adds up how the neighbors of each point pull it.

    Args:
        embedding: The points.
        edges: Their pairs.
        kernel: The similarity.

    Returns:
        The sum of `p pull(s) (y - y')` over the neighbors y' of each point y.

    >>> pair = Affinities(np.array([0, 1]), np.array([1, 0]), jnp.full(2, 0.5), jnp.zeros(()), 2)
    >>> from jaxvision.manifold.kernels import Gaussian
    >>> points = jnp.array([[0.0, 1.0], [0.0, 5.0]])
    >>> print(jax.jit(attraction, static_argnums=2)(points, lay_out(pair), Gaussian()))
    [[ 0. -2.]
     [ 0.  2.]]
    """
    axes = embedding[edges.order].T
    slices = axes.reshape(len(axes), -1, _SLICE)
    own = slices[:, edges.owners]
    pulls = [jnp.zeros(own.shape[1:], embedding.dtype)] * len(axes)
    for level in range(_DEPTH):
        away = _away(own, axes, edges.neighbors[:, level])
        weight = edges.values[:, level] * kernel.pull(_square_length(away))
        pulls = [pull + weight * each for pull, each in zip(pulls, away, strict=True)]
    sums = [
        jax.ops.segment_sum(pull, edges.owners, slices.shape[1], indices_are_sorted=True)
        for pull in pulls
    ]
    return jnp.stack(sums).reshape(len(axes), -1).T[edges.places]


def cross_entropy(embedding: Embedding, edges: Edges, kernel: Kernel) -> Float[Array, ""]:
    """Adds up the costs of all pairs.

    Args:
        embedding: The points.
        edges: Their pairs.
        kernel: The similarity.

    Returns:
        The sum of `-p log k(s)` over all pairs, in nats: the cross-entropy of the probabilities and
        the similarities, if these summed to 1.
    """
    axes = embedding[edges.order].T
    own = axes.reshape(len(axes), -1, _SLICE)[:, edges.owners]
    away = _away(own[:, :, None], axes, edges.neighbors)
    return (edges.values * kernel.cost(_square_length(away))).sum()


def _away(own: Array, axes: Array, neighbors: Array) -> list[Array]:
    """How far neighbors are along each axis, each axis by itself: pairs of numbers are slow."""
    return [
        mine - axis.at[neighbors].get(mode="promise_in_bounds")
        for mine, axis in zip(own, axes, strict=True)
    ]


def _square_length(away: list[Array]) -> Array:
    return functools.reduce(operator.add, [each * each for each in away])
