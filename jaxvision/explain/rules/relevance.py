"""Layer-wise relevance propagation through any function of images."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from jaxvision.explain.attribution import Attribution, certified, relative_error
from jaxvision.explain.rules.facts import VALUE, Facts, find_facts
from jaxvision.explain.rules.layer_rules import Composite, Epsilon, Rule, ZPlus, rules_of
from jaxvision.explain.rules.layers import (
    Layer,
    LayerValues,
    find_layers,
    layer_values,
    widened,
)
from jaxvision.explain.rules.primitives import Step, share
from jaxvision.explain.rules.program import Operation, Program, evaluate, flatten, trace
from jaxvision.explain.target import Target, score_of

Pooling = Literal["winner", "average"]
Values = dict[int, Any]


@struct.dataclass
class Relevance(Attribution):
    """Relevance of every number of the images, and where the rest of the score went.

    The map, `biases` and `stabilizers` add up to what was shared out.

    Attributes:
        biases: What biases and other constants absorbed.
        stabilizers: What was lost where totals are near 0.
    """

    biases: Float[Array, " batch"]
    stabilizers: Float[Array, " batch"]


def lrp(
    f: Callable[[Any], Any],
    images: Float[Array, "batch *shape"],
    target: Target = None,
    *,
    rule: Rule | Composite | None = None,
    pooling: Pooling = "winner",
    tolerance: float = 1e-3,
) -> Relevance:
    """Shares the score of each row among the numbers of its image, layer by layer.

    A linear layer shares by its rule; a normalization or bias that follows is folded into it. Sums
    share in proportion to their summands; a constant that is subtracted from the images gets
    nothing. Activations pass relevance on. Gates, softmax and the factors of normalizations count
    as constants, so that attention gives all to the values; products of two other factors give each
    a half. `f` is applied to each image by itself, with convolutions in XLA's own form; its loops
    and calls of `jax.jit` are written out. Where a platform rounds products, as TPUs do, so does
    the map; `jax.default_matmul_precision` changes that.

    Args:
        f: A function from images to logits.
        images: Images.
        target: What is explained; see `Target`. A function gets the outputs for one row at a time.
        rule: The rule of all linear layers, or a `Composite`; None is `Epsilon()`.
        pooling: Whether the largest number of a window takes all relevance of max pooling, or the
            numbers share it in proportion.
        tolerance: The largest error at which the map counts as conserving.

    Returns:
        The relevance, whose map, `biases` and `stabilizers` add up to the score.

    Raises:
        ExplainError: A primitive has no rule; see `register_rule`.
        ValueError: The images are no floating point numbers, `pooling` is unknown, or a composite
            names a layer that does not exist.

    Reference: Bach et al., On pixel-wise explanations for non-linear classifier decisions by
    layer-wise relevance propagation, PLOS ONE 10(7), 2015. Attention and normalizations: Ali et
    al., XAI for transformers: better explanations through conservative propagation, ICML 2022,
    arXiv:2202.07304.

    >>> weights = jnp.array([[1.0, -1.0], [2.0, 1.0]])
    >>> f = lambda x: jax.nn.relu(x @ weights).sum(1, keepdims=True)
    >>> found = jax.jit(lambda x: lrp(f, x))(jnp.ones((1, 2)))
    >>> found.map.round(3).tolist(), found.error.round(3).tolist()
    ([[1.0, 2.0]], [0.0])
    """
    found = _explain(f, images, target, rule or Epsilon(), pooling, tolerance, None)
    certified(found)
    return found


def excitation_backprop(
    f: Callable[[Any], Any],
    images: Float[Array, "batch *shape"],
    target: Target = None,
    *,
    pooling: Pooling = "winner",
    tolerance: float = 1e-3,
) -> Relevance:
    """Follows the winners of a layer back to the images, as a probability.

    An input wins in proportion to its positive contributions, as by `ZPlus` in `lrp`; the score
    has the probability 1.

    Args:
        f: A function from images to logits.
        images: Images.
        target: What is explained; see `Target`.
        pooling: As in `lrp`.
        tolerance: The largest error at which the map counts as conserving.

    Returns:
        The probabilities, whose map, `biases` and `stabilizers` add up to 1.

    Raises:
        ExplainError, ValueError: As in `lrp`.

    Reference: Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016,
    arXiv:1608.00507.

    >>> weights = jnp.array([[1.0, -1.0], [3.0, 1.0]])
    >>> found = jax.jit(lambda x: excitation_backprop(lambda x: x @ weights, x))(jnp.ones((1, 2)))
    >>> (100 * found.map).round().tolist()
    [[25.0, 75.0]]
    """
    found = _explain(f, images, target, ZPlus(), pooling, tolerance, 1.0)
    certified(found)
    return found


class _Graph(NamedTuple):
    program: Program
    facts: Facts
    layers: dict[int, tuple[Layer, Rule]]
    beyond: set[int]
    stabilizer: float
    pooling: Pooling


def _explain(
    f: Callable[[Any], Any],
    images: Array,
    target: Target,
    rule: Rule | Composite,
    pooling: Pooling,
    tolerance: float,
    start: float | None,
) -> Relevance:
    check_images(images)
    if pooling not in get_args(Pooling):
        raise ValueError(f"pooling must be one of {get_args(Pooling)}, got {pooling!r}")
    row = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    program = flatten(trace(partial(_single_output, f, target), row)[0])
    facts = find_facts(program)
    layers, beyond = find_layers(program, facts)
    chosen = zip(layers, rules_of(layers, rule), strict=True)
    graph = _Graph(
        program,
        facts,
        {layer.output: (layer, its) for layer, its in chosen},
        beyond,
        rule.stabilizer,
        pooling,
    )
    fixed = evaluate([o for o in program.operations if not _varies(o, facts)], program.constants)
    values = jax.vmap(partial(_forward, graph, fixed))(images[:, None])
    outputs = values[program.outputs[0]][:, 0]
    if callable(target):
        score, gradient = outputs, jnp.ones_like(outputs)
    else:
        score, pull = jax.vjp(score_of(outputs, target), outputs)
        (gradient,) = pull(jnp.ones_like(score))
    relevance = widened(gradient * (outputs if start is None else start))[:, None]
    found, biases, stabilizers = jax.vmap(partial(_backward, graph, fixed))(values, relevance)
    promised = widened(score if start is None else jnp.full_like(score, start))
    total = found.sum(range(1, found.ndim)) + biases + stabilizers
    return Relevance(
        map=found[:, 0],
        error=relative_error(total, promised),
        axiom="conservation: the map and what was absorbed add up to "
        + ("the score" if start is None else "1"),
        tolerance=tolerance,
        biases=biases,
        stabilizers=stabilizers,
    )


def check_images(images: Any) -> None:
    """Raises a `ValueError` unless the images are floating point numbers with a batch axis."""
    if images.ndim == 0 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            "images must be floating point numbers with a batch axis, got the dtype "
            f"{images.dtype} and the shape {images.shape}; scale them first"
        )


def _single_output(f: Callable[[Any], Any], target: Target, x: Array) -> Array:
    outputs = f(x)
    if not callable(target):
        if getattr(outputs, "ndim", None) != 2:
            score_of(outputs, target)
        return outputs
    score = target(outputs)
    if jnp.shape(score) != (1,):
        raise ValueError(
            f"target must give one number per row, for one row it gave the shape {jnp.shape(score)}"
        )
    return score


def _varies(operation: Operation, facts: Facts) -> bool:
    return any(number in facts.varies for number in operation.outputs)


def _forward(graph: _Graph, fixed: Values, image: Array) -> Values:
    """All values that depend on the image."""
    program = graph.program
    given = {**fixed, program.inputs[0]: image}
    values = evaluate([o for o in program.operations if _varies(o, graph.facts)], given)
    wanted = {*graph.facts.varies, *program.outputs}
    return {number: jnp.asarray(values[number]) for number in wanted}


def _backward(
    graph: _Graph, fixed: Values, values: Values, relevance: Array
) -> tuple[Array, Array, Array]:
    """The relevance of an image, and what biases and stabilizers absorbed."""
    program, facts = graph.program, graph.facts
    values = {**fixed, **values}
    found: dict[int, Array] = {}
    biases, stabilizers = (jnp.zeros((), relevance.dtype) for _ in range(2))

    def give(numbers: Iterable[int], shares: Iterable[Array | None]) -> Array:
        absorbed = jnp.zeros((), relevance.dtype)
        for number, each in zip(numbers, shares, strict=True):
            if each is not None and number in facts.depends:
                found[number] = found[number] + each if number in found else each
            elif each is not None:
                absorbed += each.sum()
        return absorbed

    biases += give(program.outputs, [relevance])
    for operation in reversed(program.operations):
        shared = [found.pop(number, None) for number in operation.outputs]
        if all(each is None for each in shared):
            continue
        if operation.outputs[0] in graph.layers and shared[0] is not None:
            layer, rule = graph.layers[operation.outputs[0]]
            known = _held(layer_values(layer, values, program, facts), shared[0])
            shares = rule.share(known, shared[0])
            give([layer.operation.inputs[known.place]], [shares.x])
            biases += shares.biases
            stabilizers += shares.stabilizers
            continue
        step = _step(graph, operation, values, shared)
        biases += give(operation.inputs, share(step))
        stabilizers += sum(step.absorbed)
    image = values[program.inputs[0]]
    return found.get(program.inputs[0], jnp.zeros_like(widened(image))), biases, stabilizers


def _held(layer: LayerValues, relevance: Array) -> LayerValues:
    """The values of a layer, with an input that is not known before the relevance is.

    XLA's CPU backend starts an operation as soon as its operands are known, whatever barriers there
    are. So it would compute what the rules need of all layers on the way forward, and keep that.
    """
    if not relevance.size:
        return layer
    is_lost = jnp.isnan(relevance.ravel()[0])
    return layer._replace(x=jnp.where(is_lost, jnp.nan, layer.x))


def _step(graph: _Graph, operation: Operation, values: Values, shared: list[Array | None]) -> Step:
    facts = graph.facts
    outputs = [widened(values[number]) for number in operation.outputs]
    return Step(
        operation=operation,
        inputs=[widened(values[number]) for number in operation.inputs],
        outputs=outputs,
        relevance=[
            jnp.zeros_like(y) if r is None else r for r, y in zip(shared, outputs, strict=True)
        ],
        depends=[number in facts.depends for number in operation.inputs],
        is_early=not graph.beyond.intersection(operation.inputs),
        varies=[number in facts.varies for number in operation.inputs],
        roles=[facts.role.get(number, VALUE) for number in operation.inputs],
        stabilizer=graph.stabilizer,
        pooling=graph.pooling,
    )
