"""Repulsion of many points in the plane on a grid, by particle-mesh with cubic B-splines.

The forces are the gradient of the summed similarity of all pairs, which is a convolution. Each
point spreads a unit charge over the nearest nodes of a grid. Fourier transforms convolve the grid
with the similarity, and the splines and their derivatives interpolate the result at the points.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvision._reprs import brief
from jaxvision.manifold.convolution import (
    REACH,
    Convolution,
    make_convolution,
    potential_on_itself,
)
from jaxvision.manifold.kernels import Kernel
from jaxvision.manifold.repulsion import Repulsion
from jaxvision.manifold.splines import ORDER, Embedding, Grid, make_stencil, read, spread

_SPACING = 0.5
"""Distance between nodes for a similarity of scale 1."""
_FINE_SPACING = 0.33
"""The distance for fields, and for few points, whose grids are small. Less exact forces change sign
more often, which lowers the gains: at 0.4, the digits spread 7 % less than with exact forces."""
_FEW = 8000
"""Most points for which the finer distance is used."""
_SIDES = (128, 256, 320, 384, 512, 640, 768, 1024, 1280, 1536)
"""Numbers of nodes on a side: multiples of 64 with small prime factors, which transform fast."""
_MARGIN = REACH + ORDER
"""Number of nodes on a side beyond the span of the points."""


class Meshes(flax.struct.PyTreeNode):
    """Grids of several sizes; each step uses the smallest that holds all points.

    If even the largest is too small, its nodes move apart: forces become less exact, and no point
    is lost. The fields are annotated loosely, because trees of this structure hold shapes and
    shardings too.

    Attributes:
        convolutions: Convolution of each grid with the similarity.
        spacing: Distance between nodes.
    """

    convolutions: tuple[Any, ...]
    spacing: float = flax.struct.field(pytree_node=False)

    def __repr__(self) -> str:
        return brief(self)

    @property
    def sides(self) -> tuple[int, ...]:
        """The number of nodes on a side of each grid."""
        return tuple(each.side for each in self.convolutions)


def make_meshes(num_points: int, kernel: Kernel) -> Meshes:
    """Makes the grids for an embedding; more points spread farther.

    Grids hold spans up to 204, 310 from 8,000 points, 374 from 20,000, 758 from 200,000. Larger
    spans use a grid whose nodes are farther apart.
    """
    largest = 640 if num_points < 20_000 else 768 if num_points < 200_000 else 1536
    spacing = _SPACING if num_points > _FEW else _FINE_SPACING
    sides = [side for side in _SIDES if side <= largest]
    return Meshes(tuple(make_convolution(side, spacing, kernel) for side in sides), spacing)


def mesh_repulsion(embedding: Embedding, meshes: Meshes, kernel: Kernel) -> Repulsion:
    """Computes the repulsion of points in the plane, to a few percent.

    Reference: Essmann et al., A smooth particle mesh Ewald method, J. Chem. Phys. 1995; Linderman
    et al., Fast interpolation-based t-SNE, Nature Methods 2019, arXiv:1712.09005.

    >>> from jaxvision.manifold.kernels import Student
    >>> from jaxvision.manifold.repulsion import exact_repulsion
    >>> points = 30 * np.random.default_rng(0).random((300, 2)).astype(np.float32)
    >>> def difference(points, meshes):
    ...     found = mesh_repulsion(points, meshes, Student())
    ...     return found.log_total - exact_repulsion(points, Student()).log_total
    >>> bool(abs(jax.jit(difference)(points, make_meshes(300, Student()))) < 0.01)
    True
    """
    sides = meshes.sides
    low, high = embedding.min(axis=0), embedding.max(axis=0)
    span = (high - low).max()
    fitting = jnp.searchsorted(jnp.array(sides) - _MARGIN, span / meshes.spacing)
    spacing = jnp.maximum(meshes.spacing, span / (sides[-1] - _MARGIN))
    stencil = make_stencil((embedding - (low + high) / 2) / spacing, sides[-1])
    charges = spread(stencil, sides[-1])

    def on_grid(convolution: Convolution) -> tuple[Grid, Array]:
        side = convolution.side
        middle = slice((sides[-1] - side) // 2, (sides[-1] + side) // 2)
        grid = convolution(charges[middle, middle])
        grid = jnp.pad(grid, [(middle.start, sides[-1] - middle.stop)] * 2)
        return grid, convolution.self_terms

    def on_wider_grid() -> tuple[Grid, Array]:
        return on_grid(make_convolution(sides[-1], spacing, kernel))

    branches: list[Callable[[], Any]] = [
        functools.partial(on_grid, each) for each in meshes.convolutions
    ]
    grid, self_terms = jax.lax.switch(fitting, [*branches, on_wider_grid])
    potential, slope = read(grid, stencil)
    own_potential, own_slope = potential_on_itself(stencil.offset, self_terms)
    total = (potential - own_potential).sum()
    return Repulsion((slope - own_slope) / (-2 * spacing * total), jnp.log(total))


class Field(flax.struct.PyTreeNode):
    """The summed similarity to the points of an embedding, as a function on the plane.

    `grid` holds the sums at the nodes, and `center` is the middle of the grid.
    """

    grid: Grid
    center: Float[Array, " 2"]
    spacing: float = flax.struct.field(pytree_node=False)

    def __repr__(self) -> str:
        return brief(self)

    def at(self, points: Embedding) -> tuple[Float[Array, " points"], Embedding]:
        """Interpolates the sums and their gradients at points within the square of `make_field`."""
        places = (points - self.center) / self.spacing
        values, slopes = read(self.grid, make_stencil(places, len(self.grid)))
        return values, slopes / self.spacing


def make_field(embedding: Embedding, kernel: Kernel) -> Field:
    """Computes the field of an embedding, on a square that is a tenth larger than it.

    The embedding may not be traced.
    """
    low, high = np.min(embedding, axis=0), np.max(embedding, axis=0)
    span = 1.1 * float((high - low).max())
    side = next((side for side in _SIDES if side >= span / _FINE_SPACING + _MARGIN), _SIDES[-1])
    spacing = max(_FINE_SPACING, span / (side - _MARGIN))
    center = (low + high) / 2
    grid = _filled((embedding - center) / spacing, make_convolution(side, spacing, kernel))
    return Field(grid, jnp.asarray(center), spacing)


@jax.jit
def _filled(points: Embedding, convolution: Convolution) -> Grid:
    """The potential of points on a grid around 0 with node distance 1."""
    return convolution(spread(make_stencil(points, convolution.side), convolution.side))
