"""What is known of the variables of a program before it runs."""

from collections import defaultdict
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.explain.rules.program import Operation, Program

MOVES = {
    *("broadcast_in_dim", "concatenate", "dynamic_slice", "dynamic_update_slice", "gather", "pad"),
    *("reduce_max", "reduce_min", "reduce_window_max", "reshape", "rev", "scatter", "slice"),
    *("sort", "split", "squeeze", "tile", "top_k", "transpose"),
}
"""Operations whose results are copies of their inputs, in other places."""
SUMS = {"cumsum", "reduce_sum", "reduce_window_sum", "scatter-add"}
COPIES = {"convert_element_type", "copy", "copy_p", "reduce_precision", "sharding_constraint"}
COMPARISONS = {"eq", "ge", "gt", "le", "lt", "ne"}
SMOOTH = {
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "cos", "cosh", "digamma"),
    *("erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "lgamma", "log", "log1p", "logistic"),
    *("pow", "rsqrt", "sign", "sin", "sinh", "sqrt", "tan", "tanh"),
}
"""Functions of one number that serve as activations, or as gates and normalizers of others."""
_NONNEGATIVE = {"abs", "erfc", "exp", "exp2", "logistic", "rsqrt", "sqrt", "square"}
_KEEPS_SIGN = MOVES | SUMS | COPIES | {"add", "add_any", "clamp", "div", "min", "mul"}

VALUE, BOUNDED, GATE = range(3)


@dataclass
class Facts:
    """What is known of each variable.

    Attributes:
        varies: Variables whose values depend on the images.
        depends: Those that relevance flows through: `stop_gradient` ends it.
        role: VALUE, or GATE for smooth functions of one number (among them sigmoids, softmax and
            the factors of normalizations), or BOUNDED for those with an upper bound.
        nonnegative: Variables that are never negative.
        zero: Constants that are zero.
        relu: For outputs of a ReLU in any spelling, its input.
        bound: For those with an upper bound, the variable that is the bound.
        users: Operations that use each variable.
        maker: The operation that makes each variable.
    """

    varies: set[int] = field(default_factory=set)
    depends: set[int] = field(default_factory=set)
    role: dict[int, int] = field(default_factory=dict)
    nonnegative: set[int] = field(default_factory=set)
    zero: set[int] = field(default_factory=set)
    relu: dict[int, int] = field(default_factory=dict)
    bound: dict[int, int] = field(default_factory=dict)
    users: dict[int, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    maker: dict[int, Operation] = field(default_factory=dict)


def find_facts(program: Program) -> Facts:
    """Finds what is known of the variables."""
    facts = Facts()
    facts.varies.update(program.inputs)
    facts.depends.update(program.inputs)
    for number, value in program.constants.items():
        is_number = jnp.issubdtype(program.avals[number].dtype, jnp.number)
        if is_number and not isinstance(value, jax.core.Tracer) and np.size(value) == 1:
            _note_constant(facts, number, float(np.asarray(value).reshape(())))
    for operation in program.operations:
        _follow(facts, operation, program)
    return facts


def _note_constant(facts: Facts, number: int, value: float) -> None:
    if value >= 0:
        facts.nonnegative.add(number)
    if value == 0:
        facts.zero.add(number)


def _follow(facts: Facts, operation: Operation, program: Program) -> None:
    name, inputs = operation.name, operation.inputs
    for number in inputs:
        facts.users[number].append(operation)
    relu = _relu(facts, operation)
    if relu is not None and program.avals[relu].shape != program.avals[operation.outputs[0]].shape:
        relu = None
    nonnegative = [number in facts.nonnegative for number in inputs]
    if name == "max":
        is_nonnegative = any(nonnegative)
    elif name == "select_n":
        is_nonnegative = all(nonnegative[1:])
    else:
        is_nonnegative = name in _NONNEGATIVE or (name in _KEEPS_SIGN and all(nonnegative))
    for number in operation.outputs:
        facts.maker[number] = operation
        if any(i in facts.varies for i in inputs):
            facts.varies.add(number)
            facts.role[number] = _role(facts, operation)
        if name != "stop_gradient" and any(i in facts.depends for i in inputs):
            facts.depends.add(number)
        if name in MOVES | COPIES and all(i in facts.zero for i in inputs):
            facts.zero.add(number)
        if relu is not None:
            facts.relu[number] = relu
        if is_nonnegative or relu is not None:
            facts.nonnegative.add(number)


def _role(facts: Facts, operation: Operation) -> int:
    name = operation.name
    roles = [facts.role.get(i, VALUE) for i in operation.inputs if i in facts.varies]
    if name in SMOOTH | COMPARISONS or name in ("is_finite", "not", "floor", "ceil", "round"):
        return GATE
    if name == "integer_pow" and operation.params["y"] < 0:
        return GATE
    if name == "div":
        by_image = operation.inputs[0] in facts.varies
        return facts.role.get(operation.inputs[0], VALUE) if by_image else GATE
    if name in ("min", "clamp") and sum(i in facts.varies for i in operation.inputs) == 1:
        return max(BOUNDED, *roles)
    if name in ("conv_general_dilated", "dot_general"):
        return VALUE
    return min(roles)


def _relu(facts: Facts, operation: Operation) -> int | None:
    """The variable that a ReLU is applied to, in any spelling, if the operation is one."""
    name, inputs = operation.name, operation.inputs
    if name == "max":
        return _other(inputs, facts.zero)
    if name == "clamp" and inputs[0] in facts.zero:
        facts.bound[operation.outputs[0]] = inputs[2]
        return inputs[1]
    if name == "select_n" and len(inputs) == 3:
        which, if_false, if_true = inputs
        positive, negative = _sign_tests(facts, which)
        if if_false in facts.zero and if_true == positive:
            return if_true
        if if_true in facts.zero and if_false == negative:
            return if_false
    if name == "mul":
        for value, mask in (inputs, inputs[::-1]):
            maker = facts.maker.get(mask)
            if maker is None or maker.name != "convert_element_type":
                continue
            if _sign_tests(facts, maker.inputs[0])[0] == value:
                return value
    return None


def _other(inputs: tuple[int, ...], zeros: set[int]) -> int | None:
    rest = [number for number in inputs if number not in zeros]
    return rest[0] if len(rest) == 1 else None


def _sign_tests(facts: Facts, mask: int) -> tuple[int | None, int | None]:
    """The variable that a mask says to be positive, and the one it says to be negative."""
    maker = facts.maker.get(mask)
    if maker is None or maker.name not in ("gt", "ge", "lt", "le"):
        return None, None
    left, right = maker.inputs
    if left in facts.zero:
        left, right = right, left
        is_greater = maker.name in ("lt", "le")
    else:
        is_greater = maker.name in ("gt", "ge")
    if right not in facts.zero:
        return None, None
    return (left, None) if is_greater else (None, left)
