"""Maps of relevance, each with a certificate of how well it keeps what its method promises."""

import warnings
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float


class AttributionWarning(UserWarning):
    """A map misses the axiom of its method by more than the tolerance."""


@struct.dataclass
class Attribution:
    """How much every number of the images contributes to the score that is explained.

    Attributes:
        map: Contribution of each number of the images, in units of the score; positive where it
            raises the score.
        error: How far each row misses `axiom`, relative to the score; 0 if it holds exactly.
        axiom: The promise of the method, such as "completeness: the map adds up to f(x) - f(0)".
        tolerance: The largest error at which the axiom counts as held.

    >>> found = Attribution(jnp.ones((2, 3)), jnp.array([0.0, 0.2]), "the map adds up to 3", 0.01)
    >>> found.holds.tolist()
    [True, False]
    """

    map: Float[Array, "batch *shape"]
    error: Float[Array, " batch"]
    axiom: str = struct.field(pytree_node=False)
    tolerance: float = struct.field(pytree_node=False)

    @property
    def holds(self) -> Bool[Array, " batch"]:
        """Whether each row keeps the axiom within the tolerance; NaN does not."""
        return self.error <= self.tolerance


Certified = TypeVar("Certified", bound=Attribution)


def certified(attribution: Certified) -> Certified:
    """Warns if rows miss the axiom; under `jit` and other transforms errors are unknown.

    Every explainer returns its result through this function.

    Raises:
        AttributionWarning: As a warning, with the number of rows and the largest error.
    """
    if not isinstance(attribution.error, jax.core.Tracer):
        errors = np.asarray(attribution.error)
        missed = ~(errors <= attribution.tolerance)
        if missed.any():
            warnings.warn(
                f"{missed.sum()} of {len(errors)} maps miss their axiom ({attribution.axiom}): by "
                f"up to {_largest(errors):.2g} of the score; {attribution.tolerance:g} is allowed",
                AttributionWarning,
                stacklevel=3,
            )
    return attribution


def _largest(errors: Any) -> float:
    return float("nan") if np.isnan(errors).any() else float(errors.max())


def relative_error(
    found: Float[Array, " batch"], promised: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """The difference of two numbers per row, relative to the promised one.

    Where the promised number is smaller than 1e-3, the difference is relative to 1e-3, so that
    rounding does not look like a fault where a score is near zero.
    """
    return jnp.abs(found - promised) / jnp.maximum(jnp.abs(promised), 1e-3)
