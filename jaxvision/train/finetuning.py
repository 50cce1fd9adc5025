"""Fine-tuning schedules: learning rates that decay by layer, and gradual unfreezing."""

from collections.abc import Sequence
from typing import Any

import jax
import optax

from jaxvision._trees import path_name
from jaxvision.train.optimizers import Optimizer

PyTree = Any
Layers = Sequence[Sequence[str]]
"""The prefixes of parameter paths in each layer, first layer first; from `models.layer_order`."""


def layerwise_decay(
    optimizer: optax.GradientTransformation, layers: Layers, decay: float
) -> optax.GradientTransformation:
    """Gives every layer a lower learning rate than the next one.

    The update of the last layer is that of the optimizer, including a decoupled weight decay; the
    update of the layer before it is multiplied by `decay`, the one before that by its square, and
    so on. (Howard and Ruder, arXiv:1801.06146, with decay 1 / 2.6; Bao et al., arXiv:2106.08254,
    with 0.65 for a ViT.)

    Args:
        optimizer: The optimizer whose updates are scaled.
        layers: The layers, from `models.layer_order`.
        decay: The ratio of the learning rates of neighboring layers, above 0 and at most 1.

    Raises:
        ValueError: `decay` is out of range, or, when the optimizer is used, a parameter is in no
            layer.

    >>> import jax.numpy as jnp
    >>> params = {"stem": jnp.zeros(()), "block": jnp.zeros(()), "head": jnp.zeros(())}
    >>> optimizer = layerwise_decay(optax.sgd(1.0), [["stem"], ["block"], ["head"]], 0.5)
    >>> gradients = jax.tree.map(lambda _: jnp.ones(()), params)
    >>> updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    >>> {name: float(update) for name, update in updates.items()}
    {'block': -0.5, 'head': -1.0, 'stem': -0.25}
    """
    if not 0 < decay <= 1:
        raise ValueError(
            f"decay must be above 0 and at most 1, got {decay}; to freeze layers, leave them out "
            "of what trains"
        )
    factors = {
        part: decay ** (len(layers) - 1 - index)
        for index, layer in enumerate(layers)
        for part in layer
    }

    def scale(updates: PyTree, params: PyTree | None) -> PyTree:
        del params
        return jax.tree_util.tree_map_with_path(
            lambda path, update: update * _factor(path_name(path), factors), updates
        )

    scaled = optax.chain(optimizer, optax.stateless(scale))
    if isinstance(optimizer, Optimizer):
        return Optimizer(scaled, optimizer.learning_rate)
    return scaled


def unfreezing(layers: Layers, num_phases: int) -> list[tuple[str, ...]]:
    """Plans a fine-tuning that begins with the last layer and adds earlier layers in phases.

    This protects pretrained layers from the gradients of an untrained classifier (Howard and Ruder,
    arXiv:1801.06146). Every phase is a separate training, with a new optimizer state.

    Args:
        layers: The layers, from `models.layer_order`.
        num_phases: The number of phases. The last layer trains alone in the first phase, all layers
            train in the last, and their number grows evenly in between. A single phase trains all.

    Returns:
        For every phase the `trainable` of `make_train_step`.

    Raises:
        ValueError: There are fewer layers than phases, or `num_phases` is below 1.

    >>> unfreezing([["stem"], ["block1"], ["block2", "norm"], ["head"]], 3)
    [('head',), ('block2', 'norm', 'head'), ('stem', 'block1', 'block2', 'norm', 'head')]
    """
    if not 1 <= num_phases <= len(layers):
        raise ValueError(
            f"num_phases must be from 1 to the number of layers, {len(layers)}, got {num_phases}"
        )
    if num_phases == 1:
        counts = [len(layers)]
    else:
        rest = len(layers) - 1
        counts = [1 + rest * phase // (num_phases - 1) for phase in range(num_phases)]
    return [tuple(part for layer in layers[-count:] for part in layer) for count in counts]


def _factor(path: str, factors: dict[str, float]) -> float:
    for part, factor in factors.items():
        if path == part or path.startswith(f"{part}/"):
            return factor
    raise ValueError(
        f"the parameter {path} is in no layer ({', '.join(factors)}): the layers are those of "
        "another model"
    )
