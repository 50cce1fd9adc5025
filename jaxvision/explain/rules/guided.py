"""Gradients that ReLUs let through by rules of their own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn, jaxprs_in_params
from jaxtyping import Array, Float

from jaxvision.explain.attribution import Attribution, certified
from jaxvision.explain.rules.facts import find_facts
from jaxvision.explain.rules.program import ExplainError, Operation, evaluate, flatten, trace
from jaxvision.explain.rules.relevance import check_images
from jaxvision.explain.target import Target, score_of

Let = Callable[[Array, Array], Array]
"""What a ReLU lets through, from where its input is positive and from the gradient."""


def guided_backprop(
    f: Callable[[Any], Any], images: Float[Array, "batch *shape"], target: Target = None
) -> Attribution:
    """The gradient of the score, of which every ReLU lets only positive numbers pass.

    A ReLU is found in any spelling: `relu`, `relu6`, `maximum`, `clip`, `where(x > 0, x, 0)` or
    `x * (x > 0)`. Other operations have their gradients, so that without ReLUs the map is the
    gradient.

    Args:
        f: A function from images to logits.
        images: Images.
        target: What is explained; see `Target`.

    Returns:
        The gradient; it promises nothing.

    Raises:
        ExplainError: A loop or condition of unknown length or outcome has a ReLU.
        ValueError: The images are no floating point numbers.

    Reference: Springenberg et al., Striving for simplicity: the all convolutional net, ICLR
    workshop 2015, arXiv:1412.6806.

    >>> f = lambda x: jax.nn.relu(x) @ jnp.array([[1.0], [-1.0]])
    >>> guided_backprop(f, jnp.ones((1, 2))).map.tolist()
    [[1.0, 0.0]]
    """
    return _gradient(f, images, target, lambda inside, g: jnp.where(inside & (g > 0), g, 0))


def deconvnet(
    f: Callable[[Any], Any], images: Float[Array, "batch *shape"], target: Target = None
) -> Attribution:
    """The gradient of the score, where every ReLU is applied to the gradient instead.

    Args:
        f: A function from images to logits.
        images: Images.
        target: What is explained; see `Target`.

    Returns:
        The gradient; it promises nothing.

    Raises:
        ExplainError, ValueError: As in `guided_backprop`.

    Reference: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014,
    arXiv:1311.2901.

    >>> f = lambda x: jax.nn.relu(x) @ jnp.array([[1.0], [-1.0]])
    >>> deconvnet(f, -jnp.ones((1, 2))).map.tolist()
    [[1.0, 0.0]]
    """
    return _gradient(f, images, target, lambda inside, g: jnp.maximum(g, 0))


def _gradient(f: Callable[[Any], Any], images: Array, target: Target, let: Let) -> Attribution:
    check_images(images)
    outputs, pull = jax.vjp(_replaced(f, images, let), images)
    score, pull_score = jax.vjp(score_of(outputs, target), outputs)
    (gradient,) = pull(*pull_score(jnp.ones_like(score)))
    result = Attribution(
        gradient, jnp.zeros(len(images)), "none: a changed gradient promises nothing", 0.0
    )
    return certified(result)


def _replaced(f: Callable[[Any], Any], images: Array, let: Let) -> Callable[[Array], Any]:
    """The function with other gradients of its ReLUs."""
    closed, structure = trace(f, images)
    program = flatten(closed, opaque=_keeps_its_derivative)
    facts = find_facts(program)
    replace = {}
    for operation in program.operations:
        if facts.relu.get(operation.outputs[0]) is not None:
            replace[operation.outputs[0]] = _relu_for(
                operation,
                facts.relu[operation.outputs[0]],
                operation.outputs[0] in facts.bound,
                let,
            )
        elif any(_has_relu(ClosedJaxpr(body, ())) for body in _bodies(operation.equation)):
            raise ExplainError(
                f"the ReLUs in {operation.name!r}, used in {operation.where()}, cannot be reached; "
                "write the loop or the choice out in Python"
            )

    def call(x: Array) -> Any:
        values = evaluate(program.operations, {**program.constants, program.inputs[0]: x}, replace)
        return jax.tree.unflatten(structure, [values[number] for number in program.outputs])

    return call


def _bodies(equation: JaxprEqn) -> list[Any]:
    return [body for body in jaxprs_in_params(equation.params) if not body.constvars]


def _keeps_its_derivative(equation: JaxprEqn) -> bool:
    """Whether it is a function with a custom derivative and without ReLUs."""
    if not equation.primitive.name.startswith("custom_"):
        return False
    return not any(_has_relu(ClosedJaxpr(body, ())) for body in _bodies(equation))


def _has_relu(closed: ClosedJaxpr) -> bool:
    program = flatten(closed)
    return bool(find_facts(program).relu) or any(
        _has_relu(ClosedJaxpr(body, ())) for o in program.operations for body in _bodies(o.equation)
    )


def _relu_for(operation: Operation, x: int, is_bounded: bool, let: Let) -> Callable[..., Array]:
    place = operation.inputs.index(x)

    def relu(*inputs: Any) -> Array:
        bound = inputs[2] if is_bounded else jnp.inf
        x = jnp.asarray(inputs[place])
        return _relu(let, x, jnp.asarray(bound, x.dtype))

    return relu


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _relu(let: Let, x: Array, bound: Array) -> Array:
    return jnp.clip(x, 0, bound)


def _relu_forward(let: Let, x: Array, bound: Array) -> tuple[Array, Array]:
    return _relu(let, x, bound), (x > 0) & (x < bound)


def _relu_backward(let: Let, inside: Array, gradient: Array) -> tuple[Array, None]:
    return let(inside, gradient), None


_relu.defvjp(_relu_forward, _relu_backward)
