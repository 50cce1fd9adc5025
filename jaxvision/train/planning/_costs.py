"""Costs of a compiled program: operations in loops, memory traffic and collectives."""

import dataclasses
import math
import re
from collections import defaultdict

import numpy as np

from jaxvision.train.planning._hlo import Array, Computation, Instruction, Module, sum_of_bytes

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_FREE = frozenset(
    [
        "parameter",
        "constant",
        "tuple",
        "get-tuple-element",
        "bitcast",
        "while",
        "conditional",
        "call",
        "after-all",
        "partition-id",
        "replica-id",
        "opt-barrier",
        "iota",
        "broadcast",
    ]
)
"""Instructions that move no data; those that they call, or that use their result, do."""

_ARITHMETIC = frozenset(
    ["add", "subtract", "multiply", "divide", "maximum", "minimum", "negate", "abs"]
)


@dataclasses.dataclass(frozen=True)
class Collective:
    """All exchanges of one kind between chips in a step.

    Attributes:
        kind: XLA's name of the kind, such as "all-reduce".
        count: The number of exchanges.
        bytes: Bytes of the exchanged arrays per chip: the result of an all-gather, else the
            operands.
        sent: Bytes that each of n chips sends at least: 2 (n - 1) / n of `bytes` for an all-reduce,
            all of them for a collective-permute, else (n - 1) / n.
    """

    kind: str
    count: int
    bytes: float
    sent: float


def collectives(module: Module) -> tuple[Collective, ...]:
    """Adds up the collectives of a program by kind, sorted by bytes in descending order."""
    found: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for computation, line, times in module.lines():
        kind = line.opcode.removesuffix("-start")
        if kind not in COLLECTIVES:
            continue
        group = _group_size(line, module.num_devices)
        size = _exchanged(computation, line, kind)
        share = 1.0 if kind == "collective-permute" else (group - 1) / group
        sums = found[kind]
        sums[0] += times
        sums[1] += times * size
        sums[2] += times * size * share * (2 if kind == "all-reduce" else 1)
    each = [Collective(kind, int(sums[0]), sums[1], sums[2]) for kind, sums in found.items()]
    return tuple(sorted(each, key=lambda one: -one.bytes))


def _exchanged(computation: Computation, line: Instruction, kind: str) -> float:
    """The bytes of the result of an all-gather, else of the operands."""
    taken = math.fsum(
        sum_of_bytes(computation.instructions[name].shapes)
        for name in line.operands
        if name in computation.instructions
    )
    if kind != "all-gather":
        return taken
    given = sum_of_bytes(line.shapes)
    return given - taken if line.opcode.endswith("-start") else given  # a start returns both


def _group_size(line: Instruction, num_devices: int) -> int:
    """The number of participating chips: `{{0,1},{2,3}}`, `[2,4]<=[8]` or `mesh['a'=8] {'a'}`."""
    text = re.search(r"replica_groups=(.*)", line.attributes)
    if text is None:
        return num_devices
    if match := re.match(r"\{\{([\d,]+)\}", text[1]):
        return len(match[1].split(","))
    if match := re.match(r"\[(\d+),(\d+)\]", text[1]):
        return int(match[2])
    if match := re.match(r"mesh\[([^\]]*)\] ?\{([^}]*)\}", text[1]):
        sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", match[1])}
        return math.prod(sizes[name] for name in re.findall(r"'(\w+)'", match[2]))
    return num_devices


def repeated_flop(module: Module) -> float:
    """Counts the operations per chip in loops, without the first iteration of each loop.

    XLA's own count, `jax.stages.Compiled.cost_analysis`, includes the body of a loop once.
    """
    return math.fsum(
        (times - 1) * _flop(computation, line) for computation, line, times in module.lines()
    )


def _flop(computation: Computation, line: Instruction) -> float:
    """Counts two operations per multiply-add of a product, except those with padding.

    Arithmetic on floating-point arrays counts one per element; functions such as `exp` count none.
    """
    if line.opcode in _ARITHMETIC and line.shapes[0].is_floating:
        return float(math.prod(line.shapes[0].sizes)) if line.shapes[0].sizes else 0.0
    if line.opcode == "reduce" and line.shapes[0].is_floating:
        return float(math.prod(computation.instructions[line.operands[0]].shapes[0].sizes))
    if line.opcode not in ("dot", "convolution"):
        return 0.0
    left, right = (computation.instructions[name].shapes[0] for name in line.operands[:2])
    given = line.shapes[0].sizes
    if line.opcode == "dot":
        axes = (line.attribute("lhs_contracting_dims") or "").split(",")
        return 2.0 * math.prod(given) * math.prod(left.sizes[int(axis)] for axis in axes if axis)
    labels = re.match(r"(\w+)_(\w+)->(\w+)", line.attribute("dim_labels") or "")
    if labels is None:
        return 0.0
    window = dict(part.split("=") for part in (line.attribute("window") or "").split())
    pairs = math.prod(
        _pairs(
            left.sizes[labels[1].index(axis)],
            right.sizes[labels[2].index(axis)],
            given[labels[3].index(axis)],
            {name: value.split("x")[int(axis)] for name, value in window.items()},
        )
        for axis in filter(str.isdigit, labels[3])
    )
    others = math.prod(given[labels[3].index(axis)] for axis in "bf")
    return 2.0 * pairs * others * right.sizes[labels[2].index("i")]


def _pairs(inputs: int, taps: int, outputs: int, window: dict[str, str]) -> int:
    """How often a tap of a window meets an input, over all outputs along an axis."""
    stride, holes, step = (
        int(window.get(name, "1")) for name in ("stride", "lhs_dilate", "rhs_dilate")
    )
    before = int(window.get("pad", "0_0").partition("_")[0])
    places = np.arange(outputs)[:, None] * stride + np.arange(taps) * step - before
    meets = (places >= 0) & (places <= (inputs - 1) * holes) & (places % holes == 0)
    return int(meets.sum())


def traffic(module: Module) -> float:
    """Returns the bytes per chip that a program reads from and writes to main memory.

    Each instruction reads its operands and writes its result, unless it is inside a fusion. If only
    a slice of an array is read or replaced, the slice counts. Data in a faster memory counts when
    it is copied there.
    """
    return math.fsum(
        times * _moved(module, computation, line)
        for computation, line, times in module.lines()
        if computation.name not in module.inlined
    )


def _moved(module: Module, computation: Computation, line: Instruction) -> float:
    opcode = line.opcode
    if opcode in _FREE or opcode.endswith(("-done", "-update")):
        return 0.0
    if opcode in ("copy-start", "slice-start"):  # the smaller one is copied
        one, other, *_ = line.shapes
        return min(one.bytes, other.bytes) * (one.in_main_memory + other.in_main_memory)
    if opcode.endswith("-start"):  # its result includes its operands
        return sum_of_bytes(line.shapes, in_main_memory=True)
    taken = [
        computation.instructions[name].shapes
        for name in line.operands
        if name in computation.instructions
    ]
    if opcode == "fusion":
        inside = module.computations[line.called[0]]
        read = math.fsum(
            min(_read(module, inside, index), sum_of_bytes(shapes, in_main_memory=True))
            for index, shapes in enumerate(taken)
        )
        given = sum_of_bytes(line.shapes, in_main_memory=True)
        return read + min(given, _written(inside, inside.root))
    given = sum_of_bytes(line.shapes, in_main_memory=True)
    if opcode in ("dynamic-slice", "slice", "gather"):
        return 2 * given
    if opcode in ("dynamic-update-slice", "scatter"):
        replaced = taken[1 if opcode == "dynamic-update-slice" else -1]
        return 2 * sum_of_bytes(replaced, in_main_memory=True)
    return given + sum(sum_of_bytes(shapes, in_main_memory=True) for shapes in taken)


def _read(module: Module, inside: Computation, index: int) -> float:
    """The bytes that a fusion reads of one of its operands."""
    parameter = inside.parameters.get(index)
    return math.inf if parameter is None else _read_of(module, inside, parameter)


def _read_of(module: Module, inside: Computation, line: Instruction) -> float:
    total = 0.0
    for user in inside.users.get(line.name, []):
        is_first = user.operands[0] == line.name
        if user.opcode in ("dynamic-slice", "slice", "gather") and is_first:
            total += sum_of_bytes(user.shapes)
        elif user.opcode == "dynamic-update-slice" and is_first:
            continue
        elif user.opcode == "bitcast":
            total += _read_of(module, inside, user)
        elif user.opcode == "fusion":
            within = module.computations[user.called[0]]
            total += math.fsum(
                _read(module, within, place)
                for place, name in enumerate(user.operands)
                if name == line.name
            )
        else:
            return math.inf
    return total


def _written(inside: Computation, line: Instruction) -> float:
    """The bytes that a fusion writes of its result."""
    if line.opcode == "tuple":
        return math.fsum(_written(inside, inside.instructions[name]) for name in line.operands)
    if line.opcode == "bitcast":
        return _written(inside, inside.instructions[line.operands[0]])
    if line.opcode == "dynamic-update-slice":
        return sum_of_bytes(inside.instructions[line.operands[1]].shapes)
    shapes: tuple[Array, ...] = line.shapes
    return sum_of_bytes(shapes)
