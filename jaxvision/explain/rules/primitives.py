"""Rules by which operations other than linear layers pass relevance back, and their registry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxvision.explain.rules.facts import COPIES, MOVES, SMOOTH, SUMS
from jaxvision.explain.rules.layer_rules import ratio
from jaxvision.explain.rules.program import ExplainError, Operation

Array = jax.Array


@dataclass
class Step:
    """An operation with its values, which a rule shares the relevance of.

    Attributes:
        operation: The operation, with the `name` and the `params` of its primitive.
        inputs, outputs: Values, real numbers in float32 or wider.
        relevance: Relevance of each output.
        depends: For each input, whether relevance flows on through it.
        varies: For each input, whether its value depends on the images.
        roles: For each input, how it acts in products, see `facts.Facts`.
        is_early: Whether no linear layer lies between the images and the inputs.
        stabilizer: What is added to the absolute value of divisors.
        pooling: How maxima of windows share: "winner" or "average".
        absorbed: What stabilizers have absorbed.
    """

    operation: Operation
    inputs: list[Array]
    outputs: list[Array]
    relevance: list[Array]
    depends: list[bool]
    varies: list[bool]
    roles: list[int]
    is_early: bool
    stabilizer: float
    pooling: str = "winner"
    absorbed: list[Array] = field(default_factory=list)

    def divide(self, relevance: Array, total: Array) -> Array:
        """Divides relevance by totals that are moved away from 0, and notes what this absorbs."""
        divided, absorbed = ratio(relevance, total, self.stabilizer)
        self.absorbed.append(absorbed)
        return divided

    def pull(self, values: Sequence[Array]) -> list[Array | None]:
        """Multiplies values of the outputs by the operation's Jacobian, for each real input."""
        floats = [i for i, x in enumerate(self.inputs) if jnp.issubdtype(x.dtype, jnp.floating)]

        def apply(*given: Array) -> list[Array]:
            inputs = list(self.inputs)
            for i, value in zip(floats, given, strict=True):
                inputs[i] = value
            outputs = self.operation.wide().apply(*inputs)
            return [y for y in outputs if jnp.issubdtype(y.dtype, jnp.floating)]

        found = jax.vjp(apply, *(self.inputs[i] for i in floats))[1](list(values))
        pulled: list[Array | None] = [None] * len(self.inputs)
        for i, value in zip(floats, found, strict=True):
            pulled[i] = value
        return pulled


PrimitiveRule = Callable[[Step], Sequence[Array | None]]
"""Gives the relevance of each input, or None for those without."""


def register_rule(primitive_name: str, rule: PrimitiveRule) -> None:
    """Says how a primitive of JAX passes relevance back, in `lrp` and `excitation_backprop`.

    The relevance that a rule gives to inputs that do not depend on the images counts as absorbed by
    biases. A rule for a primitive that has one replaces it.

    Args:
        primitive_name: Name of the primitive, as in a jaxpr and in the error that asks for a rule.
        rule: `rule(step)` gives one array of relevance per input, or None; the `Step` has the
            values of `inputs` and `outputs`, the `relevance` of each output, and `divide` and
            `pull` for shares in proportion to summands.

    >>> register_rule("cumprod", lambda step: [step.relevance[0]])
    """
    RULES[primitive_name] = rule


def share(step: Step) -> Sequence[Array | None]:
    """Shares the relevance of a step by its rule.

    Raises:
        ExplainError: There is no rule, or it gives arrays of other shapes than the inputs.
    """
    name = step.operation.name
    if name not in RULES:
        raise ExplainError(
            f"there is no relevance rule for the primitive {name!r}, used in "
            f"{step.operation.where()}; add one by explain.register_rule({name!r}, rule)"
        )
    found = RULES[name](step)
    shapes = [None if each is None else each.shape for each in found]
    expected = [x.shape for x in step.inputs]
    if len(shapes) != len(expected) or any(
        a not in (None, b) for a, b in zip(shapes, expected, strict=True)
    ):
        raise ExplainError(
            f"the relevance rule of {name!r} must give arrays of the shapes {expected} or None, "
            f"got {shapes}"
        )
    return found


def _fit(relevance: Array, x: Array) -> Array:
    """Adds up along the axes that an input was broadcast along."""
    if x.ndim == 0:
        return relevance.sum()
    axes = [a for a in range(x.ndim) if x.shape[a] == 1 != relevance.shape[a]]
    return relevance.sum(axes, keepdims=True)


def _pass_on(step: Step) -> list[Array | None]:
    """Gives all relevance to the one input that depends on the images."""
    return [
        _fit(step.relevance[0], x) if depends else None
        for x, depends in zip(step.inputs, step.depends, strict=True)
    ]


def _add(step: Step) -> list[Array | None]:
    """Gives each summand its share.

    What `stop_gradient` hides gets none, nor does a constant that shifts the images, such as a
    mean: they are explained by how they differ from it.
    """
    sign = -1 if step.operation.name == "sub" else 1
    hidden = [v and not d for v, d in zip(step.varies, step.depends, strict=True)]
    if any(hidden) or (step.is_early and not all(step.depends)):
        return _pass_on(step)
    a, b = step.inputs[0], sign * step.inputs[1]
    divided = step.divide(step.relevance[0], a + b)
    return [_fit(a * divided, a), _fit(b * divided, b)]


def _takers(step: Step) -> list[bool]:
    """The factors that take relevance: values rather than gates; factors of one kind share it."""
    least = min(r for r, d in zip(step.roles, step.depends, strict=True) if d)
    return [
        depends and role == least for depends, role in zip(step.depends, step.roles, strict=True)
    ]


def _multiply(step: Step) -> list[Array | None]:
    takers = _takers(step)
    part = step.relevance[0] / sum(takers)
    return [_fit(part, x) if takes else None for x, takes in zip(step.inputs, takers, strict=True)]


def _divide(step: Step) -> list[Array | None]:
    """Gives all to the numerator, unless only the denominator depends on the images."""
    place = 0 if step.depends[0] else 1
    shares: list[Array | None] = [None, None]
    shares[place] = _fit(step.relevance[0], step.inputs[place])
    return shares


def _move(step: Step) -> list[Array | None]:
    """Gives relevance to what was copied, constants included."""
    floats = [
        r for r, y in zip(step.relevance, step.outputs, strict=True)
        if jnp.issubdtype(y.dtype, jnp.floating)
    ]  # fmt: skip
    return step.pull(floats)


def _sum(step: Step) -> list[Array | None]:
    """Shares in proportion to summands; of two factors, values take all, or each a half."""
    total = step.operation.wide().apply(*step.inputs)[0]
    products = step.operation.name in ("dot_general", "conv_general_dilated")
    takers = _takers(step) if products else [True] * len(step.inputs)
    pulled = step.pull([step.divide(step.relevance[0] / (sum(takers) if products else 1), total)])
    if products and sum(takers) > 1:
        step.absorbed[-1] = step.absorbed[-1] * sum(takers)
    return [
        x * p if takes and p is not None else None
        for x, p, takes in zip(step.inputs, pulled, takers, strict=True)
    ]


def _pool(step: Step) -> list[Array | None]:
    """Gives relevance to the maximum of each window, or to all in proportion to their values."""
    if step.pooling == "winner":
        return _move(step)
    (x,), params = step.inputs, step.operation.params
    windows = (params["window_dimensions"], params["window_strides"], params["padding"])
    dilations = (params["base_dilation"], params["window_dilation"])

    def add_up(x: Array) -> Array:
        return lax.reduce_window(x, np.zeros((), x.dtype), lax.add, *windows, *dilations)

    total, pull = jax.vjp(add_up, x)
    return [x * pull(step.divide(step.relevance[0], total))[0]]


def _choose(step: Step) -> list[Array | None]:
    """Gives all to the larger (smaller) of two, or to the one that depends on the images."""
    if sum(step.depends) == 1:
        return _pass_on(step)
    a, b = step.inputs
    first = a >= b if step.operation.name == "max" else a <= b
    relevance = step.relevance[0]
    return [
        _fit(jnp.where(first, relevance, 0), a),
        _fit(jnp.where(first, 0, relevance), b),
    ]


def _select(step: Step) -> list[Array | None]:
    """Gives relevance to what was selected.

    If the images make the selection, a constant that they select is like the zero of a ReLU: the
    relevance goes to the only case that depends on the images.
    """
    cases = step.depends[1:]
    if step.varies[0] and sum(cases) == 1:
        return [None, *(step.relevance[0] if depends else None for depends in cases)]
    return _move(step)


RULES: dict[str, PrimitiveRule] = {
    **dict.fromkeys(MOVES, _move),
    **dict.fromkeys(SUMS | {"conv_general_dilated", "dot_general"}, _sum),
    **dict.fromkeys(
        COPIES
        | SMOOTH
        | {"abs", "clamp", "integer_pow", "neg", "square", "ceil", "floor", "round"},
        _pass_on,
    ),
    **dict.fromkeys(("add", "add_any", "sub"), _add),
    **dict.fromkeys(("max", "min"), _choose),
    "div": _divide,
    "mul": _multiply,
    "optimization_barrier": lambda step: step.relevance,
    "reduce_window_max": _pool,
    "select_n": _select,
}
