"""A parser of the text in which XLA prints compiled programs."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Sequence

_BYTES = {
    "token": 0, "opaque": 0, "s2": 0.25, "u2": 0.25, "s4": 0.5, "u4": 0.5, "f4e2m1fn": 0.5,
    "pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2, "s32": 4, "u32": 4,
    "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16,
}  # fmt: skip
_ARRAY = re.compile(r"(\w+)\[([\d,<=]*)\](?:\{([^{}]*)\})?")
_COMMENT = re.compile(r"/\*.*?\*/")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|branch_computations|true_computation|false_computation"
    r"|called_computations)=(?:\{([^}]*)\}|%?([\w.\-]+))"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_NAME = re.compile(r"%([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """The type and shape of an array in a program.

    Attributes:
        dtype: XLA's name of the element type.
        sizes: The sizes of the axes.
        layout: The layout in memory, and which memory.
    """

    dtype: str
    sizes: tuple[int, ...]
    layout: str = ""

    @property
    def bytes(self) -> float:
        """The size in bytes, without the padding of tiles."""
        # Types that are not in the table have 8 bits, such as f8e4m3fn.
        return float(math.prod(self.sizes) * _BYTES.get(self.dtype, 1))

    @property
    def is_floating(self) -> bool:
        """Whether the elements are real floating-point numbers."""
        return self.dtype.startswith(("f", "bf"))

    @property
    def in_main_memory(self) -> bool:
        """Whether the array is in the main memory of a chip, not in a faster one."""
        return re.search(r"S\([1-9]", self.layout) is None


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program.

    Attributes:
        name: Its name, by which other lines refer to it.
        opcode: The operation.
        shapes: The shape of the result; several for a tuple.
        operands: The names of the operands.
        attributes: The rest of the line.
        is_root: Whether it is the result of its computation.
    """

    name: str
    opcode: str
    shapes: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    @functools.cached_property
    def called(self) -> tuple[str, ...]:
        """The names of the computations that it calls."""
        names: list[str] = []
        for several, one in _CALLED.findall(self.attributes):
            names += [name.strip().lstrip("%") for name in several.split(",")] if several else [one]
        return tuple(names)

    def attribute(self, name: str) -> str | None:
        """Returns the value of `name=...`, without its braces; None if it is absent."""
        match = re.search(rf"\b{name}=(?:\{{([^}}]*)\}}|([^,\s]+))", self.attributes)
        return None if match is None else match[1] if match[1] is not None else match[2]


@dataclasses.dataclass(frozen=True)
class Computation:
    """A function of a program.

    Attributes:
        name: Its name, by which instructions call it.
        instructions: Its instructions by name, in order.
    """

    name: str
    instructions: dict[str, Instruction]

    @functools.cached_property
    def root(self) -> Instruction:
        """The instruction that is its result."""
        lines = list(self.instructions.values())
        return next((line for line in lines if line.is_root), lines[-1])

    @functools.cached_property
    def parameters(self) -> dict[int, Instruction]:
        """Its parameters by number."""
        return {
            int(line.attributes.partition(")")[0]): line
            for line in self.instructions.values()
            if line.opcode == "parameter"
        }

    @functools.cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """The instructions that use each instruction as an operand."""
        users: dict[str, list[Instruction]] = {}
        for line in self.instructions.values():
            for name in dict.fromkeys(line.operands):
                users.setdefault(name, []).append(line)
        return users


@dataclasses.dataclass(frozen=True)
class Module:
    """A whole program.

    Attributes:
        computations: Its functions by name, each after those that it calls.
        entry: The name of the main function.
        num_devices: The number of devices that it runs on.
    """

    computations: dict[str, Computation]
    entry: str
    num_devices: int

    @functools.cached_property
    def times(self) -> dict[str, int]:
        """How often each computation runs; loops of unknown length count once.

        All branches of a conditional count, though only one of them runs.
        """
        times = dict.fromkeys(self.computations, 0)
        times[self.entry] = 1
        for name, computation in reversed(self.computations.items()):
            for line in computation.instructions.values() if times[name] else ():
                each = times[name] * ((self.trips(line) or 1) if line.opcode == "while" else 1)
                for called in line.called:
                    times[called] = times.get(called, 0) + each
        return times

    @functools.cached_property
    def inlined(self) -> frozenset[str]:
        """Computations whose intermediate values are never in memory: fusions and reductions."""
        return frozenset(
            called
            for computation in self.computations.values()
            for line in computation.instructions.values()
            if line.opcode not in ("while", "conditional", "call", "async-start")
            for called in line.called
        )

    @property
    def open_loops(self) -> int:
        """The number of loops whose length the text does not tell."""
        return sum(
            self.trips(line) is None
            for name, computation in self.computations.items()
            for line in computation.instructions.values()
            if line.opcode == "while" and self.times[name]
        )

    def trips(self, loop: Instruction) -> int | None:
        """Returns how often a loop runs, by its annotation or by the constant in its condition."""
        if match := _TRIPS.search(loop.attributes):
            return int(match[1])
        condition = self.computations[loop.attribute("condition").lstrip("%")]  # type: ignore[union-attr]
        test = condition.root
        if test.opcode == "fusion":  # a fusion of the comparison alone
            inner = self.computations[test.called[0]].root
            if inner.opcode != "compare":
                return None
            test = dataclasses.replace(test, opcode="compare", attributes=inner.attributes)
        if test.opcode != "compare" or test.attribute("direction") != "LT":
            return None
        for name in test.operands:
            line = condition.instructions[name]
            if line.opcode == "constant" and (match := re.match(r"(\d+)\)", line.attributes)):
                return int(match[1])
        return None

    def lines(self) -> Iterator[tuple[Computation, Instruction, int]]:
        """Yields every instruction that runs, with its computation and how often it runs."""
        for name, computation in self.computations.items():
            if self.times[name]:
                for line in computation.instructions.values():
                    yield computation, line, self.times[name]


def read_module(text: str) -> Module:
    """Parses a program in the form of `jax.stages.Compiled.as_text`.

    >>> module = read_module('''HloModule f, num_partitions=2
    ...
    ... ENTRY %main (x: f32[4]) -> f32[4] {
    ...   %x = f32[4]{0} parameter(0)
    ...   ROOT %sum = f32[4]{0} all-reduce(%x), replica_groups={{0,1}}, to_apply=%add
    ... }
    ... ''')
    >>> module.computations["main"].root.opcode, module.num_devices
    ('all-reduce', 2)
    """
    computations: dict[str, Computation] = {}
    entry: str | None = None
    lines: dict[str, Instruction] | None = None
    for line in text.splitlines():
        if lines is None:
            header = _HEADER.match(line) if " -> " in line else None
            if header:
                lines = {}
                computations[header[2]] = Computation(header[2], lines)
                entry = header[2] if header[1] else entry
        elif line.startswith("}"):
            lines = None
        elif " = " in line:
            instruction = _read_instruction(line)
            lines[instruction.name] = instruction
    if entry is None:
        raise ValueError("the text has no ENTRY: is it the text of a compiled program?")
    heading = text[: text.find("\n")]
    counts = [
        re.search(rf"\b{name}=(\d+)", heading) for name in ("num_partitions", "replica_count")
    ]
    return Module(computations, entry, math.prod(int(found[1]) for found in counts if found))


def _read_instruction(line: str) -> Instruction:
    name, _, rest = _COMMENT.sub("", line.strip()).partition(" = ")
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    start = rest.index("(", end)
    stop = _closing(rest, start)
    opcode = rest[end:start].strip()
    inside = rest[start + 1 : stop]
    values = opcode in ("parameter", "constant")
    return Instruction(
        name=name.removeprefix("ROOT ").lstrip("%"),
        opcode=opcode,
        shapes=_arrays(rest[:end]),
        operands=() if values else tuple(_NAME.findall(inside)),
        attributes=inside + rest[stop:] if values else rest[stop:],
        is_root=name.startswith("ROOT "),
    )


def _arrays(text: str) -> tuple[Array, ...]:
    return tuple(
        Array(dtype, tuple(int(size.lstrip("<=")) for size in sizes.split(",") if size), layout)
        for dtype, sizes, layout in _ARRAY.findall(text)
    )


def _closing(text: str, start: int) -> int:
    """The index of the parenthesis that closes the one at `start`."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index
    raise ValueError(f"a parenthesis does not close in {text[:80]!r}")


def sum_of_bytes(shapes: Sequence[Array], *, in_main_memory: bool = False) -> float:
    """Adds up the bytes of arrays; `in_main_memory` skips those in a faster memory."""
    return math.fsum(shape.bytes for shape in shapes if shape.in_main_memory or not in_main_memory)
