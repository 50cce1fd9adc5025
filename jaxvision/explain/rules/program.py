"""A function as a flat list of operations, to be read and evaluated."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from jaxvision import ops
from jaxvision.explain.equations import called

_CONVOLUTION = (
    *("window_strides", "padding", "lhs_dilation", "rhs_dilation", "dimension_numbers"),
    *("feature_group_count", "batch_group_count", "precision", "preferred_element_type"),
)
_LIBRARIES = (
    *(str(Path(str(module.__file__)).parent) for module in (jax, flax, ops)),
    str(Path(__file__).parent),
)


class ExplainError(ValueError):
    """A function has an operation that the explanation has no rule for."""


@dataclass(frozen=True)
class Operation:
    """An equation of a jaxpr whose variables are numbers.

    Attributes:
        name: Name of the primitive.
        equation: The equation.
        inputs, outputs: Variables.
        scope: Names of the modules and scopes around it, separated by slashes.
    """

    name: str
    equation: JaxprEqn
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    scope: str

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the primitive."""
        return self.equation.params

    def apply(self, *inputs: Any) -> list[Any]:
        """Computes the outputs, by the fastest form of convolutions and poolings."""
        if self.name in _FAST:
            return [_FAST[self.name](self.equation, *inputs)]
        primitive = self.equation.primitive
        found = primitive.bind(*inputs, **primitive.get_bind_params(self.params))
        return list(found) if primitive.multiple_results else [found]

    def wide(self) -> "Operation":
        """The same operation for inputs in float32 or wider, whose results it does not round."""
        if self.params.get("preferred_element_type") is None:
            return self
        params = {**self.params, "preferred_element_type": None}
        return Operation(
            self.name, self.equation.replace(params=params), self.inputs, self.outputs, self.scope
        )

    def where(self) -> str:
        """File and line of the user's code, as far as they are known."""
        traceback = self.equation.source_info.traceback
        frames: Sequence[Any] = () if traceback is None else traceback.frames
        for frame in frames:
            if not frame.file_name.startswith((*_LIBRARIES, "<")):
                return f"{frame.file_name}:{frame.line_num} ({frame.function_name})"
        return "an unknown line"


@dataclass(frozen=True)
class Program:
    """Operations in the order of execution.

    Attributes:
        operations: The operations.
        constants: Values that are known, by variable.
        avals: Shape and dtype of each variable.
        inputs, outputs: Variables.
    """

    operations: list[Operation]
    constants: dict[int, Any]
    avals: list[Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def trace(function: Callable[[Any], Any], x: Any) -> tuple[ClosedJaxpr, Any]:
    """Traces a function of an array; also gives the structure of its outputs.

    Calls of `jax.jit` and loops are written out, and convolutions stay what they are.
    """
    structures = []

    def flat(x: Any) -> list[Any]:
        outputs, structure = jax.tree.flatten(function(x))
        structures.append(structure)
        return outputs

    with ops.native_forms(), jax.disable_jit():
        closed = jax.make_jaxpr(flat)(jax.ShapeDtypeStruct(x.shape, x.dtype))
    return closed, structures[0]


def flatten(closed: ClosedJaxpr, opaque: Callable[[JaxprEqn], bool] = lambda _: False) -> Program:
    """Writes out the calls of a jaxpr, but for opaque ones."""
    program = Program([], {}, [], (), ())

    def new(aval: Any) -> int:
        program.avals.append(aval)
        return len(program.avals) - 1

    def known(value: Any, aval: Any) -> int:
        number = new(aval)
        program.constants[number] = value
        return number

    def follow(
        jaxpr: Jaxpr, constants: Iterable[Any], arguments: Iterable[int], scope: str
    ) -> list[int]:
        numbers: dict[Any, int] = dict(zip(jaxpr.invars, arguments, strict=True))
        for variable, value in zip(jaxpr.constvars, constants, strict=True):
            numbers[variable] = known(value, variable.aval)

        def read(atom: Any) -> int:
            return known(atom.val, atom.aval) if isinstance(atom, Literal) else numbers[atom]

        for equation in jaxpr.eqns:
            name = equation.primitive.name
            inputs = [read(atom) for atom in equation.invars]
            inner = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
            body = called(equation, custom_derivatives=True)
            if body is not None and not opaque(equation):
                outputs = follow(body.jaxpr, body.consts, inputs, inner)
            else:
                outputs = [new(variable.aval) for variable in equation.outvars]
                program.operations.append(
                    Operation(name, equation, tuple(inputs), tuple(outputs), inner)
                )
            numbers.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    inputs = [new(variable.aval) for variable in closed.jaxpr.invars]
    outputs = follow(closed.jaxpr, closed.consts, inputs, "")
    return Program(
        program.operations, program.constants, program.avals, tuple(inputs), tuple(outputs)
    )


def evaluate(
    operations: Sequence[Operation],
    values: dict[int, Any],
    replace: Mapping[int, Any] | None = None,
) -> dict[int, Any]:
    """Adds the results of operations to the values of variables.

    `replace` has functions that compute the first output of some operations, by its number.
    """
    values = dict(values)
    for operation in operations:
        inputs = [values[number] for number in operation.inputs]
        other = (replace or {}).get(operation.outputs[0])
        outputs = operation.apply(*inputs) if other is None else [other(*inputs)]
        values.update(zip(operation.outputs, outputs, strict=True))
    return values


def _convolve(equation: JaxprEqn, lhs: Any, rhs: Any) -> Any:
    options = {name: equation.params[name] for name in _CONVOLUTION}
    return ops.conv_general_dilated(jnp.asarray(lhs), jnp.asarray(rhs), **options)


def _max_pool(equation: JaxprEqn, x: Any) -> Any:
    params = equation.params
    window, strides = params["window_dimensions"], params["window_strides"]
    axes = len(window) - 2
    if (
        jnp.issubdtype(x.dtype, jnp.floating)
        and axes in (2, 3)
        and window == (1, *[window[1]] * axes, 1)
        and strides == (1, *[strides[1]] * axes, 1)
        and params["padding"][0] == params["padding"][-1] == (0, 0)
        and {*params["base_dilation"], *params["window_dilation"]} == {1}
    ):
        return ops.max_pool(x, window[1], strides[1], params["padding"][1:-1])
    return equation.primitive.bind(x, **params)


_FAST: Mapping[str, Callable[..., Any]] = {
    "conv_general_dilated": _convolve,
    "reduce_window_max": _max_pool,
}
