"""Spaces of observations and actions."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from jaxvision.checks import check_count


@dataclasses.dataclass(frozen=True)
class Discrete:
    """The integers from 0 to n - 1.

    >>> Discrete(3).sample(jax.random.key(0)) < 3
    Array(True, dtype=bool)
    """

    n: int

    def __post_init__(self) -> None:
        check_count("n", self.n, of="elements")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an element, which is a scalar."""
        return ()

    @property
    def dtype(self) -> Any:
        """The type of an element."""
        return jnp.dtype(jnp.int32)

    def sample(self, key: Key[Array, ""]) -> Array:
        """Draws an element uniformly."""
        return jax.random.randint(key, (), 0, self.n)

    def contains(self, element: Any) -> Bool[Array, ""]:
        """Whether `element` is an integer scalar from 0 to n - 1."""
        element = jnp.asarray(element)
        if element.shape != () or not jnp.issubdtype(element.dtype, jnp.integer):
            return jnp.array(False)
        return (element >= 0) & (element < self.n)


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
    """Arrays of one shape whose values lie between two bounds.

    Attributes:
        low: Smallest value: a number, or an array of the shape of an element.
        high: Largest value, likewise.
        shape: Shape of an element.
        dtype: Type of an element.

    >>> Box(0, 255, (84, 84, 1), jnp.uint8).shape
    (84, 84, 1)
    """

    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if np.ndim(bound) and np.shape(bound) != self.shape:
                raise ValueError(
                    f"bounds must be numbers, or have the shape {self.shape} of the elements, got "
                    f"shape {np.shape(bound)}"
                )
        if isinstance(self.low, jax.core.Tracer) or isinstance(self.high, jax.core.Tracer):
            return
        if not (np.asarray(self.low) <= np.asarray(self.high)).all():
            raise ValueError(f"low must not be above high, got {self.low} and {self.high}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, ...]:
        """Hashable key of a box, since the bounds may be arrays."""
        bounds = [
            np.broadcast_to(np.asarray(end, np.float64), self.shape)
            for end in (self.low, self.high)
        ]
        return (self.shape, jnp.dtype(self.dtype), *(bound.tobytes() for bound in bounds))

    def sample(self, key: Key[Array, ""]) -> Array:
        """Draws an element: uniform where both bounds are finite, else clipped normal."""
        low, high = (
            jnp.broadcast_to(jnp.asarray(end), self.shape) for end in (self.low, self.high)
        )
        if jnp.issubdtype(self.dtype, jnp.integer):
            # `randint` excludes its end, and the largest int32 plus 1 would overflow.
            end = jnp.minimum(high.astype(jnp.int32), jnp.iinfo(jnp.int32).max - 1) + 1
            return jax.random.randint(key, self.shape, low.astype(jnp.int32), end).astype(
                self.dtype
            )
        bounded = jnp.isfinite(low) & jnp.isfinite(high)
        uniform = jax.random.uniform(key, self.shape)
        uniform = jnp.where(bounded, low, 0) + uniform * jnp.where(bounded, high - low, 0)
        normal = jnp.clip(jax.random.normal(key, self.shape), min=low, max=high)
        return jnp.where(bounded, uniform, normal).astype(self.dtype)

    def contains(self, element: Any) -> Bool[Array, ""]:
        """Whether `element` has the shape of the space and lies within the bounds."""
        element = jnp.asarray(element)
        if element.shape != self.shape:
            return jnp.array(False)
        return ((element >= self.low) & (element <= self.high)).all()


Space = Discrete | Box


def as_space(space: Any) -> Space:
    """Converts a space of gymnax or Gymnasium; raises ValueError unless it is discrete or a box.

    >>> as_space(Discrete(3))
    Discrete(n=3)
    """
    if isinstance(space, Discrete | Box):
        return space
    if (
        hasattr(space, "n")
        and not getattr(space, "shape", ())
        and int(getattr(space, "start", 0)) == 0
    ):
        return Discrete(int(space.n))
    if all(hasattr(space, name) for name in ("low", "high", "shape", "dtype")):
        return Box(space.low, space.high, tuple(space.shape), jnp.dtype(space.dtype))
    raise ValueError(f"spaces must be discrete, counted from 0, or boxes of numbers, got {space!r}")
