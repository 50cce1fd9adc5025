"""Cubic B-splines on grids: charges of points are spread with them, and potentials read."""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Embedding = Float[Array, "points 2"]
Grid = Float[Array, "_side _side"]

ORDER = 4
"""Number of nodes along an axis over which a point is spread."""
COARSER = 4
"""Distance between the nodes of a coarse grid, in nodes of the fine one."""
_TAPS = [tap / 64 for tap in (1, 4, 10, 20, 31, 40, 44, 40, 31, 20, 10, 4, 1)]
"""The spline of a coarse node as a sum of those of 13 fine nodes, the middle one at its place."""


class Stencil(NamedTuple):
    """The four by four nodes around each point, and the point's splines there.

    `corner` is the first node along both axes, and `offset` is the distance from the second.
    `values` and `slopes` are those of the splines at the four nodes, along x and along y.
    """

    corner: Int[Array, "points 2"]
    offset: Float[Array, "points 2"]
    values: tuple[list[Array], list[Array]]
    slopes: tuple[list[Array], list[Array]]


def make_stencil(points: Embedding, side: int) -> Stencil:
    """Finds the nodes around points, on a grid around 0 with node distance 1."""
    from_edge = points + side / 2
    node = jnp.clip(jnp.floor(from_edge).astype(jnp.int32), 1, side - ORDER + 1)
    offset = from_edge - node
    (along_x, slope_x), (along_y, slope_y) = map(_splines, offset.T)
    return Stencil(node - 1, offset, (along_x, along_y), (slope_x, slope_y))


def spread(stencil: Stencil, side: int) -> Grid:
    """Spreads the unit charge of each point over the nodes around it."""
    along_x, along_y = (jnp.stack(each, axis=1) for each in stencil.values)
    return jax.lax.scatter_add(
        jnp.zeros((side, side), along_x.dtype),
        stencil.corner,
        along_x[:, :, None] * along_y[:, None],
        jax.lax.ScatterDimensionNumbers((1, 2), (), (0, 1)),
        mode="promise_in_bounds",
    )


def read(grid: Grid, stencil: Stencil) -> tuple[Float[Array, " points"], Embedding]:
    """Interpolates a grid, and its slopes along both axes, at each point."""
    around = jax.lax.gather(
        grid,
        stencil.corner,
        jax.lax.GatherDimensionNumbers((1, 2), (), (0, 1)),
        (ORDER, ORDER),
        mode="promise_in_bounds",
    )
    around = jax.lax.optimization_barrier(around)  # without it, each number is looked up 3 times
    (along_x, along_y), (slope_x, slope_y) = stencil.values, stencil.slopes
    potential = over_x = over_y = jnp.zeros(len(around), grid.dtype)
    for x in range(ORDER):
        row = sum(along_y[y] * around[:, x, y] for y in range(ORDER))
        slope = sum(slope_y[y] * around[:, x, y] for y in range(ORDER))
        potential += along_x[x] * row
        over_x += slope_x[x] * row
        over_y += along_x[x] * slope
    return potential, jnp.stack([over_x, over_y], axis=1)


def _splines(offset: Float[Array, " points"]) -> tuple[list[Array], list[Array]]:
    """The values of a point's cubic B-spline at the four nodes around it, and its slopes there."""
    left, right = offset, 1 - offset
    values = [
        right**3 / 6,
        (4 - 6 * left**2 + 3 * left**3) / 6,
        (4 - 6 * right**2 + 3 * right**3) / 6,
        left**3 / 6,
    ]
    slopes = [
        -(right**2) / 2,
        (3 * left - 4) * left / 2,
        (4 - 3 * right) * right / 2,
        left**2 / 2,
    ]
    return values, slopes


def coarsen(charges: Grid) -> Grid:
    """Spreads charges over a coarse grid, from those on a fine grid.

    The result is that of spreading each point over the coarse grid, because the spline of a coarse
    node is a sum of splines of fine nodes. Charges on the outer six nodes are lost.

    >>> charges = np.eye(32, dtype=np.float32)[6:-6, 6:-6]
    >>> coarse = jax.jit(coarsen)(np.pad(charges, 6))
    >>> print(coarse.shape, coarse.sum())
    (8, 8) 20.0
    """
    side, reach = len(charges), len(_TAPS) // 2

    def along_columns(grid: Array) -> Array:
        padded = jnp.pad(grid, [(reach, reach), (0, 0)])
        shifted = (padded[start : start + side : COARSER] for start in range(len(_TAPS)))
        added = [tap * each for tap, each in zip(_TAPS, shifted, strict=True)]
        return functools.reduce(operator.add, added)

    return along_columns(along_columns(charges).T).T


def refine(coarse: Grid) -> Grid:
    """Computes the values at fine nodes that interpolate to the same function as coarse ones.

    >>> constant = jax.jit(refine)(np.ones((8, 8), np.float32))
    >>> print(constant.shape, constant[16, 14:18])
    (32, 32) [1. 1. 1. 1.]
    """
    side = len(coarse)
    # Each fine node is reached by the splines of up to four coarse nodes.
    taps = np.pad(_TAPS, (2, 1)).reshape(4, 1, COARSER, 1).astype(coarse.dtype)

    def along_columns(grid: Array) -> Array:
        # Without a barrier, each number is compared with the edges, and nothing is vectorized.
        padded = jax.lax.optimization_barrier(jnp.pad(grid, [(1, 2), (0, 0)]))
        around = [padded[first : first + side, None] for first in (3, 2, 1, 0)]
        added = [node * tap for tap, node in zip(taps, around, strict=True)]
        return functools.reduce(operator.add, added).reshape(COARSER * side, -1)

    return along_columns(along_columns(coarse.T).T)
