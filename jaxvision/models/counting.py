"""Summaries of models: their layers, output shapes, parameters and multiply-adds."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision._trees import by_path
from jaxvision.ops import ConvTranspose, DoubledConv

Path = tuple[str, ...]
_CONVOLUTIONS = (nn.Conv, nn.ConvTranspose, ConvTranspose, DoubledConv)


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """A layer of a model.

    Attributes:
        path: Path of the layer, such as `stage1_block0/conv1`.
        kind: Name of its class.
        shapes: Shapes of its outputs.
        num_parameters: Number of its parameters, with those of its submodules.
        multiply_adds: Number of its multiply-adds, with those of its submodules.
    """

    path: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    num_parameters: int
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class ModelSummary:
    """The layers of a model and their totals; `str` formats them as a table.

    Attributes:
        layers: Layers with parameters or multiply-adds, in call order, each before its submodules.
        num_parameters: Number of trained parameters.
        num_statistics: Number of other stored values, such as running averages.
        multiply_adds: Multiply-adds of the convolutions and matrix products in one forward pass.
    """

    layers: tuple[LayerSummary, ...]
    num_parameters: int
    num_statistics: int
    multiply_adds: int

    def __str__(self) -> str:
        rows = [("layer", "kind", "output", "parameters", "multiply-adds")]
        for layer in self.layers:
            depth = layer.path.count("/")
            rows.append(
                (
                    "  " * depth + layer.path.rpartition("/")[2],
                    layer.kind,
                    ", ".join("x".join(map(str, shape)) for shape in layer.shapes),
                    f"{layer.num_parameters:,}",
                    f"{layer.multiply_adds:,}",
                )
            )
        rows.append(("total", "", "", f"{self.num_parameters:,}", f"{self.multiply_adds:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [
            "  ".join(
                text.rjust(width) if i > 2 else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summary(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    depth: int | None = None,
    show: bool = True,
) -> ModelSummary:
    """Prints a table of a model's layers, with their output shapes, parameters and multiply-adds.

    The model is traced, not run. Multiply-adds are those of convolutions and matrix products; many
    authors call them FLOPs, although each is two operations.

    Args:
        model: Flax module that is called as `model(images)`.
        input_shape: Shape of the images, (batch, height, width, channels) or without the batch, or
            of volumes, (batch, depth, height, width, channels).
        depth: Number of levels of nested modules to list; None lists all.
        show: Whether to print the table.

    Returns:
        The summary, for further use.

    Raises:
        ValueError: The shape does not have 3 to 5 sizes.

    >>> from jaxvision import models
    >>> whole = models.summary(models.create_model("lenet5"), (32, 32, 1))
    layer  kind   output      parameters  multiply-adds
    ---------------------------------------------------
    c1     Conv   1x28x28x6          156        117,600
    c3     Conv   1x10x10x16       2,416        240,000
    c5     Dense  1x120           48,120         48,000
    f6     Dense  1x84            10,164         10,080
    head   Dense  1x10               850            840
    ---------------------------------------------------
    total                         61,706        416,520
    """
    shape = (1, *input_shape) if len(input_shape) == 3 else tuple(input_shape)
    if len(shape) not in (4, 5):
        raise ValueError(
            "input_shape must be (batch, height, width, channels), or without the batch, or "
            f"(batch, depth, height, width, channels), got {tuple(input_shape)}"
        )
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    outputs: dict[Path, tuple[str, Any]] = {}
    products: dict[Path, int] = defaultdict(int)
    convolutions: set[Path] = set()

    def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        path = context.module.path
        if context.method_name != "__call__" or not path:
            return call(*args, **kwargs)
        outputs[path] = (type(context.module).__name__, None)  # keeps the order of calls
        result = call(*args, **kwargs)
        outputs[path] = (outputs[path][0], result)
        if isinstance(context.module, _CONVOLUTIONS):
            convolutions.add(path)
            products[path] += _of_layer(context.module, args, result.shape)
        return result

    with nn.intercept_methods(note):
        traced = jax.make_jaxpr(lambda v, x: model.apply(v, x))(variables, images)
    parameters: dict[Path, int] = defaultdict(int)
    for leaf_path, leaf in by_path(variables["params"]).items():
        parameters[tuple(leaf_path.split("/"))] += leaf.size
    _count_products(traced.jaxpr, (), 1, _Counts(products, {*outputs}, convolutions))
    layers = [
        LayerSummary(
            path="/".join(path),
            kind=kind,
            shapes=tuple(leaf.shape for leaf in jax.tree.leaves(result)),
            num_parameters=_within(path, parameters),
            multiply_adds=_within(path, products),
        )
        for path, (kind, result) in outputs.items()
        if depth is None or len(path) <= depth
    ]
    whole = ModelSummary(
        layers=tuple(layer for layer in layers if layer.num_parameters or layer.multiply_adds),
        num_parameters=_within((), parameters),
        num_statistics=sum(leaf.size for leaf in jax.tree.leaves({**variables, "params": None})),
        multiply_adds=_within((), products),
    )
    if show:
        print(whole)
    return whole


def _within(path: Path, counts: dict[Path, int]) -> int:
    return sum(count for where, count in counts.items() if where[: len(path)] == path)


class _Counts(NamedTuple):
    """Multiply-adds by module, the paths of all modules, and the modules already counted."""

    products: dict[Path, int]
    modules: set[Path]
    counted: set[Path]


def _count_products(jaxpr: Any, scope: Path, times: int, counts: _Counts) -> None:
    """Adds the multiply-adds of a traced function to those of the modules that compute them."""
    for equation in jaxpr.eqns:
        where = (*scope, *str(equation.source_info.name_stack).split("/"))
        module = _innermost(where, counts.modules)
        if module in counts.counted:
            continue
        name = equation.primitive.name
        if name == "dot_general":
            counts.products[module] += times * _of_dot(equation)
        elif name == "conv_general_dilated":
            counts.products[module] += times * _of_convolution(equation)
        steps = equation.params.get("length", 1) if name == "scan" else 1
        for inner in equation.params.values():
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                _count_products(inner, where, times * steps, counts)


def _innermost(scope: Path, modules: set[Path]) -> Path:
    """Finds the innermost module in a name scope, which contains names of functions too."""
    path: Path = ()
    for name in scope:
        if (*path, name) in modules:
            path = (*path, name)
    return path


def _of_dot(equation: Any) -> int:
    left = equation.invars[0].aval.shape
    (contracted, _), _ = equation.params["dimension_numbers"]
    return math.prod(equation.outvars[0].aval.shape) * math.prod(left[i] for i in contracted)


def _of_convolution(equation: Any) -> int:
    kernel = equation.invars[1].aval.shape
    features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return math.prod(equation.outvars[0].aval.shape) * (math.prod(kernel) // features)


def _of_layer(layer: Any, arguments: Sequence[Any], result: tuple[int, ...]) -> int:
    """Counts the multiply-adds of a convolution layer by its shapes; taps on padding count too."""
    size = layer.kernel_size
    taps = size if isinstance(size, int) else math.prod(size)
    if isinstance(layer, nn.Conv):
        return math.prod(result) * taps * (arguments[0].shape[-1] // layer.feature_group_count)
    if isinstance(layer, DoubledConv):
        return (
            math.prod(result) * taps * sum(maps.shape[-1] for maps in arguments if maps is not None)
        )
    return math.prod(arguments[0].shape) * taps * layer.features
