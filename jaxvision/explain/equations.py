"""Functions as lists of equations (jaxprs), which explainers evaluate in ways of their own."""

from typing import Any

from jax.extend import source_info_util
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun

_CALLS = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint")
_CALLS_WITH_DERIVATIVES = ("custom_jvp_call", "custom_vjp_call")


def bind(equation: JaxprEqn, values: list[Any]) -> list[Any]:
    """Evaluates one equation."""
    primitive = equation.primitive
    if called(equation, custom_derivatives=True) is not None:
        return _call(equation, values)
    outputs = primitive.bind(*values, **equation.params)
    return list(outputs) if primitive.multiple_results else [outputs]


def _call(equation: JaxprEqn, values: list[Any]) -> list[Any]:
    """Evaluates a call as a function of one equation, which keeps derivatives of its own."""
    inputs = {
        variable: value
        for variable, value in zip(equation.invars, values, strict=True)
        if not isinstance(variable, Literal)
    }
    inner = called(equation, custom_derivatives=True)
    assert inner is not None
    alone = Jaxpr(
        (), [*inputs], equation.outvars, [equation], equation.effects, inner.jaxpr.debug_info
    )
    return list(jaxpr_as_fun(ClosedJaxpr(alone, ()))(*inputs.values()))


def called(equation: JaxprEqn, *, custom_derivatives: bool = False) -> ClosedJaxpr | None:
    """The function that an equation calls with its inputs, or None.

    Functions with derivatives of their own count only with `custom_derivatives`.
    """
    names = _CALLS + _CALLS_WITH_DERIVATIVES if custom_derivatives else _CALLS
    if equation.primitive.name not in names:
        return None
    params = equation.params
    inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
    return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())


class Values:
    """The values of the variables of a function while it is evaluated."""

    def __init__(self, closed: ClosedJaxpr, inputs: list[Any]) -> None:
        self._values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        self.write(closed.jaxpr.invars, inputs)

    def read(self, variables: list[Any]) -> list[Any]:
        """The values of variables, or of constants written into an equation."""
        return [each.val if isinstance(each, Literal) else self._values[each] for each in variables]

    def write(self, variables: list[Any], values: list[Any]) -> None:
        """Sets variables."""
        self._values.update(zip(variables, values, strict=True))


def line_of(equation: JaxprEqn) -> str:
    """The user's line that an equation comes from, as file:line (function)."""
    return source_info_util.summarize(equation.source_info)
