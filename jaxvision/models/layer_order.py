"""The order of a model's layers, from the images to the logits."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvision._trees import by_path
from jaxvision.models.base import Model

Path = tuple[str, ...]


def layer_order(model: nn.Module, image_shape: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    """Orders the parameters of a model by their distance from the images.

    A layer is a module of the model (such as a block of a ResNet or of a transformer), together
    with the modules without a kernel that are called after it (such as a last normalization). All
    classifiers, including auxiliary ones, form the last layer. The model is traced, not run.

    Args:
        model: Model, or any Flax module that is called as `model(images)`.
        image_shape: Height, width and channels of an image.

    Returns:
        The paths of the modules of each layer, first layer first.

    Raises:
        ValueError: The module has no parameters.

    >>> from jaxvision import models
    >>> order = layer_order(models.create_model("vit_ti_16"), (224, 224, 3))
    >>> order[0], order[-2:]
    (('stem', 'tokens'), (('block11', 'final_norm'), ('head',)))
    """
    called, leaves = _called(model, image_shape)
    order: list[list[str]] = []
    for module in called:
        own = {leaf for leaf in leaves if leaf.startswith(f"{module}/")}
        leaves -= own
        has_kernel = any(leaf.rpartition("/")[2] == "kernel" for leaf in own)
        if order and (not has_kernel or _is_head(order[-1][0])):
            order[-1] += [module] if own else []
        elif own:
            order.append([module])
    if leaves:  # parameters outside of these modules, such as a token
        order = [[*(order[0] if order else []), *sorted(leaves)], *order[1:]]
    if not order:
        raise ValueError(f"this {type(model).__name__} has no parameters")
    return tuple(map(tuple, order))


def _called(model: nn.Module, image_shape: Sequence[int]) -> tuple[list[str], set[str]]:
    """Lists the direct submodules of a model or its backbone in call order, and all parameters."""
    called: dict[Path, None] = {}
    opened: set[Path] = {()}

    def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        path = context.module.path
        if path and path[:-1] in opened:
            if isinstance(context.module, Model):
                opened.add(path)
            else:
                called.setdefault(path)
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
    return ["/".join(path) for path in called], {*by_path(variables.get("params", {}))}


def _is_head(module: str) -> bool:
    return module.rpartition("/")[2].startswith("head")
