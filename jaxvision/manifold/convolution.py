"""Convolution of charges on a grid with a similarity, by Fourier transforms of two grids.

The similarity is a sum of normal distributions of all widths. The narrow ones act over few nodes,
so that a convolution that wraps around the grid is right where its edges are empty. The wide ones
act over any distance, which takes a grid of twice the side, but they are smooth, so that its nodes
may be four times as far apart. Together these transforms take a third of the time of the transforms
of the whole similarity on a fine grid of twice the side.

Reference: Hockney and Eastwood, Computer simulation using particles, 1988; Hardy et al., Multilevel
summation of electrostatic potentials using graphics processing units, Parallel Computing 2009.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Float

from jaxvision._reprs import brief
from jaxvision.manifold.kernels import Kernel
from jaxvision.manifold.splines import COARSER, ORDER, Grid, coarsen, refine

Spectrum = Float[Array | np.ndarray, "_half _length"]

REACH = 16
"""Number of nodes beyond which what the narrow distributions add is neglected."""
_SHARPNESS = 0.03
"""Exponent of the narrowest wide distribution, `exp(-t s)`, with distances counted in nodes."""
_VECTOR = 16
"""Number of rows that are transformed together: a multiple of the length of SIMD vectors."""
_ALIASES = np.arange(-4, 5)
"""Shifts, in frequencies of the nodes, of the copies of a spectrum that are taken into account."""


class Convolution(flax.struct.PyTreeNode):
    """Convolution of charges on a grid with a similarity.

    The fields are annotated loosely, because trees of this structure hold shapes and shardings too.

    Attributes:
        narrow: Spectrum of the narrow distributions, between nodes of the grid.
        wide: Spectrum of the wide distributions, between nodes of the coarse grid.
        self_terms: Terms of a charge's potential on itself: (2, 2) coefficients of a cosine series
            in its offset from a node.
    """

    narrow: Any
    wide: Any
    self_terms: Any

    def __repr__(self) -> str:
        return brief(self)

    @property
    def side(self) -> int:
        """The number of nodes on a side of the grid."""
        side: int = self.narrow.shape[1]
        return side

    def __call__(self, charges: Grid) -> Grid:
        """Convolves the charges of points that are half of `REACH` or more from the edges."""
        wide = _convolve(coarsen(charges), self.wide)
        return _convolve(charges, self.narrow) + refine(wide)


def potential_on_itself(
    offset: Float[Array, "points 2"], terms: Float[Array, "2 2"]
) -> tuple[Float[Array, " points"], Float[Array, "points 2"]]:
    """Computes the potential of each charge on itself, and its slopes.

    Args:
        offset: Offset of each charge from a node, along both axes.
        terms: The `self_terms` of a convolution.

    Returns:
        The potentials, and their slopes, which would push charges off the nodes.
    """
    series, slope_of_series = _series_of_one_turn()
    left_right = offset * (1 - offset)
    cosine = jnp.polyval(series, left_right)
    slope = jnp.polyval(slope_of_series, left_right) * (1 - 2 * offset)
    along_x, along_y = terms[0, 1] + terms[1, 1] * cosine.T
    potential = terms[0, 0] + terms[0, 1] * cosine[:, 1] + along_x * cosine[:, 0]
    slopes = jnp.stack([along_y * slope[:, 0], along_x * slope[:, 1]], axis=1)
    return potential, slopes / 2


def make_convolution(side: int, spacing: float | Array, kernel: Kernel) -> Convolution:
    """Makes the convolution of a grid, in float64 on the host unless the spacing is traced.

    Args:
        side: Number of nodes on a side, a multiple of 64.
        spacing: Distance between nodes.
        kernel: Similarity.
    """
    sharpest = _SHARPNESS / spacing**2

    def wide_part(squares: Any) -> Any:
        return kernel.wide_part(squares, sharpest)

    def narrow_part(squares: Any) -> Any:
        return kernel.similarity(squares) - wide_part(squares)

    narrow = _spectrum(narrow_part, side // 2, spacing)
    wide = _spectrum(wide_part, side // COARSER, COARSER * spacing)
    of_wide = wide_part(np.zeros((1, 1))).astype(narrow.dtype)  # it hardly depends on the offset
    terms = _self_terms(narrow) + of_wide * np.diag([1, 0]).astype(narrow.dtype)
    return Convolution(*(jnp.asarray(each, jnp.float32) for each in (narrow, wide, terms)))


def _convolve(grid: Grid, spectrum: Spectrum) -> Grid:
    """Convolves a grid with the similarity of a spectrum, which may be longer than the grid.

    Rows and columns are transformed separately, so that zeros and unused results need no transform.
    The highest frequency is left out.
    """
    side, (half, length) = len(grid), spectrum.shape

    def convolved(column: Array, spectrum: Array) -> Array:
        return jnp.fft.ifft(jnp.fft.fft(column, length) * spectrum)[:, :side]

    rows = _by_vectors(lambda row: jnp.fft.rfft(row, length)[:, :half], grid)
    columns = _by_vectors(convolved, rows.T, spectrum)
    return _by_vectors(lambda row: jnp.fft.irfft(row, length)[:, :side], columns.T)


def _by_vectors(transform: Callable[..., Array], *rows: Any) -> Array:
    """Transforms a few rows at a time, for reproducible rounding.

    XLA's CPU backend splits many rows into a part for each free thread, and the last rows of a
    part, which do not fill a SIMD vector, are rounded differently.
    """
    parts = [each.reshape(-1, _VECTOR, each.shape[1]) for each in rows]
    done = jax.lax.map(lambda part: transform(*part), parts)
    return done.reshape(-1, done.shape[2])


def _spectrum(
    similarity: Callable[[Any], Any], half: int, spacing: float | Array
) -> Float[Array | np.ndarray, "half _length"]:
    """The Fourier transform of a similarity on a grid with `2 half` nodes on a side.

    It is multiplied by what makes the forces that are read from the grid as exact as possible in
    the mean over all places of the nodes: see Ballenegger, Cerda and Holm, How to convert SPME to
    P3M, J. Chem. Theory Comput. 2012.
    """
    away = np.arange(half + 1) * spacing
    quarter = similarity(away[:, None] ** 2 + away**2)
    influence = _influence(half).astype(quarter.dtype)
    if isinstance(quarter, np.ndarray):
        transformed = scipy.fft.dctn(quarter, type=1)
        return influence * np.concatenate([transformed, transformed[:, -2:0:-1]], axis=1)[:half]
    around = jnp.concatenate([quarter, quarter[:, -2:0:-1]], axis=1)
    around = jnp.concatenate([around, around[-2:0:-1]])
    return influence * jnp.fft.rfft2(around).real[:, :half].T


def _influence(half: int) -> Float[np.ndarray, "half _length"]:
    """The factor of each frequency by which forces between charges spread by splines are best."""
    frequencies = np.fft.fftfreq(2 * half)
    aliases = np.square(frequencies[:, None] + _ALIASES)
    weights = np.sinc(frequencies[:, None] + _ALIASES) ** (2 * ORDER)
    total, squares = weights.sum(axis=1), (aliases * weights).sum(axis=1)
    own = np.sinc(frequencies) ** (2 * ORDER)
    wanted = np.add.outer(np.square(frequencies), np.square(frequencies)) * np.outer(own, own)
    found = np.outer(total, total) * (np.outer(squares, total) + np.outer(total, squares))
    wanted[0, 0] = found[0, 0] = 1
    return (wanted / found)[:half]


def _self_terms(spectrum: Spectrum) -> Float[Array | np.ndarray, "2 2"]:
    """The first terms of a charge's potential on itself, a cosine series in its offset from a node.

    They arise from aliasing: the spectrum of the splines overlaps with copies shifted by the
    frequency of the nodes.
    """
    half, length = spectrum.shape
    frequencies = np.arange(length) / length
    transforms = [np.sinc(frequencies + shift) ** ORDER for shift in range(-4, 6)]
    overlaps = np.stack(
        [
            sum(one * other for one, other in zip(transforms, transforms[shift:], strict=False))
            for shift in range(2)
        ]
    )
    series = np.array([[1], [2]]) / length
    of_columns = (series * overlaps).astype(spectrum.dtype)
    of_rows = of_columns[:, :half] * np.where(np.arange(half), 2, 1).astype(spectrum.dtype)
    if isinstance(spectrum, np.ndarray):
        return of_rows @ spectrum @ of_columns.T
    product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    return product(product(of_rows, spectrum), of_columns.T)


def _series_of_one_turn() -> tuple[Array, Array]:
    """Polynomials in u (1 - u) for cos(2 pi u), to 1e-6, and for its derivative.

    They replace cosines because XLA's CPU backend computes these one by one.
    """
    fitted = np.polynomial.Chebyshev.interpolate(
        lambda product: -np.cos(2 * np.pi * np.sqrt(1 / 4 - product)), 5, domain=[0, 1 / 4]
    ).convert(kind=np.polynomial.Polynomial)
    return jnp.asarray(fitted.coef[::-1]), jnp.asarray(fitted.deriv().coef[::-1])
