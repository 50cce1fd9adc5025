"""The plan of a step: the memory, operations and communication of its compiled program."""

import dataclasses
import math
import re
import time
from collections.abc import Mapping
from typing import Any

import jax

from jaxvision._trees import by_path
from jaxvision.train.parallel import ParallelStep
from jaxvision.train.planning._costs import Collective, collectives, repeated_flop, traffic
from jaxvision.train.planning._hlo import read_module
from jaxvision.train.planning.chips import Chip, chip_of

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of memory on each device while a step runs.

    Attributes:
        arguments: The state and the batch.
        outputs: The new state and the metrics.
        shared: The part of the outputs that reuses the memory of the donated state.
        temporaries: Intermediate arrays, mostly feature maps for the backward pass.
        program: The program itself.
    """

    arguments: float
    outputs: float
    shared: float
    temporaries: float
    program: float

    @property
    def total(self) -> float:
        """The memory that a step needs, in bytes."""
        return self.arguments + self.outputs - self.shared + self.temporaries + self.program


@dataclasses.dataclass(frozen=True)
class Roofline:
    """The minimal time of a step, in seconds, if each part of a chip runs at its peak.

    Attributes:
        compute: The time for the operations.
        memory: The time for reading from and writing to memory.
        interconnect: The time for sending to other chips.
    """

    compute: float
    memory: float
    interconnect: float

    @property
    def seconds(self) -> float:
        """The longest of the three times, as if they overlapped fully."""
        return max(self.compute, self.memory, self.interconnect)

    @property
    def bound(self) -> str:
        """Which of the three is longest: "compute", "memory" or "interconnect"."""
        return max(dataclasses.asdict(self).items(), key=lambda item: item[1])[0]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The resources that one step takes. All numbers are per device.

    Attributes:
        devices: The number of devices.
        chip: The peak rates of a device; None if unknown.
        parts: Bytes of each argument: of each field of the state, and of the batch.
        needed: Bytes of memory in total.
        memory: The parts of this total; None if the compiler refused the program for lack of
            memory.
        flop: Operations, two per multiply-add, by XLA's count; those in a loop count once per
            iteration.
        traffic: Bytes read from and written to memory.
        collectives: Exchanges between devices, by kind.
        open_loops: The number of loops of unknown length, whose bodies count once.
        compile_seconds: The time of compilation.
    """

    devices: int
    chip: Chip | None
    parts: Mapping[str, float]
    needed: float
    memory: Memory | None
    flop: float
    traffic: float
    collectives: tuple[Collective, ...]
    open_loops: int
    compile_seconds: float

    @property
    def fits(self) -> bool | None:
        """Whether the memory of the chip is enough; None if the chip is unknown."""
        if self.memory is None:
            return False
        return None if self.chip is None else self.needed <= self.chip.memory_bytes

    @property
    def temporaries(self) -> float:
        """Bytes of intermediate arrays; estimated if the compiler refused the program."""
        if self.memory is None:
            return max(0.0, self.needed - math.fsum(self.parts.values()))
        return self.memory.temporaries

    @property
    def roofline(self) -> Roofline | None:
        """The minimal time of a step; None if the chip is unknown or the program was refused."""
        if self.chip is None or self.memory is None:
            return None
        return Roofline(
            compute=self.flop / self.chip.flop_rate,
            memory=self.traffic / self.chip.memory_rate,
            interconnect=math.fsum(each.sent for each in self.collectives) / self.chip.link_rate,
        )


def plan(parallel: ParallelStep, state: PyTree, batch: PyTree, *, chip: Chip | None = None) -> Plan:
    """Compiles a step for its devices, and analyzes the resources that the program takes.

    Nothing runs, and no array is created: shapes are enough, and the devices may be those of
    `tpu_mesh`.

    Args:
        parallel: The step on its mesh, from `train.parallelize`.
        state: A state that is ready for the step (`TrainStep.prepare`), or its shapes, from
            `jax.eval_shape`.
        batch: A batch of all devices together, its shapes, or None.
        chip: The peak rates of a device; None looks them up in `CHIPS`.

    Returns:
        The plan. If the compiler refuses a program that needs too much memory, its operations and
        exchanges are unknown.

    Raises:
        ValueError: The batch does not divide over the devices.

    >>> import jax.numpy as jnp
    >>> from jaxvision import train
    >>> def step(state, batch):
    ...     return state @ batch.T @ batch, {"rows": (batch.sum(), len(batch))}
    >>> parallel = train.parallelize(step, train.data_mesh(jax.devices("cpu")[:1]))
    >>> square = jax.ShapeDtypeStruct((256, 256), jnp.float32)
    >>> made = plan(parallel, square, square)
    >>> made.parts, made.flop > 4 * 256**3, made.collectives
    ({'state': 262144.0, 'batch': 262144.0}, True, ())
    """
    chip = chip_of(parallel.mesh) if chip is None else chip
    lowered = parallel.lower(state, batch)
    parts = _parts(parallel, state, batch)
    start = time.perf_counter()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        needed = _refused(str(error))
        if needed is None:
            raise
        seconds = time.perf_counter() - start
        return Plan(
            parallel.mesh.size, chip, parts, needed, None, math.nan, math.nan, (), 0, seconds
        )
    seconds = time.perf_counter() - start
    memory = _memory(compiled.memory_analysis())
    module = read_module(compiled.as_text() or "")
    return Plan(
        devices=parallel.mesh.size,
        chip=chip,
        parts=parts,
        needed=memory.total,
        memory=memory,
        flop=float((compiled.cost_analysis() or {}).get("flops", 0.0)) + repeated_flop(module),
        traffic=traffic(module),
        collectives=collectives(module) if parallel.mesh.size > 1 else (),
        open_loops=module.open_loops,
        compile_seconds=seconds,
    )


def _memory(stats: Any) -> Memory:
    return Memory(
        arguments=float(stats.argument_size_in_bytes),
        outputs=float(stats.output_size_in_bytes),
        shared=float(stats.alias_size_in_bytes),
        temporaries=float(stats.temp_size_in_bytes),
        program=float(stats.generated_code_size_in_bytes),
    )


def _parts(parallel: ParallelStep, state: PyTree, batch: PyTree) -> dict[str, float]:
    """The bytes of each field of the state, and of the batch, on each device."""
    parts: dict[str, float] = {}
    leaves, shardings = by_path(state), by_path(parallel.shardings(state))
    for path, leaf in leaves.items():
        name = path.partition("/")[0] or "state"
        parts[name] = parts.get(name, 0.0) + device_bytes(leaf, shardings[path])
    rows = by_path(batch)
    cut = dict.fromkeys(rows, parallel.batch_sharding())
    if parallel.constant is not None:
        cut = by_path(parallel.constant.shardings(parallel.mesh))
    if rows:
        parts["batch"] = math.fsum(device_bytes(leaf, cut[path]) for path, leaf in rows.items())
    return parts


def device_bytes(leaf: Any, sharding: jax.sharding.Sharding) -> float:
    """Returns the bytes of an array that each device holds.

    >>> sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    >>> device_bytes(jax.ShapeDtypeStruct((2, 3), "float32"), sharding)
    24.0
    """
    dtype = jax.dtypes.result_type(leaf)
    return float(math.prod(sharding.shard_shape(tuple(leaf.shape))) * dtype.itemsize)


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


_TOO_MUCH = re.compile(
    r"\(([\d.]+)([KMGT]?)B?\) exceeds available HBM|Used ([\d.]+)([KMGT]?)B? of \S+ hbm"
)


def _refused(message: str) -> float | None:
    """The total bytes of a program that was refused for lack of memory, from the error message.

    >>> _refused("the total memory required for HLO temporaries (16.00G) exceeds available HBM ...")
    17179869184.0
    >>> _refused("Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm. Exceeded ...")
    22011707392.0
    """
    match = _TOO_MUCH.search(message)
    if match is None:
        return None
    size, unit = [group for group in match.groups() if group is not None]
    return float(size) * _UNITS[unit]
