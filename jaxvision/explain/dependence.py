"""Which numbers of an input a number of the output can depend on.

A function is traced, and the outputs asked about are followed back through its operations. At each
of them, a number becomes 1 if it can change what follows and 0 if it cannot: weights count as
positive ones, so that nothing cancels, underflows or overflows, and values of the input are not
needed.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun
from jaxtyping import Array, Float

Mask = Float[Array, "..."]

_PIECEWISE = frozenset([
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh",
    "cbrt", "ceil", "clamp", "convert_element_type", "copy", "cos", "cosh", "digamma", "div", "eq",
    "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt", "imag", "integer_pow",
    "is_finite", "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne",
    "neg", "nextafter", "not", "or", "pow", "real", "reduce_precision", "rem", "round", "rsqrt",
    "select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub", "tan", "tanh",
    "xor",
])  # fmt: skip
"""Operations on the numbers of one place; axes of size 1 and scalars are for all places."""

_LINEAR = frozenset([
    "broadcast_in_dim", "concatenate", "conv_general_dilated", "cumsum", "dot_general",
    "dynamic_slice", "dynamic_update_slice", "gather", "pad", "reduce_sum", "reduce_window_sum",
    "reshape", "rev", "scatter", "scatter-add", "slice", "split", "squeeze", "stack", "tile",
    "transpose", "unstack",
])  # fmt: skip
"""Operations that are linear in all that is not an index, or in each factor."""

_VALUES = {
    "gather": (0,), "dynamic_slice": (0,), "dynamic_update_slice": (0, 1), "scatter": (0, 2),
    "scatter-add": (0, 2),
}  # fmt: skip
"""Positions of arguments that are not indices, where there are others."""

_FACTORS = frozenset(["conv_general_dilated", "dot_general"])
_REDUCTIONS = frozenset([
    "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin",
])  # fmt: skip
_WINDOWS = frozenset(["reduce_window_max", "reduce_window_min"])
_CUMULATIVE = frozenset(["cummax", "cummin", "cumprod", "cumlogsumexp"])


class _Node:
    """A value that depends on the input."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


class _Step(NamedTuple):
    equation: JaxprEqn
    inputs: list[Any]
    outputs: list[_Node]


class Dependence:
    """The operations of a function, to be followed back from its output.

    Args:
        f: Function of one array that returns one array.
        shape: Shape of its argument.

    Raises:
        ValueError: `f` does not return one array.

    >>> steps = Dependence(lambda x: jnp.cumsum(jnp.sin(x)), (4,))
    >>> jax.jit(steps.inputs_of)(steps.constants, jnp.array([0.0, 1, 0, 0])).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(self, f: Callable[[Any], Any], shape: Sequence[int]) -> None:
        self._input = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
        self._traced, output = jax.make_jaxpr(f, return_shape=True)(self._input)
        if not isinstance(output, jax.ShapeDtypeStruct):
            raise ValueError(f"f must return one array, got {type(output).__name__}")
        self.shape: tuple[int, ...] = output.shape
        """Shape of the output."""
        self.constants: list[Any] = self._traced.consts
        """Arrays that `f` closes over; an argument, so that they are not compiled into programs."""

    def inputs_of(self, constants: Sequence[Any], outputs: Mask) -> Mask:
        """Which numbers of the input can change the chosen outputs.

        Args:
            constants: `self.constants`.
            outputs: 1 for each output asked about, 0 for others.

        Returns:
            1 for each number of the input that can change one of them, 0 for others.

        Raises:
            NotImplementedError: An operation is not known, or its indices depend on the input.
        """
        root = _Node(self._input.shape)
        steps: list[_Step] = []
        (result,) = _follow(self._traced.jaxpr, constants, [root], steps)
        found = {id(result): outputs.astype(jnp.float32)} if isinstance(result, _Node) else {}
        for step in reversed(steps):
            masks = [found.pop(id(node), None) for node in step.outputs]
            if all(mask is None for mask in masks):
                continue
            full = [
                jnp.zeros(node.shape, jnp.float32) if mask is None else mask
                for node, mask in zip(step.outputs, masks, strict=True)
            ]
            for node, mask in zip(step.inputs, _pulled(step, full), strict=True):
                if isinstance(node, _Node) and mask is not None:
                    seen = (mask > 0).astype(jnp.float32)
                    found[id(node)] = jnp.maximum(found.get(id(node), 0.0), seen)
        return found.get(id(root), jnp.zeros(root.shape, jnp.float32))


def _follow(
    jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any], steps: list[_Step]
) -> list[Any]:
    """Computes what does not depend on the input, and notes the steps that do."""
    known = dict(zip(jaxpr.constvars + jaxpr.invars, [*constants, *arguments], strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else known[variable]

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        outputs = _outputs(equation, inputs, steps)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _outputs(equation: JaxprEqn, inputs: list[Any], steps: list[_Step]) -> list[Any]:
    name = equation.primitive.name
    inner = None if name in ("scan", "cond", "while") else _body(equation)
    if inner is not None:
        return _follow(*inner, inputs, steps)
    if not any(isinstance(value, _Node) for value in inputs):
        values = equation.primitive.bind(*inputs, **equation.params)
        return list(values) if equation.primitive.multiple_results else [values]
    if name in ("scan", "cond"):
        plain = _unrolled(equation) if name == "scan" else _either(equation)
        traced = jax.make_jaxpr(plain)(*(variable.aval for variable in equation.invars))
        return _follow(traced.jaxpr, traced.consts, inputs, steps)
    outputs = [_Node(getattr(variable.aval, "shape", ())) for variable in equation.outvars]
    steps.append(_Step(equation, inputs, outputs))
    return list(outputs)


def _body(equation: JaxprEqn) -> tuple[Jaxpr, Sequence[Any]] | None:
    """The body of a call, such as `jit`, `remat` or `custom_jvp_call`."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        body = equation.params.get(key)
        if isinstance(body, ClosedJaxpr):
            return body.jaxpr, body.consts
        if isinstance(body, Jaxpr):
            return body, ()
    return None


def _unrolled(equation: JaxprEqn) -> Callable[..., list[Any]]:
    """The steps of a scan, one after the other; carries have the ranks that they have in it."""
    closed, length = equation.params["jaxpr"], equation.params["length"]
    body = jaxpr_as_fun(closed)
    num_carry = _num_of_same_rank(equation.outvars, closed.jaxpr.outvars)
    last = _num_of_same_rank(equation.invars, closed.jaxpr.invars)
    first = last - num_carry

    def plain(*arguments: Any) -> list[Any]:
        constants, carry, rows = arguments[:first], arguments[first:last], arguments[last:]
        results: list[Any] = [None] * length
        for i in reversed(range(length)) if equation.params["reverse"] else range(length):
            row = [lax.index_in_dim(each, i, keepdims=False) for each in rows]
            outputs = body(*constants, *carry, *row)
            carry, results[i] = outputs[:num_carry], outputs[num_carry:]
        return [*carry, *(jnp.stack(column) for column in zip(*results, strict=True))]

    return plain


def _num_of_same_rank(outside: Sequence[Any], inside: Sequence[Any]) -> int:
    pairs = zip(outside, inside, strict=True)
    return sum(jnp.ndim(one.aval) == jnp.ndim(other.aval) for one, other in pairs)


def _either(equation: JaxprEqn) -> Callable[..., list[Any]]:
    """Depends on what any branch depends on, and on what chooses between them."""
    branches = [jaxpr_as_fun(branch) for branch in equation.params["branches"]]

    def plain(index: Any, *arguments: Any) -> list[Any]:
        columns = zip(*(branch(*arguments) for branch in branches), strict=True)
        return [lax.select_n(index, *column) for column in columns]

    return plain


def _pulled(step: _Step, masks: list[Mask]) -> list[Mask | None]:
    """For each argument of a step, which of its numbers can change the marked outputs."""
    name = step.equation.primitive.name
    if name == "select_n" and not isinstance(step.inputs[0], _Node):
        return [None, *_pulled_linearly(step, masks, fixed=step.inputs[:1])]
    if name in _PIECEWISE:
        return [_at_same_place(step, i, masks) for i in range(len(step.inputs))]
    if name == "sort":
        axis = step.equation.params["dimension"]
        union = jnp.max(jnp.stack(masks), axis=0).max(axis=axis, keepdims=True)
        return [jnp.broadcast_to(union, masks[0].shape)] * len(step.inputs)
    if name in _LINEAR:
        return _pulled_linearly(step, masks)
    params = step.equation.params
    (node,) = step.inputs if len(step.inputs) == 1 else (None,)
    sums: Callable[[Any], Any] | None = None
    if name in _REDUCTIONS:
        sums = lambda x: x.sum(axis=params["axes"])  # noqa: E731
    elif name in _CUMULATIVE:
        sums = lambda x: lax.cumsum(x, params["axis"], params["reverse"])  # noqa: E731
    elif name in _WINDOWS:
        sums = lambda x: lax.reduce_window(x, 0.0, lax.add, **_window(params))  # noqa: E731
    if sums is None or node is None:
        raise NotImplementedError(
            f"what {name!r} depends on is not known: give a function that ends before it, or "
            "replaces it"
        )
    return list(jax.vjp(sums, jnp.zeros(node.shape, jnp.float32))[1](masks[0]))


def _window(params: dict[str, Any]) -> dict[str, Any]:
    names = ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")
    return {name: params[name] for name in names}


def _at_same_place(step: _Step, position: int, masks: list[Mask]) -> Mask | None:
    node, union = step.inputs[position], jnp.max(jnp.stack(masks), axis=0)
    if not isinstance(node, _Node):
        return None
    if step.equation.primitive.name == "mul":
        other = step.inputs[1 - position]
        union = union if isinstance(other, _Node) else union * _is_weight(other)
    if not node.shape:
        return union.max()
    wide = [axis for axis, size in enumerate(node.shape) if size < union.shape[axis]]
    return union.max(axis=wide, keepdims=True) if wide else union


def _is_weight(factor: Any) -> Mask:
    """Where a factor is not 0; everywhere if it is 0 everywhere, since it has not learned yet."""
    nonzero = jnp.asarray(factor) != 0
    return (nonzero | ~nonzero.any()).astype(jnp.float32)


def _pulled_linearly(
    step: _Step, masks: list[Mask], fixed: Sequence[Any] = ()
) -> list[Mask | None]:
    """Transposes an operation; `fixed` are arguments before those that it is linear in."""
    name, inputs = step.equation.primitive.name, step.inputs[len(fixed) :]
    places = _VALUES.get(name, range(len(inputs)))
    if any(isinstance(inputs[i], _Node) for i in range(len(inputs)) if i not in places):
        raise NotImplementedError(
            f"the indices of {name!r} depend on the input, so that what it sees is not fixed"
        )
    params = dict(step.equation.params)
    if "preferred_element_type" in params:
        params["preferred_element_type"] = jnp.dtype(jnp.float32)
    plain = [
        value
        if i not in places
        else jnp.ones(value.shape, jnp.float32)
        if isinstance(value, _Node)
        else _is_weight(value)
        if name in _FACTORS
        else jnp.asarray(value).astype(jnp.float32)
        for i, value in enumerate(inputs)
    ]
    pulled: list[Mask | None] = [None] * len(inputs)
    for i in [i for i in places if isinstance(inputs[i], _Node)]:

        def of_one(x: Any, i: int = i) -> Any:
            arguments = [*fixed, *plain[:i], x, *plain[i + 1 :]]
            return step.equation.primitive.bind(*arguments, **params)

        cotangents = masks if step.equation.primitive.multiple_results else masks[0]
        (pulled[i],) = jax.vjp(of_one, plain[i])[1](cotangents)
    return pulled
