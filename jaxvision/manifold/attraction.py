"""What pulls the points of an embedding together: a sum over the pairs of neighbors."""

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
"""Points whose neighbors lie side by side."""
_DEPTH = 8
"""Neighbors of a point that are added up at once."""


class Edges(flax.struct.PyTreeNode):
    """Pairs of neighbors in the order in which they are fastest to go through.

    Points are sorted by the number of their neighbors and cut into slices of 128. The neighbors of
    a slice are laid out in tiles, eight for each of its points, so that little is padded, and what
    is read of a slice's own points lies side by side (the format SELL-C-sigma). A level holds one
    of the eight, of all tiles. The fields are annotated loosely, because trees of this form hold
    shapes and shardings too.

    Attributes:
        order: The point at each place of the slices; places at the end repeat the first point.
        places: The place of each point.
        owners: The slice of each tile, (tiles,).
        neighbors: The place of each neighbor, (8, tiles, 128).
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

    def __repr__(self) -> str:
        return brief(self)


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
    shape = _DEPTH, int(tiles.sum()), _SLICE
    at = (rank % _DEPTH * shape[1] + tile) * _SLICE + place % _SLICE
    neighbors = np.zeros(shape, np.uint32)  # unsigned: none is to be counted from the end
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
    """Adds up the costs of all pairs.

    Args:
        embedding: The points.
        edges: Their pairs.
        kernel: The similarity.

    Returns:
        The sum of `-p log k(s)` over all pairs, in nats: the cross-entropy of the probabilities and
        the similarities, if these summed to 1.
    """
    own, others = _numbers(embedding, edges)

    def add(level: Any, costs: Array) -> Array:
        away = _away(own, others, edges.neighbors[level])
        return costs + edges.values[level] * kernel.cost(_square_length(away))

    return jax.lax.fori_loop(0, _DEPTH, add, jnp.zeros_like(own[0].real)).sum()


def _numbers(embedding: Embedding, edges: Edges) -> tuple[list[Array], list[Array]]:
    """Two axes of the points in each complex number, so that one lookup reads both.

    Returns:
        Those of the points that each tile is of, and those of all points.
    """
    axes = list(embedding[edges.order].T)
    if len(axes) % 2:
        axes.append(jnp.zeros_like(axes[0]))
    others = [jax.lax.complex(*pair) for pair in zip(axes[::2], axes[1::2], strict=True)]
    own = [each.reshape(-1, _SLICE)[edges.owners] for each in others]
    return own, others


def _away(own: list[Array], others: list[Array], neighbors: Array) -> list[Array]:
    """How far neighbors are."""
    return [
        mine - each.at[neighbors].get(mode="promise_in_bounds")
        for mine, each in zip(own, others, strict=True)
    ]


def _square_length(away: list[Array]) -> Array:
    squares = [jnp.square(axis) for each in away for axis in (each.real, each.imag)]
    return functools.reduce(operator.add, squares)
