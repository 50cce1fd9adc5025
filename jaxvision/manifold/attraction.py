"""Attraction between the points of an embedding: a sum over the pairs of neighbors."""

import functools
import operator
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision._reprs import brief
from jaxvision.manifold.affinities import Affinities
from jaxvision.manifold.kernels import Kernel

Embedding = Float[Array, "points components"]
_SLICE = 128
"""Number of points whose neighbors are stored side by side."""
_DEPTH = 8
"""Number of neighbors of a point in a tile."""


class Edges(flax.struct.PyTreeNode):
    """Pairs of neighbors, laid out for fast access in the format SELL-C-sigma.

    Points are sorted by their number of neighbors and cut into slices of 128. The neighbors of a
    slice are stored in tiles of eight for each of its points, which keeps padding small and reads
    of the slice's own points contiguous. The fields are annotated loosely, because trees of this
    structure hold shapes and shardings too.

    Attributes:
        order: Point at each place of the slices; places at the end repeat the first point.
        places: Place of each point.
        owners: Slice of each tile, (tiles,).
        neighbors: Place of each neighbor, (8, tiles, 128).
        values: Probability of each pair, (8, tiles, 128); 0 in the padding.

    Reference: Kreutzer et al., A unified sparse matrix data format for efficient general sparse
    matrix-vector multiplication on modern processors with wide SIMD units, SIAM J. Sci. Comput.
    2014, arXiv:1307.6209.
    """

    order: Any
    places: Any
    owners: Any
    neighbors: Any
    values: Any

    def __repr__(self) -> str:
        return brief(self)


def lay_out(affinities: Affinities) -> Edges:
    """Sorts pairs into tiles; their values may be traced, their rows and columns may not."""
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
    shape = _DEPTH, int(tiles.sum()), _SLICE
    at = (rank % _DEPTH * shape[1] + tile) * _SLICE + place % _SLICE
    neighbors = np.zeros(shape, np.uint32)  # unsigned, so JAX checks for no negative index
    neighbors.reshape(-1)[at] = places[columns]
    owners = np.repeat(np.arange(slices, dtype=np.int32), tiles)
    values = _placed(affinities.values, at, neighbors.size).reshape(shape)
    return Edges(*map(jnp.asarray, (order, places, owners, neighbors, values)))


def _placed(values: Array, at: Int[np.ndarray, " pairs"], size: int) -> Array | np.ndarray:
    """Scatters values into an array of zeros, on the host unless they are traced."""
    if isinstance(values, jax.core.Tracer):
        return jnp.zeros(size, values.dtype).at[at].set(values, unique_indices=True)
    placed = np.zeros(size, values.dtype)
    placed[at] = values
    return placed


def attraction(embedding: Embedding, edges: Edges, kernel: Kernel) -> Embedding:
    """Computes the sum of `p pull(s) (y - y')` over the neighbors y' of each point y.

    >>> pair = Affinities(np.array([0, 1]), np.array([1, 0]), jnp.full(2, 0.5), jnp.zeros(()), 2)
    >>> from jaxvision.manifold.kernels import Gaussian
    >>> points = jnp.array([[0.0, 1.0], [0.0, 5.0]])
    >>> print(jax.jit(attraction, static_argnums=2)(points, lay_out(pair), Gaussian()))
    [[ 0. -2.]
     [ 0.  2.]]
    """
    own, others = _numbers(embedding, edges)

    def add(level: Any, pulls: list[Array]) -> list[Array]:
        away = _away(own, others, edges.neighbors[level])
        weight = edges.values[level] * kernel.pull(_square_length(away))
        return [pull + weight * each for pull, each in zip(pulls, away, strict=True)]

    pulls = jax.lax.fori_loop(0, _DEPTH, add, [jnp.zeros_like(each) for each in own])
    slices = len(edges.order) // _SLICE
    sums = [
        jax.ops.segment_sum(axis, edges.owners, slices, indices_are_sorted=True).ravel()
        for pull in pulls
        for axis in (pull.real, pull.imag)
    ]
    return jnp.stack(sums[: embedding.shape[1]], axis=1)[edges.places]


def cross_entropy(embedding: Embedding, edges: Edges, kernel: Kernel) -> Float[Array, ""]:
    """Computes the sum of `-p log k(s)` over all pairs, in nats.

    It is the cross-entropy of probabilities and similarities, except for the normalization of the
    similarities.
    """
    own, others = _numbers(embedding, edges)

    def add(level: Any, costs: Array) -> Array:
        away = _away(own, others, edges.neighbors[level])
        return costs + edges.values[level] * kernel.cost(_square_length(away))

    return jax.lax.fori_loop(0, _DEPTH, add, jnp.zeros_like(own[0].real)).sum()


def _numbers(embedding: Embedding, edges: Edges) -> tuple[list[Array], list[Array]]:
    """Packs two axes of the points into each complex number, so that one lookup reads both.

    Returns the points that own each tile, and all points.
    """
    axes = list(embedding[edges.order].T)
    if len(axes) % 2:
        axes.append(jnp.zeros_like(axes[0]))
    others = [jax.lax.complex(*pair) for pair in zip(axes[::2], axes[1::2], strict=True)]
    own = [each.reshape(-1, _SLICE)[edges.owners] for each in others]
    return own, others


def _away(own: list[Array], others: list[Array], neighbors: Array) -> list[Array]:
    """Differences between points and their neighbors."""
    return [
        mine - each.at[neighbors].get(mode="promise_in_bounds")
        for mine, each in zip(own, others, strict=True)
    ]


def _square_length(away: list[Array]) -> Array:
    squares = [jnp.square(axis) for each in away for axis in (each.real, each.imag)]
    return functools.reduce(operator.add, squares)
