"""What a step computes, as the compiler is told."""

import dataclasses
import functools
import hashlib
import math
from typing import Any

import jax
import numpy as np

from jaxvision.train.parallel import ParallelStep

PyTree = Any

FUSED_STEPS = 16
"""Steps in one program, where steps are short."""

MAX_FUSED_NUMBERS = 2**22
"""Numbers in a state and a batch beyond which a step is not short."""


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A step together with what it is applied to.

    Attributes:
        parallel: The step.
        state: A state, or its shapes.
        batch: A batch on this process, its shapes, or None.
    """

    parallel: ParallelStep
    state: PyTree
    batch: PyTree

    @functools.cached_property
    def text(self) -> str | None:
        """The step for the whole batch in StableHLO; None under `pmap`, which has no such form."""
        if self.parallel.strategy == "pmap":
            return None
        state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self.state)
        batch = jax.tree.map(_of_all_processes, self.batch)
        return jax.jit(self.parallel.step).lower(state, batch).as_text()

    def fingerprint(self) -> dict[str, str] | None:
        """Tells whether two programs are the same, with the same versions of all packages.

        It sees what settings may not say: the optimizer, its schedule, the augmentation, the loss.

        Returns:
            The platform and a digest of the program; None if it cannot be told.
        """
        if self.text is None or "callback" in self.text:  # a callback is told by its address
            return None
        digest = hashlib.blake2b(self.text.encode(), digest_size=16).hexdigest()
        return {"platform": jax.default_backend(), "digest": digest}

    def steps_to_fuse(self) -> int:
        """How many steps to run in one program.

        Short steps lose time between programs. But XLA's CPU backend runs a convolution inside a
        loop on one thread, about five times slower than outside, so that there only models without
        convolutions are fused.

        Returns:
            `FUSED_STEPS` or 1.
        """
        if self.batch is None:
            return 1
        leaves = jax.tree.leaves((self.state, self.batch))
        if sum(math.prod(np.shape(leaf)) for leaf in leaves) > MAX_FUSED_NUMBERS:
            return 1
        if self.parallel.mesh.devices.flat[0].platform != "cpu":
            return FUSED_STEPS
        if self.text is None:
            return 1
        return 1 if "stablehlo.convolution" in self.text else FUSED_STEPS


def _of_all_processes(leaf: Any) -> jax.ShapeDtypeStruct:
    rows, *rest = np.shape(leaf) or (1,)
    shape = (rows * jax.process_count(), *rest) if np.ndim(leaf) else ()
    return jax.ShapeDtypeStruct(shape, jax.dtypes.result_type(leaf))
