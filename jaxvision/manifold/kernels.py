"""Kernels: the similarity of two points of an embedding as a function of their squared distance."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from jaxvision.checks import check_positive

Squares = Float[Array | np.ndarray, "*pairs"]


@runtime_checkable
class Kernel(Protocol):
    """Interface of kernels: similarities k(s) that fall with the squared distance s.

    The gradient of an embedding's divergence is computed from k(s), -k'(s) and -k'(s) / k(s).
    Similarities are sums of normal distributions, `exp(-t s)`, and are split into narrow and wide
    ones on a mesh.
    """

    def similarity(self, squares: Squares) -> Squares:
        """The similarity k, 1 at a distance of 0."""
        ...

    def descent(self, squares: Squares) -> Squares:
        """The negative slope of the similarity, -k'."""
        ...

    def pull(self, squares: Squares) -> Squares:
        """The negative slope of the logarithm of the similarity, -k'/k."""
        ...

    def cost(self, squares: Squares) -> Squares:
        """The negative logarithm of the similarity."""
        ...

    def wide_part(self, squares: Squares, sharpest: float | Array) -> Squares:
        """The sum of the normal distributions `exp(-t s)` with t below `sharpest`."""
        ...


@dataclasses.dataclass(frozen=True)
class Student:
    """Student's t distribution without its constant factor, as in t-SNE.

    Attributes:
        dof: Degrees of freedom. Fewer give heavier tails, which pull clusters apart.

    Reference: van der Maaten, Learning a parametric embedding by preserving local structure,
    AISTATS 2009; Kobak et al., Heavy-tailed kernels reveal a finer cluster structure in t-SNE
    visualisations, ECML 2019, arXiv:1902.05804.

    >>> float(Student().similarity(jnp.array(3.0)))
    0.25
    """

    dof: int | float = 1.0

    def __post_init__(self) -> None:
        check_positive("dof", self.dof)

    def similarity(self, squares: Squares) -> Squares:
        """The similarity `(1 + s / dof) ** (-(dof + 1) / 2)`."""
        return self._power(1 / (1 + squares / self.dof))

    def descent(self, squares: Squares) -> Squares:
        """The negative slope of the similarity, -k'."""
        inverse = 1 / (1 + squares / self.dof)
        return self._slope * inverse * self._power(inverse)

    def pull(self, squares: Squares) -> Squares:
        """The negative slope of the logarithm of the similarity, -k'/k."""
        return self._slope / (1 + squares / self.dof)

    def cost(self, squares: Squares) -> Squares:
        """The negative logarithm of the similarity."""
        return (self.dof + 1) / 2 * jnp.log1p(squares / self.dof)

    def wide_part(self, squares: Squares, sharpest: float | Array) -> Squares:
        """The sum of the normal distributions `exp(-t s)` with t below `sharpest`.

        The weight of a distribution is the density of a gamma distribution at t.
        """
        shape, most = (self.dof + 1) / 2, sharpest * (self.dof + squares)
        if isinstance(most, np.ndarray):
            share = scipy.special.gammainc(shape, most)
        else:
            share = -jnp.expm1(-most) if shape == 1 else jax.scipy.special.gammainc(shape, most)
        return share * self.similarity(squares)

    @property
    def _slope(self) -> float:
        return (self.dof + 1) / (2 * self.dof)

    def _power(self, inverse: Squares) -> Squares:
        return inverse if self.dof == 1 else inverse ** ((self.dof + 1) / 2)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """The normal distribution without its constant factor, as in SNE.

    Reference: Hinton and Roweis, Stochastic neighbor embedding, NeurIPS 2002.

    >>> float(Gaussian().cost(jnp.array(3.0)))
    3.0
    """

    def similarity(self, squares: Squares) -> Squares:
        """The similarity `exp(-s)`."""
        return _exp(-squares)

    def descent(self, squares: Squares) -> Squares:
        """The negative slope of the similarity, -k'."""
        return _exp(-squares)

    def pull(self, squares: Squares) -> Squares:
        """The negative slope of the logarithm of the similarity, 1."""
        return jnp.ones_like(squares)

    def cost(self, squares: Squares) -> Squares:
        """The negative logarithm of the similarity."""
        return squares

    def wide_part(self, squares: Squares, sharpest: float | Array) -> Squares:
        """The similarity, which is a single normal distribution, if `sharpest` is more than 1."""
        return self.similarity(squares) * (sharpest > 1)


def _exp(numbers: Squares) -> Squares:
    return np.exp(numbers) if isinstance(numbers, np.ndarray) else jnp.exp(numbers)
