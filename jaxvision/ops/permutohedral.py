"""Gaussian filtering of scattered points on a permutohedral lattice.

Reference: Adams et al., Fast high-dimensional filtering using the permutohedral lattice, 2010.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, UInt32

BLOCK = 2**14
"""The number of vertices whose neighbors are searched at once."""

SMALLEST_TABLE = 2**16
"""Tables of vertices have the size of the worst case, a quarter of it and so on, down to this."""

NOWHERE = 0
"""The row of vertices that do not exist; its values are 0."""


class Lattice(NamedTuple):
    """The simplices that points lie in; each has one corner more than points have coordinates.

    Attributes:
        weights: Barycentric coordinates of each point in its simplex.
        vertices: The row of each corner in tables of the vertices.
        neighbors: For each axis of the lattice, the rows of the next and the previous vertex.
        used: The number of rows in use, including row 0 for no vertex.
    """

    weights: Float[Array, "points corners"]
    vertices: Int[Array, "points corners"]
    neighbors: Int[Array, "corners two rows"]
    used: Int[Array, ""]


def make_lattice(points: Float[Array, "points coordinates"]) -> Lattice:
    """Finds the simplices of points, in units of the filter's width, and their corners' neighbors.

    Only vertices near points exist. Hashes of 64 bits identify them; a collision, which is
    improbable, would mix the values of two vertices. The weights have a gradient.

    >>> lattice = jax.jit(make_lattice)(jnp.array([[0.1, 0.2], [0.1, 0.2], [9.0, 9.0]]))
    >>> lattice.vertices.shape, lattice.used.item()
    ((3, 3), 7)
    """
    weights, keys = _find_corners(points)
    corners = weights.shape[1]
    sorted_keys, vertices, used = _number(keys, weights.size)
    steps = _hash(corners * jnp.eye(corners, corners - 1, dtype=jnp.int32) - 1)
    neighbors = lax.map(functools.partial(_find_neighbors, sorted_keys, used), steps)
    return Lattice(weights, vertices.reshape(weights.shape), neighbors, used)


def filter_on_lattice(
    lattice: Lattice, values: Float[Array, "points channels"]
) -> Float[Array, "points channels"]:
    """Sums the values of all points, weighted by a Gaussian of their distance, up to a factor.

    Values are added to the corners of their points, blurred along each axis by (1/2, 1, 1/2), and
    interpolated. Divide by the result for ones to remove the factor. Differentiable in reverse
    mode.

    >>> lattice = jax.jit(make_lattice)(jnp.array([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0]]))
    >>> values = jnp.array([[1.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
    >>> sums = jax.jit(filter_on_lattice)(lattice, values)
    >>> (sums[:, 0] / sums[:, 1]).round(1).tolist()
    [0.5, 0.5, 5.0]
    """
    sizes = [lattice.neighbors.shape[-1]]
    while sizes[0] > 4 * SMALLEST_TABLE:
        sizes.insert(0, sizes[0] // 4)
    # Images use few of the possible vertices, and large tables are slow.
    level = sum((lattice.used > size).astype(jnp.int32) for size in sizes[:-1])
    branches = [functools.partial(_filter, lattice, size) for size in sizes]
    return lax.switch(jnp.asarray(level, jnp.int32), branches, values)


def _filter(lattice: Lattice, rows: int, values: Array) -> Array:
    weights, corners = lattice.weights.astype(values.dtype), lattice.weights.shape[1]

    # A loop updates its table in place.
    def splat(corner: Array, table: Array) -> Array:
        return table.at[lattice.vertices[:, corner]].add(values * weights[:, corner, None])

    empty = jnp.zeros((rows, values.shape[1]), values.dtype)
    table = _blur(lax.fori_loop(0, corners, splat, empty), lattice.neighbors[..., :rows])
    slices = [_rows(table, vertices) for vertices in lattice.vertices.T]
    return sum(
        (each * weights[:, i, None] for i, each in enumerate(slices)), jnp.zeros_like(values)
    )


@jax.custom_vjp
def _blur(table: Array, neighbors: Array) -> Array:
    def along_axis(table: Array, pair: Array) -> tuple[Array, None]:
        return table + 0.5 * (_rows(table, pair[0]) + _rows(table, pair[1])), None

    return lax.scan(along_axis, table, neighbors)[0]


def _blur_forward(table: Array, neighbors: Array) -> tuple[Array, Array]:
    return _blur(table, neighbors), neighbors


def _blur_backward(neighbors: Array, gradient: Array) -> tuple[Array, None]:
    """Blurs along the axes in reverse order, since the blur along each axis is symmetric."""
    gradient = _blur(gradient.at[NOWHERE].set(0), neighbors[::-1])
    return gradient, None


_blur.defvjp(_blur_forward, _blur_backward)


def _rows(table: Array, rows: Array) -> Array:
    return table.at[rows].get(mode="promise_in_bounds")


def _find_corners(points: Array) -> tuple[Array, tuple[Array, Array]]:
    """The weights (points, corners) and hashes (points * corners) of the corners around points."""
    corners = points.shape[1] + 1
    embedding = jnp.asarray(_embedding(points.shape[1]), points.dtype)
    on_plane = jnp.dot(points, embedding, precision=lax.Precision.HIGHEST)
    # Rounding finds the nearest vertex with remainder 0; if its sum is not 0, the coordinates that
    # were rounded farthest are moved.
    rounded = jnp.round(on_plane / corners).astype(jnp.int32)
    rest = on_plane - rounded * corners
    other, own = rest[:, None, :], rest[:, :, None]
    earlier = np.tri(corners, k=-1, dtype=bool)  # the first of ties counts as larger
    larger = (other > own) | ((other == own) & earlier)
    rank = larger.sum(2, dtype=jnp.int32) + rounded.sum(1, keepdims=True)
    moved = (rank < 0).astype(jnp.int32) - (rank >= corners).astype(jnp.int32)
    rank, base = rank + moved * corners, (rounded + moved) * corners
    rest = (on_plane - base) / corners
    place = np.arange(corners)
    # Selection, because the gradient of indexing is a scatter.
    rising = jnp.where(rank[:, None] == place[::-1, None], rest[:, None], 0).sum(2)
    weights = jnp.diff(rising, axis=1, prepend=rising[:, -1:] - 1)
    offsets = jnp.where(rank[:, None] < corners - place[:, None], 0, -corners) + place[:, None]
    one, two = _hash((base[:, None] + offsets)[..., :-1])
    return weights, (one.ravel(), two.ravel())


def _embedding(coordinates: int) -> Float[np.ndarray, "coordinates corners"]:
    """The matrix from points to the plane of the lattice, where the blur has a width of 1."""
    matrix = np.tri(coordinates, coordinates + 1)
    index = np.arange(coordinates)
    matrix[index, index + 1] = -(index + 1)
    length = np.sqrt((index + 1) * (index + 2))
    return matrix * ((coordinates + 1) * np.sqrt(2 / 3) / length)[:, None]


def _hash(vertices: Int[Array, "*shape coordinates"]) -> tuple[Array, Array]:
    """Two linear hashes: the hash of a sum of vertices is the sum of their hashes.

    All coordinates of a vertex have the same remainder, so their differences are small numbers.
    """
    coordinates = vertices.shape[-1]
    differences = (vertices[..., 1:] - vertices[..., :1]) // (coordinates + 1)
    small = jnp.concatenate([vertices[..., :1], differences], axis=-1).astype(jnp.uint32)
    factors = np.random.default_rng(0).integers(0, 2**32, (2, coordinates), dtype=np.uint32) | 1
    one, two = ((small * row).sum(-1, dtype=jnp.uint32) for row in factors)
    return one, two


def _number(keys: tuple[Array, Array], total: int) -> tuple[tuple[Array, Array], Array, Array]:
    """Numbers distinct keys from 1 in ascending order: keys by row, rows by corner, rows in use."""
    block = min(BLOCK, total + 1)
    rows = -(-(total + 1) // block) * block
    one, two, order = lax.sort((*keys, jnp.arange(total, dtype=jnp.int32)), num_keys=2)
    starts = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
    row = 1 + jnp.cumsum(jnp.pad(starts, (1, 0)).astype(jnp.int32))
    vertices = jnp.zeros(total, jnp.int32).at[order].set(row, unique_indices=True)
    table = tuple(jnp.zeros(rows, jnp.uint32).at[row].set(key) for key in (one, two))
    return (table[0], table[1]), vertices, row[-1] + 1


def _find_neighbors(
    keys: tuple[UInt32[Array, " rows"], UInt32[Array, " rows"]],
    used: Int[Array, ""],
    step: tuple[UInt32[Array, ""], UInt32[Array, ""]],
) -> Int[Array, "two rows"]:
    """The rows of the vertices one step forward and one step back, by binary search."""
    rows = keys[0].shape[0]
    size = min(BLOCK, rows)

    def search(block: Array, found: Array) -> Array:
        at = block * size
        one, two = (
            lax.dynamic_slice(key, (at,), (size,)) + more
            for key, more in zip(keys, step, strict=True)
        )

        def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) // 2
            less = (keys[0][middle] < one) | ((keys[0][middle] == one) & (keys[1][middle] < two))
            return jnp.where(less, middle + 1, low), jnp.where(less, high, middle)

        low = jnp.full(size, 1, jnp.int32)
        place, _ = lax.fori_loop(0, rows.bit_length(), halve, (low, jnp.full(size, used)))
        own = at + jnp.arange(size)
        same = (keys[0][place] == one) & (keys[1][place] == two)
        exists = same & (place < used) & (own > NOWHERE) & (own < used)
        return lax.dynamic_update_slice(found, jnp.where(exists, place, NOWHERE), (at,))

    nothing = jnp.full(rows, NOWHERE, jnp.int32)
    following = lax.fori_loop(0, (used + size - 1) // size, search, nothing)
    previous = nothing.at[following].set(jnp.arange(rows, dtype=jnp.int32))
    return jnp.stack([following, previous.at[NOWHERE].set(NOWHERE)])
