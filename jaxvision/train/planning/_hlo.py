"""Compiled programs, read from the text in which XLA prints them."""

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
    """The shape of an array as a program has it.

    Attributes:
        dtype: What XLA calls the type of its numbers.
        sizes: Its sizes.
        layout: How it lies in memory, and in which memory.
    """

    dtype: str
    sizes: tuple[int, ...]
    layout: str = ""

    @property
    def bytes(self) -> float:
        """How many bytes it has, without what its tiles add."""
        # Types of 8 bits are many (f8e4m3fn, ...), and all others are in the table.
        return float(math.prod(self.sizes) * _BYTES.get(self.dtype, 1))

    @property
    def is_floating(self) -> bool:
        """Whether its numbers are real and have an exponent."""
        return self.dtype.startswith(("f", "bf"))

    @property
    def in_main_memory(self) -> bool:
        """Whether it lies in the memory that every chip has most of, and not in a faster one."""
        return re.search(r"S\([1-9]", self.layout) is None


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program.

    Attributes:
        name: What other lines call it.
        opcode: What it does.
        shapes: Of its result; several for a tuple.
        operands: Names of what it takes.
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
        """Names of the computations that it calls."""
        names: list[str] = []
        for several, one in _CALLED.findall(self.attributes):
            names += [name.strip().lstrip("%") for name in several.split(",")] if several else [one]
        return tuple(names)

    def attribute(self, name: str) -> str | None:
        """The value of `name=...`, or what stands in its braces; None if it is not there."""
        match = re.search(rf"\b{name}=(?:\{{([^}}]*)\}}|([^,\s]+))", self.attributes)
        return None if match is None else match[1] if match[1] is not None else match[2]


@dataclasses.dataclass(frozen=True)
class Computation:
    """A function of a program.

    Attributes:
        name: What instructions call it.
        instructions: Its lines, by name and in order.
    """

    name: str
    instructions: dict[str, Instruction]

    @functools.cached_property
    def root(self) -> Instruction:
        """The line that is its result."""
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
        """The lines that take each line."""
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
        entry: The name of the one that runs.
        num_devices: On how many devices it runs.
    """

    computations: dict[str, Computation]
    entry: str
    num_devices: int

    @functools.cached_property
    def times(self) -> dict[str, int]:
        """How often each computation runs, with loops of unknown length counted once.

        Of a choice between computations each is counted, though only one of them runs.
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
        """Computations whose values between their lines are in no memory: fusions, reductions."""
        return frozenset(
            called
            for computation in self.computations.values()
            for line in computation.instructions.values()
            if line.opcode not in ("while", "conditional", "call", "async-start")
            for called in line.called
        )

    @property
    def open_loops(self) -> int:
        """How many loops there are whose length the text does not tell."""
        return sum(
            self.trips(line) is None
            for name, computation in self.computations.items()
            for line in computation.instructions.values()
            if line.opcode == "while" and self.times[name]
        )

    def trips(self, loop: Instruction) -> int | None:
        """How often a loop runs: as it says itself, or by the constant that its condition has."""
        if match := _TRIPS.search(loop.attributes):
            return int(match[1])
        condition = self.computations[loop.attribute("condition").lstrip("%")]  # type: ignore[union-attr]
        test = condition.root
        if test.opcode == "fusion":  # of the comparison alone
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
        """Every line that runs, with where it is and how often it runs."""
        for name, computation in self.computations.items():
            if self.times[name]:
                for line in computation.instructions.values():
                    yield computation, line, self.times[name]


def read_module(text: str) -> Module:
    """Reads a compiled program.

    Args:
        text: What `jax.stages.Compiled.as_text` gives.

    Returns:
        The program.

    Raises:
        ValueError: The text has no computation that is marked as the entry.

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
        raise ValueError("there is no ENTRY in the text of the program: is it that of a compiled?")
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
    """Where the parenthesis that opens at `start` closes."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index
    raise ValueError(f"a parenthesis does not close in {text[:80]!r}")


def sum_of_bytes(shapes: Sequence[Array], *, in_main_memory: bool = False) -> float:
    """How many bytes arrays have together.

    Args:
        shapes: The arrays.
        in_main_memory: Whether to leave out those that are in a faster memory.

    Returns:
        Bytes.
    """
    return math.fsum(shape.bytes for shape in shapes if shape.in_main_memory or not in_main_memory)
