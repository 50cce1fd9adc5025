"""Steps under `pmap`, which takes batches that are already split."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Mapped:
    """A step under `pmap` that takes whole batches, as one under `jit` does.

    Attributes:
        mapped: The step under `pmap`.
        parts: The number of devices.
        axis: The axis along which a batch is split.
    """

    mapped: Any
    parts: int
    axis: int

    def __call__(self, state: PyTree, batch: PyTree, *count: Array) -> tuple[PyTree, PyTree]:
        """Runs one step, or several."""

        def split(leaf: Any) -> Any:
            return jnp.reshape(leaf, self._split(leaf))

        return self.mapped(state, jax.tree.map(split, batch), *count)

    def lower(self, state: PyTree, batch: PyTree) -> jax.stages.Lowered:
        """Traces and lowers the step for the shapes of its arguments."""

        def split(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(self._split(leaf), leaf.dtype)

        lowered: jax.stages.Lowered = self.mapped.lower(state, jax.tree.map(split, batch))
        return lowered

    def _split(self, leaf: Any) -> tuple[int, ...]:
        shape, axis = np.shape(leaf), self.axis
        return (*shape[:axis], self.parts, shape[axis] // self.parts, *shape[axis + 1 :])


def by_pmap(
    step: Callable, axis_name: str, devices: Sequence[jax.Device], *, stacked: bool
) -> Mapped:
    """Compiles a step with `pmap`, to take whole batches; the state is replicated, and not donated.

    With `stacked`, it takes several batches, stacked along a first axis, and how many of them to
    run.
    """
    axis = 1 if stacked else 0
    mapped = jax.pmap(
        step,
        axis_name=axis_name,
        in_axes=(None, axis, None) if stacked else (None, axis),
        out_axes=(None, None),
        devices=list(devices),
    )
    return Mapped(mapped, len(devices), axis)
