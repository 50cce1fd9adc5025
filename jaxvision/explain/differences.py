"""Differences of a function's values at two points, traced back to its inputs.

A function is evaluated at the images and at a baseline side by side. Next to both, a change runs
through the equations: a linear function of the change of the images which, if that is the
difference of the two images, equals the difference of the two values at every equation. The
multipliers of DeepLIFT are the derivatives of the last change in the first one.

Elementwise functions of one array, whatever equations they consist of, count as one function of
that array, their root; so `x * sigmoid(x)` is the activation SiLU, not a product of two arrays.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jaxtyping import Array

from jaxvision.explain.equations import Values, bind, called, line_of

# fmt: off
_ELEMENTWISE = [
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh",
    "cbrt", "ceil", "clamp", "convert_element_type", "copy", "cos", "cosh", "digamma", "div",
    "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow",
    "is_finite", "le", "lgamma", "log", "log1p", "log2", "logistic", "lt", "max", "min", "mul",
    "name", "ne", "neg", "not", "one_minus_square", "or", "polynomial", "pow", "reduce_precision",
    "rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient",
    "sub", "tan", "tanh", "xor"
]
_LINEAR = [
    "add", "add_any", "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "cumsum",
    "dynamic_slice", "dynamic_update_slice", "expand_dims", "gather", "name", "neg",
    "optimization_barrier", "pad", "reduce_precision", "reduce_sum", "reduce_window_sum",
    "reshape", "rev", "scatter-add", "sharding_constraint", "slice", "split", "squeeze", "stack",
    "sub", "tile", "transpose", "unstack"
]
_PRODUCTS = [
    "conv_general_dilated", "dot_general", "mul"
]
_SELECTIONS = [
    "cummax", "cummin", "max", "min", "reduce_max", "reduce_min", "reduce_window_max",
    "reduce_window_min", "select_n"
]
# fmt: on


@dataclasses.dataclass(frozen=True, eq=False)
class Root:
    """An array of which others are elementwise functions: its two values and its change."""

    x: Array
    baseline: Array
    change: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """The values of one variable at both points.

    Attributes:
        x: Value for the images.
        baseline: Value for the baseline.
        root: The array that determines both values elementwise; None if there are several.
        slope: Derivative in the root at the images; None for integers and booleans.
    """

    x: Array
    baseline: Array
    root: Root | None
    slope: Array | None

    @property
    def change(self) -> Array:
        """The change: that of the root, times the ratio of the differences of both."""
        assert self.root is not None
        assert self.slope is not None
        if self.x is self.root.x:
            return self.root.change
        here, there = _difference(self), _difference(self.root)
        return _ratio(here, there, _scale(self.root), self.slope) * self.root.change


class _NoRuleError(Exception):
    """An equation has no rule."""

    def said(self, equations: tuple[JaxprEqn, ...]) -> NotImplementedError:
        """What users are told of an equation, which comes after those that called it."""
        primitive = f"{equations[-1].primitive.name!r} {self}".rstrip()
        lines = (line_of(each) for each in reversed(equations))
        line = next(filter(None, lines), "an unknown line")
        return NotImplementedError(
            f"DeepLIFT has no rule for the primitive {primitive}, from {line}; write this "
            "part of f with other functions, or use integrated_gradients, which explains any "
            "differentiable function"
        )


def new_pair(x: Array, baseline: Array, change: Array) -> Pair:
    """A pair that is its own root."""
    return Pair(x, baseline, Root(x, baseline, change), jnp.ones_like(x))


def evaluate(
    function: ClosedJaxpr, inputs: list[Any], callers: tuple[JaxprEqn, ...] = ()
) -> list[Any]:
    """Evaluates a function of pairs and of arrays; what depends on a pair is a pair.

    Args:
        function: The function.
        inputs: A `Pair` or an array for each input.
        callers: Equations that have called the function, outermost first.

    Returns:
        A `Pair` or an array for each output.

    Raises:
        NotImplementedError: An equation has no rule; the message names it and the user's line.
    """
    values = Values(function, inputs)
    for equation in function.jaxpr.eqns:
        operands = values.read(equation.invars)
        inner = called(equation, custom_derivatives=True)
        if not any(isinstance(each, Pair) for each in operands):
            outputs = bind(equation, operands)
        elif inner is not None:
            outputs = evaluate(inner, operands, (*callers, equation))
        else:
            try:
                outputs = _apply(equation, operands)
            except _NoRuleError as error:
                raise error.said((*callers, equation)) from None
        values.write(equation.outvars, outputs)
    return values.read(function.jaxpr.outvars)


def _apply(equation: JaxprEqn, operands: list[Any]) -> list[Any]:
    name = equation.primitive.name
    pairs = [each for each in operands if isinstance(each, Pair)]
    root = pairs[0].root
    at_x = bind(equation, _take(operands, "x"))
    shapes = {each.shape for each in at_x} | {each.x.shape for each in pairs}
    if (
        name in _ELEMENTWISE
        and root is not None
        and all(each.root is root for each in pairs)
        and len(shapes) == 1
    ):
        return _elementwise(equation, operands, at_x[0], root)
    at_baseline = bind(equation, _take(operands, "baseline"))
    if not any(_is_float(each) for each in at_x):
        return [Pair(x, base, None, None) for x, base in zip(at_x, at_baseline, strict=True)]
    if name in _SELECTIONS and all(each.slope is not None for each in pairs if _is_float(each.x)):
        changes = [_selected(equation, operands, at_x[0], at_baseline[0])]
    elif any(each.slope is None for each in pairs):
        raise _NoRuleError("with integers or booleans that depend on several arrays")
    elif name in _LINEAR or name in _PRODUCTS:
        changes = _bilinear(equation, operands)
    elif name == "stop_gradient":
        changes = [pairs[0].change]
    elif name == "div":
        changes = [_quotient(*operands)]
    else:
        raise _NoRuleError("of several arrays" if name in _ELEMENTWISE else "")
    return [new_pair(*each) for each in zip(at_x, at_baseline, changes, strict=True)]


def _elementwise(equation: JaxprEqn, operands: list[Any], x: Array, root: Root) -> list[Pair]:
    varied = [each for each in operands if isinstance(each, Pair) and each.slope is not None]
    at_baseline = bind(equation, _take(operands, "baseline"))[0]
    if varied and _is_float(x):
        slope = _derivative(
            equation, operands, [each.x for each in varied], [each.slope for each in varied]
        )[0]
    else:
        slope = jnp.zeros_like(x) if _is_float(x) else None
    return [Pair(x, at_baseline, root, slope)]


def _derivative(
    equation: JaxprEqn, operands: list[Any], points: list[Any], tangents: list[Any]
) -> list[Any]:
    """The derivative of an equation in those pairs that have slopes."""
    at_x = _take(operands, "x")
    places = [
        place
        for place, each in enumerate(operands)
        if isinstance(each, Pair) and each.slope is not None
    ]

    def function(*varied: Array) -> list[Any]:
        values = list(at_x)
        for place, value in zip(places, varied, strict=True):
            values[place] = value
        return bind(equation, values)

    return jax.jvp(function, tuple(points), tuple(tangents))[1]


def _bilinear(equation: JaxprEqn, operands: list[Any]) -> list[Any]:
    """The derivative half-way, which is exact for linear functions and products of two arrays."""
    pairs = [each for each in operands if isinstance(each, Pair)]
    middle = [(each.x + each.baseline) / 2 for each in pairs]
    return _derivative(equation, operands, middle, [each.change for each in pairs])


def _quotient(above: Any, below: Any) -> Array:
    """A quotient as the product of its numerator and the reciprocal of its denominator."""
    above_change = above.change if isinstance(above, Pair) else 0.0
    if not isinstance(below, Pair):
        return above_change / below
    numerator = (above.x + above.baseline) / 2 if isinstance(above, Pair) else above
    reciprocal = (1 / below.x + 1 / below.baseline) / 2
    return above_change * reciprocal - numerator * below.change / (below.x * below.baseline)


def _selected(equation: JaxprEqn, operands: list[Any], x: Array, baseline: Array) -> Array:
    """The change of a maximum, a minimum or a choice: all of it comes from one selected number."""
    # It is the number selected at the images or at the baseline, whichever has changed in the same
    # direction and at least as much. For a maximum that has grown the former has, else the latter.
    at_x = _choice(equation, operands, "x")
    at_baseline = _choice(equation, operands, "baseline")
    out = jnp.where(x == baseline, 0, x - baseline)
    scale = jnp.maximum(jnp.abs(x), jnp.abs(baseline))
    fits_x, fits_baseline = (out * each[0] >= out**2 for each in (at_x, at_baseline))
    larger = jnp.abs(at_x[0]) >= jnp.abs(at_baseline[0])
    from_x, from_baseline = (
        _ratio(out, difference, scale, jnp.ones_like(out)) * change
        for difference, change in (at_x, at_baseline)
    )
    return jnp.where(fits_x | (~fits_baseline & larger), from_x, from_baseline)


def _choice(equation: JaxprEqn, operands: list[Any], point: str) -> tuple[Array, Array]:
    """The difference and the change of what an equation selects at one of the points."""
    places = [
        place for place, each in enumerate(operands) if isinstance(each, Pair) and _is_float(each.x)
    ]
    values = _take(operands, point)

    def selection(*varied: Array) -> Any:
        merged = list(values)
        for place, value in zip(places, varied, strict=True):
            merged[place] = value
        return bind(equation, merged)[0]

    def of(quantity: Callable[[Pair], Array]) -> Array:
        tangents = tuple(quantity(operands[place]) for place in places)
        return jax.jvp(selection, tuple(values[place] for place in places), tangents)[1]

    return of(_difference), of(lambda pair: pair.change)


def _ratio(above: Array, below: Array, scale: Array, otherwise: Array) -> Array:
    """A quotient of differences; the derivative where the lower one is no more than rounding."""
    is_small = jnp.abs(below) <= 4 * jnp.finfo(below.dtype).eps * scale
    return jnp.where(is_small, otherwise, above / jnp.where(is_small, 1, below))


def _difference(pair: Pair | Root) -> Array:
    return jnp.where(pair.x == pair.baseline, 0, pair.x - pair.baseline)  # 0 for two infinities


def _scale(root: Root) -> Array:
    return jnp.maximum(jnp.abs(root.x), jnp.abs(root.baseline))


def _take(operands: list[Any], point: str) -> list[Any]:
    return [getattr(each, point) if isinstance(each, Pair) else each for each in operands]


def _is_float(value: Any) -> bool:
    return jnp.issubdtype(value.dtype, jnp.floating)
