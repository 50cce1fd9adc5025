"""Fine-tuning layer by layer: learning rates that decay with depth, and gradual unfreezing."""

from collections.abc import Sequence
from typing import Any

import jax
import optax

from jaxvision._trees import path_name
from jaxvision.train.optimizers import Optimizer

PyTree = Any
Layers = Sequence[Sequence[str]]
"""Parameter path prefixes of each layer, first layer first; see `models.layer_order`."""


def layerwise_decay(
    optimizer: optax.GradientTransformation, layers: Layers, decay: float
) -> optax.GradientTransformation:
    """Scales the updates of an optimizer so that each layer learns more slowly than the next one.

    The update of the last layer is unchanged, that of the layer before it is multiplied by `decay`,
    that of the one before by `decay` squared, and so on. Decoupled weight decay is scaled too.
    Typical values are 1 / 2.6 (Howard and Ruder, arXiv:1801.06146) and, for a ViT, 0.65 (Bao et
    al., arXiv:2106.08254).

    Args:
        optimizer: Optimizer whose updates are scaled.
        layers: Output of `models.layer_order`.
        decay: Ratio of the learning rates of neighboring layers, in (0, 1].

    Raises:
        ValueError: `decay` is out of range; or, at the first update, a parameter is in no layer.

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
            f"decay must be above 0 and at most 1, got {decay}; to freeze layers, leave them "
            "out of `trainable`"
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
    """Plans gradual unfreezing: the last layer trains first, earlier ones join phase by phase.

    Gradients of a classifier that is still random would otherwise spoil the pretrained layers
    (Howard and Ruder, arXiv:1801.06146). Each phase is a training of its own with a fresh optimizer
    state.

    Args:
        layers: Output of `models.layer_order`.
        num_phases: Number of phases. All layers train in the last phase; each phase adds about the
            same number of layers.

    Returns:
        Path prefixes of the trained parameters in each phase, for `make_train_step(trainable=...)`.

    Raises:
        ValueError: `num_phases` is below 1 or above the number of layers.

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
