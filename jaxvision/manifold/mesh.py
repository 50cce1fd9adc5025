"""The repulsion of many points in the plane, from a grid: particle-mesh with cubic B-splines.

The forces are the gradient of the sum of the similarities of all pairs, and that sum is a
convolution. So one charge for each point is spread over the nodes of a grid, convolved there with
the similarity by Fourier transforms, and read back with the derivatives of the splines.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Float, Int

from jaxvision._reprs import brief
from jaxvision.manifold.kernels import Kernel
from jaxvision.manifold.repulsion import Repulsion

Embedding = Float[Array, "points 2"]
Grid = Float[Array, "_side _side"]
Spectrum = Float[Array | np.ndarray, "_side _double"]

_SPACING, _FEW_SPACING, _FIELD_SPACING = 0.5, 0.4, 0.33
"""Between nodes, where the scale of the similarities is 1: of many points, of few, of a field."""
_FEW = 8000
_SIDES = (64, 128, 192, 256, 320, 384, 480, 576, 768, 960, 1280, 1536)
"""Nodes on a side: multiples of 64 with small prime factors, for which transforms are fast."""
_VECTOR = 16
"""Rows that are transformed together: a multiple of those that fill a vector."""
_MARGIN = 5
"""So many more nodes than distances of nodes between the outermost points."""
_ORDER = 4
"""Nodes along an axis that a point is spread over."""


class Meshes(flax.struct.PyTreeNode):
    """Grids, of which each step takes the smallest that holds all points.

    Where even the largest is too small, its nodes move apart: forces become less exact, and no
    point is lost. The fields are annotated loosely, because trees of this form hold shapes and
    shardings too.

    Attributes:
        spectra: For each grid, the Fourier transform of the similarity between nodes, divided by
            that of the splines, on twice the side, as the convolution is not to wrap. The highest
            frequency is left out.
        self_terms: For each grid, the potential that a charge has by itself; see `_self_terms`.
        spacing: The distance between nodes.
    """

    spectra: tuple[Any, ...]
    self_terms: tuple[Any, ...]
    spacing: float = flax.struct.field(pytree_node=False)

    def __repr__(self) -> str:
        return brief(self)

    @property
    def sides(self) -> tuple[int, ...]:
        """The nodes on a side of each grid."""
        return tuple(each.shape[1] // 2 for each in self.spectra)


def make_meshes(num_points: int, kernel: Kernel) -> Meshes:
    """Makes the grids for an embedding.

    Args:
        num_points: How many points it has; more points spread farther.
        kernel: The similarity.

    Returns:
        Grids for spans up to 228, 285 from 8,000 points, 380 from 20,000, 765 from 200,000. What is
        larger is held by grids whose nodes are farther apart.
    """
    largest = 576 if num_points < 20_000 else 768 if num_points < 200_000 else 1536
    sides = [side for side in _SIDES if side <= largest]
    spacing = _SPACING if num_points > _FEW else _FEW_SPACING
    spectra = [_exact_spectrum(side, spacing, kernel) for side in sides]
    terms = [_self_terms(each) for each in spectra]
    to_device = functools.partial(jnp.asarray, dtype=jnp.float32)
    return Meshes(tuple(map(to_device, spectra)), tuple(map(to_device, terms)), spacing)


def mesh_repulsion(embedding: Embedding, meshes: Meshes, kernel: Kernel) -> Repulsion:
    """Computes the repulsion of points in the plane, to a few percent.

    Args:
        embedding: The points.
        meshes: The grids.
        kernel: The similarity.

    Returns:
        The forces and the sum.

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
    stencil = _stencil((embedding - (low + high) / 2) / spacing, sides[-1])
    charges = _spread(stencil, sides[-1])

    def on_grid(side: int, spectrum: Spectrum, terms: Any) -> tuple[Grid, Array]:
        middle = slice((sides[-1] - side) // 2, (sides[-1] + side) // 2)
        grid = _convolve(charges[middle, middle], spectrum)
        return jnp.pad(grid, [(middle.start, sides[-1] - middle.stop)] * 2), terms

    def on_wider_grid() -> tuple[Grid, Array]:
        spectrum = _spectrum(sides[-1], spacing, kernel)
        return on_grid(sides[-1], spectrum, _self_terms(spectrum))

    grids = zip(sides, meshes.spectra, meshes.self_terms, strict=True)
    branches: list[Callable[[], Any]] = [functools.partial(on_grid, *each) for each in grids]
    grid, terms = jax.lax.switch(fitting, [*branches, on_wider_grid])
    potential, slope = _read(grid, stencil)
    own_potential, own_slope = _of_itself(stencil, terms)
    total = (potential - own_potential).sum()
    return Repulsion((slope - own_slope) / (-2 * spacing * total), jnp.log(total))


def _self_terms(spectrum: Spectrum) -> Float[Array | np.ndarray, "2 2"]:
    """The first terms of the potential that a charge has by itself, a cosine series in its offset.

    Off the nodes, the spectrum of its splines overlaps with the same shifted by that of the nodes.
    """
    side, double = spectrum.shape
    frequencies = np.arange(double) / double
    transforms = [np.sinc(frequencies + shift) ** _ORDER for shift in range(-4, 6)]
    overlaps = np.stack(
        [
            sum(one * other for one, other in zip(transforms, transforms[shift:], strict=False))
            for shift in range(2)
        ]
    )
    series = np.array([[1], [2]]) / double
    of_columns = (series * overlaps).astype(spectrum.dtype)
    of_rows = of_columns[:, :side] * np.where(np.arange(side), 2, 1).astype(spectrum.dtype)
    if isinstance(spectrum, np.ndarray):
        return of_rows @ spectrum @ of_columns.T
    product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    return product(product(of_rows, spectrum), of_columns.T)


def _of_itself(stencil: "_Stencil", terms: Float[Array, "2 2"]) -> tuple[Array, Embedding]:
    """The potential that each point has by itself, and its slopes, which push it off the nodes."""
    series, slope_of_series = _series_of_one_turn()
    left_right = stencil.offset * (1 - stencil.offset)
    cosine = jnp.polyval(series, left_right)
    slope = jnp.polyval(slope_of_series, left_right) * (1 - 2 * stencil.offset)
    along_x, along_y = terms[0, 1] + terms[1, 1] * cosine.T
    potential = terms[0, 0] + terms[0, 1] * cosine[:, 1] + along_x * cosine[:, 0]
    slopes = jnp.stack([along_y * slope[:, 0], along_x * slope[:, 1]], axis=1)
    return potential, slopes / 2


def _series_of_one_turn() -> tuple[Array, Array]:
    """The cosine of one turn as a polynomial in u (1 - u), to 1e-6, and its derivative.

    XLA's CPU backend computes cosines one by one.
    """
    fitted = np.polynomial.Chebyshev.interpolate(
        lambda product: -np.cos(2 * np.pi * np.sqrt(1 / 4 - product)), 5, domain=[0, 1 / 4]
    ).convert(kind=np.polynomial.Polynomial)
    return jnp.asarray(fitted.coef[::-1]), jnp.asarray(fitted.deriv().coef[::-1])


class Field(flax.struct.PyTreeNode):
    """The sum of the similarities to the points of an embedding, as a function of the plane.

    Attributes:
        grid: It at the nodes.
        center: The middle of the grid.
        spacing: The distance between nodes.
    """

    grid: Grid
    center: Float[Array, " 2"]
    spacing: float = flax.struct.field(pytree_node=False)

    def __repr__(self) -> str:
        return brief(self)

    def at(self, points: Embedding) -> tuple[Float[Array, " points"], Embedding]:
        """Reads the sum, and its gradient, at points.

        Args:
            points: Where to read it, within the square of `make_field`.

        Returns:
            The sums and the gradients.
        """
        places = (points - self.center) / self.spacing
        values, slopes = _read(self.grid, _stencil(places, len(self.grid)))
        return values, slopes / self.spacing


def make_field(embedding: Embedding, kernel: Kernel) -> Field:
    """Adds up the similarities to the points of an embedding, for all of the plane around it.

    Args:
        embedding: The points, which may not be traced.
        kernel: The similarity.

    Returns:
        The sum, for a square that is a tenth larger than the embedding.
    """
    low, high = np.min(embedding, axis=0), np.max(embedding, axis=0)
    span = 1.1 * float((high - low).max())
    side = next((side for side in _SIDES if side >= span / _FIELD_SPACING + _MARGIN), _SIDES[-1])
    spacing = max(_FIELD_SPACING, span / (side - _MARGIN))
    center = (low + high) / 2
    spectrum = _exact_spectrum(side, spacing, kernel).astype(embedding.dtype)
    grid = _filled((embedding - center) / spacing, spectrum)
    return Field(grid, jnp.asarray(center), spacing)


@jax.jit
def _filled(points: Embedding, spectrum: Spectrum) -> Grid:
    """The potential of points around 0 on a grid whose nodes are 1 apart."""
    side = len(spectrum)
    return _convolve(_spread(_stencil(points, side), side), spectrum)


class _Stencil(NamedTuple):
    """The four by four nodes around each point, and the splines there.

    Attributes:
        corner: The first node along both axes.
        offset: How far the point is from the second one.
        values: The splines at the four nodes, along x and along y.
        slopes: Their slopes.
    """

    corner: Int[Array, "points 2"]
    offset: Float[Array, "points 2"]
    values: tuple[list[Array], list[Array]]
    slopes: tuple[list[Array], list[Array]]


def _stencil(points: Embedding, side: int) -> _Stencil:
    """Finds the nodes around points of a grid around 0 whose nodes are 1 apart."""
    from_edge = points + side / 2
    node = jnp.clip(jnp.floor(from_edge).astype(jnp.int32), 1, side - _ORDER + 1)
    offset = from_edge - node
    (along_x, slope_x), (along_y, slope_y) = map(_splines, offset.T)
    return _Stencil(node - 1, offset, (along_x, along_y), (slope_x, slope_y))


def _spread(stencil: _Stencil, side: int) -> Grid:
    """Spreads a charge for each point over the nodes around it."""
    along_x, along_y = (jnp.stack(each, axis=1) for each in stencil.values)
    return jax.lax.scatter_add(
        jnp.zeros((side, side), along_x.dtype),
        stencil.corner,
        along_x[:, :, None] * along_y[:, None],
        jax.lax.ScatterDimensionNumbers((1, 2), (), (0, 1)),
        mode="promise_in_bounds",
    )


def _read(grid: Grid, stencil: _Stencil) -> tuple[Float[Array, " points"], Embedding]:
    """Reads a grid, and its slopes along both axes, at each point."""
    around = jax.lax.gather(
        grid,
        stencil.corner,
        jax.lax.GatherDimensionNumbers((1, 2), (), (0, 1)),
        (_ORDER, _ORDER),
        mode="promise_in_bounds",
    )
    around = jax.lax.optimization_barrier(around)  # or each number is looked up three times
    (along_x, along_y), (slope_x, slope_y) = stencil.values, stencil.slopes
    potential = over_x = over_y = jnp.zeros(len(around), grid.dtype)
    for x in range(_ORDER):
        row = sum(along_y[y] * around[:, x, y] for y in range(_ORDER))
        slope = sum(slope_y[y] * around[:, x, y] for y in range(_ORDER))
        potential += along_x[x] * row
        over_x += slope_x[x] * row
        over_y += along_x[x] * slope
    return potential, jnp.stack([over_x, over_y], axis=1)


def _splines(offset: Float[Array, " points"]) -> tuple[list[Array], list[Array]]:
    """The values at the four nodes around a point of its cubic B-spline, and their slopes."""
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


def _convolve(grid: Grid, spectrum: Spectrum) -> Grid:
    """Convolves a grid with what the spectrum is of, without wrapping.

    Rows and columns are transformed one after the other, so that those that are 0, or are thrown
    away, need no transform.
    """
    side, double = len(grid), spectrum.shape[1]

    def convolved(column: Array, spectrum: Array) -> Array:
        return jnp.fft.ifft(jnp.fft.fft(column, double) * spectrum)[:, :side]

    rows = _by_vectors(lambda row: jnp.fft.rfft(row, double)[:, :side], grid)
    columns = _by_vectors(convolved, rows.T, spectrum)
    return _by_vectors(lambda row: jnp.fft.irfft(row, double)[:, :side], columns.T)


def _by_vectors(transform: Callable[..., Array], *rows: Any) -> Array:
    """Transforms a few rows at a time.

    XLA's CPU backend cuts many rows into as many parts as there are threads free for it, and those
    of a part that fill no vector are rounded otherwise.
    """
    parts = [each.reshape(-1, _VECTOR, each.shape[1]) for each in rows]
    done = jax.lax.map(lambda part: transform(*part), parts)
    return done.reshape(-1, done.shape[2])


def _exact_spectrum(
    side: int, spacing: float, kernel: Kernel
) -> Float[np.ndarray, "_side _double"]:
    """The spectrum of a grid, in float64."""
    away = np.arange(side + 1) * spacing
    quarter = scipy.fft.dctn(kernel.similarity(away[:, None] ** 2 + away**2), type=1)
    whole = np.concatenate([quarter, quarter[:, -2:0:-1]], axis=1)[:side]
    splines = _spline_spectrum(2 * side)
    return whole / np.square(splines[:side, None] * splines)


def _spectrum(side: int, spacing: Array, kernel: Kernel) -> Spectrum:
    """The spectrum of a grid whose spacing is known to the step only."""
    away = jnp.arange(side + 1) * spacing
    quarter = kernel.similarity(away[:, None] ** 2 + away**2)
    around = jnp.concatenate([quarter, quarter[:, -2:0:-1]], axis=1)
    around = jnp.concatenate([around, around[-2:0:-1]])
    splines = jnp.asarray(_spline_spectrum(2 * side), around.dtype)
    whole = jnp.fft.rfft2(around).real[:, :side]
    return (whole / jnp.square(splines[:, None] * splines[:side])).T


def _spline_spectrum(double: int) -> Float[np.ndarray, " _double"]:
    """The transform of a cubic B-spline at the nodes."""
    return (2 + np.cos(np.arange(double) * (2 * np.pi / double))) / 3
