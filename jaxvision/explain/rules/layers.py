"""Linear layers of a program: a product with a kernel, and what is folded into it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvision.explain.rules.facts import COPIES, Facts
from jaxvision.explain.rules.program import Operation, Program

Array = jax.Array


class Layer(NamedTuple):
    """A linear operation, with the bias and the normalization that follow it.

    Attributes:
        depth: Its number in the order of execution, from 0.
        name: Names of the modules around it, separated by slashes.
        kind: "convolution" or "dense".
        is_first: Whether no other layer lies between the images and this one.
        operation: The linear operation.
        folded: The affine operations that follow it and are its only use.
    """

    depth: int
    name: str
    kind: str
    is_first: bool
    operation: Operation
    folded: tuple[Operation, ...]

    @property
    def output(self) -> int:
        """The variable of the result."""
        return (self.folded or (self.operation,))[-1].outputs[0]


class LayerValues(NamedTuple):
    """A layer with its values, in float32 or wider.

    Attributes:
        operation: The linear operation.
        place: The place of the input among the operands; the kernel is the other.
        x: The input.
        kernel: The kernel, with the scale of a normalization folded in.
        bias: The bias, with the shift of a normalization folded in, in a shape that broadcasts.
        z: The output.
        is_nonnegative: Whether the input is known to have no negative numbers.
    """

    operation: Operation
    place: int
    x: Array
    kernel: Array
    bias: Array
    z: Array
    is_nonnegative: bool

    def apply(self, x: Array, kernel: Array) -> Array:
        """The linear operation of an input and a kernel."""
        return self.operation.apply(*((x, kernel) if self.place == 0 else (kernel, x)))[0]


def find_layers(program: Program, facts: Facts) -> tuple[list[Layer], set[int]]:
    """Finds the linear layers in the order of execution, and the variables that come after any."""
    found: list[Layer] = []
    beyond: set[int] = set()
    for operation in program.operations:
        if is_linear(operation, facts):
            kind = "convolution" if operation.name.startswith("conv") else "dense"
            is_first = not beyond.intersection(operation.inputs)
            folded = _folded(operation, program, facts)
            found.append(Layer(len(found), operation.scope, kind, is_first, operation, folded))
            beyond.update(operation.outputs)
        elif beyond.intersection(operation.inputs):
            beyond.update(operation.outputs)
    return found, beyond


def is_linear(operation: Operation, facts: Facts) -> bool:
    """Whether an operation multiplies what depends on the images by a kernel that does not."""
    if operation.name not in ("conv_general_dilated", "dot_general"):
        return False
    depends = [number in facts.depends for number in operation.inputs]
    varies = [number in facts.varies for number in operation.inputs]
    return sum(depends) == sum(varies) == 1 and operation.params.get("batch_group_count", 1) == 1


def _folded(operation: Operation, program: Program, facts: Facts) -> tuple[Operation, ...]:
    folded: list[Operation] = []
    axes = _feature_axes(operation, program, facts)
    shape = program.avals[operation.outputs[0]].shape
    last = operation.outputs[0]
    while last not in program.outputs and len(facts.users[last]) == 1:
        (user,) = facts.users[last]
        result = program.avals[user.outputs[0]]
        is_real = result.shape == shape and jnp.issubdtype(result.dtype, jnp.floating)
        if not is_real or not _is_affine(user, last, facts):
            break
        if user.name in ("mul", "div"):
            other = user.inputs[1 - user.inputs.index(last)]
            if not _varying(other, program, facts) <= axes:
                break
        folded.append(user)
        last = user.outputs[0]
    return tuple(folded)


def _is_affine(operation: Operation, last: int, facts: Facts) -> bool:
    if operation.name in COPIES or operation.name == "neg":
        return True
    if operation.name not in ("add", "sub", "mul", "div") or operation.inputs.count(last) != 1:
        return False
    other = operation.inputs[1 - operation.inputs.index(last)]
    return other not in facts.varies and (operation.name != "div" or operation.inputs[0] == last)


def _feature_axes(operation: Operation, program: Program, facts: Facts) -> set[int]:
    """The axes of the result that are axes of the kernel alone."""
    if operation.name == "conv_general_dilated":
        return {operation.params["dimension_numbers"].out_spec[1]}
    sizes = [len(program.avals[number].shape) for number in operation.inputs]
    (lhs, rhs), (batch, _) = operation.params["dimension_numbers"]
    free = (sizes[0] - len(lhs) - len(batch), sizes[1] - len(rhs) - len(batch))
    if operation.inputs[0] in facts.varies:
        return set(range(len(batch) + free[0], len(batch) + sum(free)))
    return set(range(len(batch), len(batch) + free[0]))


def _varying(number: int, program: Program, facts: Facts) -> set[int]:
    """The axes along which a variable that is no function of the images may vary."""
    shape = program.avals[number].shape
    axes = {axis for axis, size in enumerate(shape) if size > 1}
    maker = facts.maker.get(number)
    if maker is not None and maker.name == "broadcast_in_dim":
        before = program.avals[maker.inputs[0]].shape
        into = maker.params["broadcast_dimensions"]
        axes &= {axis for axis, size in zip(into, before, strict=True) if size > 1}
    return axes


def layer_values(
    layer: Layer, values: Mapping[int, Any], program: Program, facts: Facts
) -> LayerValues:
    """Looks up the values of a layer and folds what follows into its kernel and bias."""
    operation = layer.operation
    place = 0 if operation.inputs[0] in facts.depends else 1
    x, kernel = (widened(values[operation.inputs[i]]) for i in (place, 1 - place))
    wide = jnp.promote_types(x.dtype, kernel.dtype)
    x, kernel = x.astype(wide), kernel.astype(wide)
    scale, bias = jnp.ones((), wide), jnp.zeros((), wide)
    last = operation.outputs[0]
    for affine in layer.folded:
        if affine.name == "neg":
            scale, bias = -scale, -bias
        elif affine.name not in COPIES:
            position = affine.inputs.index(last)
            number = affine.inputs[1 - position]
            other = _condensed(jnp.asarray(values[number], wide), _varying(number, program, facts))
            if affine.name == "add":
                bias = bias + other
            elif affine.name == "sub":
                bias = bias - other if position == 0 else other - bias
                scale = scale if position == 0 else -scale
            else:
                factor = other if affine.name == "mul" else 1 / other
                scale, bias = scale * factor, bias * factor
        last = affine.outputs[0]
    axes = sorted(_feature_axes(operation, program, facts))
    kernel = _scaled(kernel, scale, axes, operation, place)
    found = LayerValues(
        operation.wide(),
        place,
        x,
        kernel,
        bias,
        values[last],
        operation.inputs[place] in facts.nonnegative,
    )
    if jnp.finfo(values[last].dtype).bits < 32:
        found = found._replace(z=found.apply(x, kernel) + bias)
    return found


def _condensed(value: Array, varying: set[int]) -> Array:
    """One number of each axis along which an array is constant."""
    return value[tuple(slice(None) if axis in varying else slice(1) for axis in range(value.ndim))]


def _scaled(
    kernel: Array, scale: Array, axes: list[int], operation: Operation, place: int
) -> Array:
    """Multiplies each feature of a kernel by its factor."""
    if scale.ndim == 0:
        return kernel * scale
    factors = scale.reshape([scale.shape[axis] for axis in axes])
    if operation.name == "conv_general_dilated":
        into = [operation.params["dimension_numbers"].rhs_spec[0]]
    else:
        contracted, batch = operation.params["dimension_numbers"]
        used = {*contracted[1 - place], *batch[1 - place]}
        into = [axis for axis in range(kernel.ndim) if axis not in used]
    return kernel * jnp.expand_dims(factors, [a for a in range(kernel.ndim) if a not in into])


def widened(value: Any) -> Array:
    """A value in float32 or wider; what is no real number stays as it is."""
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return value
    return value.astype(jnp.promote_types(value.dtype, jnp.float32))
