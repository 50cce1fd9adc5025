"""Repulsion of many points in the plane on a grid, by particle-mesh with cubic B-splines.

The forces are the gradient of the summed similarity of all pairs, which is a convolution. Each
point spreads a unit charge over the nearest nodes of a grid. Fourier transforms convolve the grid
with the similarity, and the splines and their derivatives interpolate the result at the points.
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
"""Distances between nodes for a similarity of scale 1: with many points, with few, for a field."""
_FEW = 8000
_SIDES = (64, 128, 192, 256, 320, 384, 480, 576, 768, 960, 1280, 1536)
"""Numbers of nodes on a side: multiples of 64 with small prime factors, which transform fast."""
_VECTOR = 16
"""Number of rows that are transformed together: a multiple of the length of SIMD vectors."""
_MARGIN = 5
"""Number of nodes on a side beyond the span of the points."""
_ORDER = 4
"""Number of nodes along an axis over which a point is spread."""


class Meshes(flax.struct.PyTreeNode):
    """Grids of several sizes; each step uses the smallest that holds all points.

    If even the largest is too small, its nodes move apart: forces become less exact, and no point
    is lost. The fields are annotated loosely, because trees of this structure hold shapes and
    shardings too.

    Attributes:
        spectra: For each grid, the Fourier transform of the similarity between nodes, divided by
            that of the splines. It covers twice the side, so that the convolution does not wrap,
            and leaves out the highest frequency.
        self_terms: For each grid, the terms of a charge's potential on itself; see `_self_terms`.
        spacing: Distance between nodes.
    """

    spectra: tuple[Any, ...]
    self_terms: tuple[Any, ...]
    spacing: float = flax.struct.field(pytree_node=False)

    def __repr__(self) -> str:
        return brief(self)

    @property
    def sides(self) -> tuple[int, ...]:
        """The number of nodes on a side of each grid."""
        return tuple(each.shape[1] // 2 for each in self.spectra)


def make_meshes(num_points: int, kernel: Kernel) -> Meshes:
    """Makes the grids for an embedding; more points spread farther.

    Grids hold spans up to 228, 285 from 8,000 points, 380 from 20,000, 765 from 200,000. Larger
    spans use a grid whose nodes are farther apart.
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
    """The first terms of a charge's potential on itself, a cosine series in its offset from a node.

    They arise from aliasing: the spectrum of the splines overlaps with copies shifted by the
    frequency of the nodes.
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
    """The potential of each point on itself, and its slopes, which would push it off the nodes."""
    series, slope_of_series = _series_of_one_turn()
    left_right = stencil.offset * (1 - stencil.offset)
    cosine = jnp.polyval(series, left_right)
    slope = jnp.polyval(slope_of_series, left_right) * (1 - 2 * stencil.offset)
    along_x, along_y = terms[0, 1] + terms[1, 1] * cosine.T
    potential = terms[0, 0] + terms[0, 1] * cosine[:, 1] + along_x * cosine[:, 0]
    slopes = jnp.stack([along_y * slope[:, 0], along_x * slope[:, 1]], axis=1)
    return potential, slopes / 2


def _series_of_one_turn() -> tuple[Array, Array]:
    """Polynomials in u (1 - u) for cos(2 pi u), to 1e-6, and for its derivative.

    They replace cosines because XLA's CPU backend computes these one by one.
    """
    fitted = np.polynomial.Chebyshev.interpolate(
        lambda product: -np.cos(2 * np.pi * np.sqrt(1 / 4 - product)), 5, domain=[0, 1 / 4]
    ).convert(kind=np.polynomial.Polynomial)
    return jnp.asarray(fitted.coef[::-1]), jnp.asarray(fitted.deriv().coef[::-1])


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
        values, slopes = _read(self.grid, _stencil(places, len(self.grid)))
        return values, slopes / self.spacing


def make_field(embedding: Embedding, kernel: Kernel) -> Field:
    """Computes the field of an embedding, on a square that is a tenth larger than it.

    The embedding may not be traced.
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
    """The potential of points on a grid around 0 with node distance 1."""
    side = len(spectrum)
    return _convolve(_spread(_stencil(points, side), side), spectrum)


class _Stencil(NamedTuple):
    """The four by four nodes around each point, and the point's splines there.

    `corner` is the first node along both axes, and `offset` is the distance from the second.
    `values` and `slopes` are those of the splines at the four nodes, along x and along y.
    """

    corner: Int[Array, "points 2"]
    offset: Float[Array, "points 2"]
    values: tuple[list[Array], list[Array]]
    slopes: tuple[list[Array], list[Array]]


def _stencil(points: Embedding, side: int) -> _Stencil:
    """Finds the nodes around points, on a grid around 0 with node distance 1."""
    from_edge = points + side / 2
    node = jnp.clip(jnp.floor(from_edge).astype(jnp.int32), 1, side - _ORDER + 1)
    offset = from_edge - node
    (along_x, slope_x), (along_y, slope_y) = map(_splines, offset.T)
    return _Stencil(node - 1, offset, (along_x, along_y), (slope_x, slope_y))


def _spread(stencil: _Stencil, side: int) -> Grid:
    """Spreads the unit charge of each point over the nodes around it."""
    along_x, along_y = (jnp.stack(each, axis=1) for each in stencil.values)
    return jax.lax.scatter_add(
        jnp.zeros((side, side), along_x.dtype),
        stencil.corner,
        along_x[:, :, None] * along_y[:, None],
        jax.lax.ScatterDimensionNumbers((1, 2), (), (0, 1)),
        mode="promise_in_bounds",
    )


def _read(grid: Grid, stencil: _Stencil) -> tuple[Float[Array, " points"], Embedding]:
    """Interpolates a grid, and its slopes along both axes, at each point."""
    around = jax.lax.gather(
        grid,
        stencil.corner,
        jax.lax.GatherDimensionNumbers((1, 2), (), (0, 1)),
        (_ORDER, _ORDER),
        mode="promise_in_bounds",
    )
    around = jax.lax.optimization_barrier(around)  # without it, each number is looked up 3 times
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


def _convolve(grid: Grid, spectrum: Spectrum) -> Grid:
    """Convolves a grid with the kernel of a spectrum, without wrapping.

    Rows and columns are transformed separately, so that zeros and unused results need no transform.
    """
    side, double = len(grid), spectrum.shape[1]

    def convolved(column: Array, spectrum: Array) -> Array:
        return jnp.fft.ifft(jnp.fft.fft(column, double) * spectrum)[:, :side]

    rows = _by_vectors(lambda row: jnp.fft.rfft(row, double)[:, :side], grid)
    columns = _by_vectors(convolved, rows.T, spectrum)
    return _by_vectors(lambda row: jnp.fft.irfft(row, double)[:, :side], columns.T)


def _by_vectors(transform: Callable[..., Array], *rows: Any) -> Array:
    """Transforms a few rows at a time, for reproducible rounding.

    XLA's CPU backend splits many rows into a part for each free thread, and the last rows of a
    part, which do not fill a SIMD vector, are rounded differently.
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
    """The spectrum of a grid whose spacing is traced."""
    away = jnp.arange(side + 1) * spacing
    quarter = kernel.similarity(away[:, None] ** 2 + away**2)
    around = jnp.concatenate([quarter, quarter[:, -2:0:-1]], axis=1)
    around = jnp.concatenate([around, around[-2:0:-1]])
    splines = jnp.asarray(_spline_spectrum(2 * side), around.dtype)
    whole = jnp.fft.rfft2(around).real[:, :side]
    return (whole / jnp.square(splines[:, None] * splines[:side])).T


def _spline_spectrum(double: int) -> Float[np.ndarray, " _double"]:
    """The Fourier transform of a cubic B-spline at the nodes."""
    return (2 + np.cos(np.arange(double) * (2 * np.pi / double))) / 3
