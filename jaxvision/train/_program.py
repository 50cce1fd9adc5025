"""The lowered program of a step: its text, fingerprint and memory."""

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
"""The number of short steps to run in one program."""

MAX_FUSED_NUMBERS = 2**22
"""The most numbers in a state and a batch of a short step."""


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A step with the shapes of its arguments.

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
        """The lowered step, for the whole batch, in StableHLO; None under `pmap`."""
        if self.parallel.strategy == "pmap":
            return None
        return without_devices(self._lowered().as_text())

    def fingerprint(self) -> dict[str, str] | None:
        """Returns the platform and a digest of the program; None if its text is not reproducible.

        The digest detects changes that settings may not show: of the optimizer, its schedule, the
        augmentation or the loss. Digests are comparable only between the same versions of all
        packages.
        """
        if self.text is None or "callback" in self.text:  # its text has an address, which varies
            return None
        digest = hashlib.blake2b(self.text.encode(), digest_size=16).hexdigest()
        return {"platform": jax.default_backend(), "digest": digest}

    def memory(self) -> int | None:
        """Returns the bytes that a step takes on each device; None if unknown."""
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
        """Returns how many steps to run in one program: `FUSED_STEPS` or 1.

        Short steps lose time between programs. But XLA's CPU backend runs a convolution inside a
        loop on one thread, about five times slower than outside, so on CPUs only models without
        convolutions are fused.
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
    """Returns the shapes and types of a tree."""
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
    r"""Removes shardings and sharding constraints from a StableHLO text, and renumbers its values.

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
