"""How fast, and from when on, each layer of a trained model learns something new."""

from collections.abc import Sequence
from typing import Any

import jax
import optax

from jaxvision._trees import path_name
from jaxvision.train.optimizers import Optimizer

PyTree = Any
Layers = Sequence[Sequence[str]]
"""For every layer, first layer first, what the paths of its parameters begin with, as
`models.layer_order` gives them."""


def layerwise_decay(
    optimizer: optax.GradientTransformation, layers: Layers, decay: float
) -> optax.GradientTransformation:
    """Lets every layer learn more slowly than the one after it.

    The update of the last layer is the optimizer's, that of the layer before it is multiplied by
    `decay`, that before by its square, and so on; a decoupled weight decay is part of an update.
    (Howard and Ruder, arXiv:1801.06146, with decay 1 / 2.6; Bao et al., arXiv:2106.08254, with 0.65
    for a ViT.)

    Args:
        optimizer: What to scale.
        layers: What `models.layer_order` gives.
        decay: The ratio of the learning rates of neighbors, above 0 and at most 1.

    Returns:
        An optimizer.

    Raises:
        ValueError: `decay` is out of range, or, when it is used, a parameter is in no layer.

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
            f"decay must be above 0 and at most 1, got {decay}; to keep layers as they are, leave "
            "them out of what trains"
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
    """Plans a fine-tuning that begins with the classifier and takes in earlier layers by and by.

    What was trained for other images is not torn apart by the gradients of a classifier that knows
    nothing yet (Howard and Ruder, arXiv:1801.06146). Every phase is a training of its own, with an
    optimizer that begins anew.

    Args:
        layers: What `models.layer_order` gives.
        num_phases: How many phases; in the first the last layer trains alone, in the last all do,
            and between them it is a like number of layers more in every phase.

    Returns:
        For every phase what trains, as `make_train_step` takes it.

    Raises:
        ValueError: There are fewer layers than phases, or no phase.

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
