"""What a step computes, as the compiler is told."""

import dataclasses
import functools
import hashlib
import math
import re
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
        state: The shapes of a state.
        batch: The shapes of a batch on this process, or None.
    """

    parallel: ParallelStep
    state: PyTree
    batch: PyTree

    @functools.cached_property
    def text(self) -> str | None:
        """The step for the whole batch in StableHLO; None under `pmap`, which has no such form."""
        if self.parallel.strategy == "pmap":
            return None
        return without_devices(self._lowered().as_text())

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

    def memory(self) -> int | None:
        """The bytes that a step takes on each device.

        Returns:
            What goes in, what comes out and what is kept in between; None if it cannot be told.
        """
        if self.parallel.strategy == "pmap":
            return None
        stats = self._lowered().compile().memory_analysis()
        if stats is None:
            return None
        return int(
            stats.argument_size_in_bytes
            + stats.output_size_in_bytes
            + stats.temp_size_in_bytes
            - stats.alias_size_in_bytes
        )

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

    def _lowered(self) -> jax.stages.Lowered:
        batch = self.batch
        if self.parallel.constant is None:
            batch = jax.tree.map(_of_all_processes, batch)
        return self.parallel.lower(self.state, batch)


def shapes_of(tree: PyTree) -> PyTree:
    """The shapes and types of a tree, without its arrays."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), jax.dtypes.result_type(leaf)), tree
    )


_SHARDING = re.compile(
    r"(, )?(sdy\.sharding = #sdy\.sharding<[^>]*>|mhlo\.sharding = \"[^\"]*\"|"
    r"mhlo\.num_partitions = \d+ : i32|tf\.aliasing_output = \d+ : i32|jax\.buffer_donor = true)"
)
_CONSTRAINT = re.compile(r"\s*%(\d+) = sdy\.sharding_constraint %(\w+) ")
_DEFINITION = re.compile(r"\s*%(\d+)(?::\d+)? = ")


def without_devices(text: str) -> str:
    r"""Takes out of a program what tells of the devices that it is for.

    Args:
        text: The program in StableHLO.

    Returns:
        The program without shardings, and without the constraints that steps put on them; values
        are numbered anew.

    >>> print(without_devices('%3 = sdy.sharding_constraint %arg0 <@mesh, [{"data"}]> : f32\n'
    ...                       '%4 = stablehlo.add %3, %3 : f32 {sdy.sharding = #sdy.sharding<x>}'))
    %0 = stablehlo.add %arg0, %arg0 : f32
    """
    names: dict[str, str] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if "sdy.mesh @" in line:
            continue
        if match := _CONSTRAINT.match(line):
            names[match[1]] = names.get(match[2], match[2])
            continue
        if match := _DEFINITION.match(line):
            names[match[1]] = str(len(lines))
        line = _SHARDING.sub("", line).replace("{, ", "{").replace(" {}", "")
        lines.append(re.sub(r"%(\d+)", lambda value: f"%{names.get(value[1], value[1])}", line))
    return "\n".join(lines)


def _of_all_processes(leaf: Any) -> jax.ShapeDtypeStruct:
    rows, *rest = np.shape(leaf) or (1,)
    shape = (rows * jax.process_count(), *rest) if np.ndim(leaf) else ()
    return jax.ShapeDtypeStruct(shape, jax.dtypes.result_type(leaf))
