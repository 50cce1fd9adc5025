"""The multilayer perceptron: dense layers on the flattened image."""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, Model, check_images
from jaxvision.models.registry import register


class MLP(Model, kw_only=True):
    """Dense layers with a nonlinearity between them.

    It has no strides: `features` is the image itself, and `embed` the last hidden vector, before
    dropout. It takes only images of the size it was initialized with.

    Attributes:
        hidden_sizes: The widths of the hidden layers, from the image on.
        dropout: The share of each hidden layer's outputs that training drops.
        activation: See `layers.activation`.
        initializer: What the hidden layers' kernels start from; see `layers.initializer`.
    """

    hidden_sizes: tuple[int, ...] = (512, 256)
    dropout: float = 0.0
    activation: str = "relu"
    initializer: str = "he_normal"

    default_image_size: ClassVar[int] = 32

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.hidden_sizes):
            raise ValueError(f"hidden_sizes must be 1 or more each, got {self.hidden_sizes}")
        layers.check_rates(dropout=self.dropout)
        layers.activation(self.activation)
        layers.initializer(self.initializer)
        super().__post_init__()

    def setup(self) -> None:
        """Defines hidden0, hidden1, ... and the head."""
        kernel_init = layers.initializer(self.initializer)
        for i, size in enumerate(self.hidden_sizes):
            setattr(self, f"hidden{i}", nn.Dense(size, dtype=self.dtype, kernel_init=kernel_init))
        self.drop = nn.Dropout(self.dropout)
        # No activation follows the head, so that the initializer of the others does not fit it.
        self.head = nn.Dense(self.num_classes, dtype=self.dtype)

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        vector = self.drop(self.embed(x, train), deterministic=not train)
        logits: Float[Array, "batch classes"] = self.head(vector)
        return logits

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Gives the image as the only map."""
        return {1: check_images(x, self.in_channels)}

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the last hidden layer; without hidden layers, flattens the image."""
        x = layers.flatten(check_images(x, self.in_channels))
        activation = layers.activation(self.activation)
        for i in range(len(self.hidden_sizes)):
            if i > 0:
                x = self.drop(x, deterministic=not train)
            x = activation(getattr(self, f"hidden{i}")(x))
        return x


@register
def mlp(
    *,
    num_classes: int = 1000,
    in_channels: int | None = None,
    dtype: DTypeLike | None = None,
    hidden_sizes: Sequence[int] = (512, 256),
    dropout: float = 0.0,
    activation: str = "relu",
    initializer: str = "he_normal",
) -> MLP:
    """Builds a multilayer perceptron.

    A neuron of the first layer has a weight per value of the image: 224 * 224 * 3 + 1 = 150,529
    parameters on ImageNet.

    Args:
        num_classes: The number of logits.
        in_channels: The number of channels images must have; None takes what the first image has.
        dtype: What to compute in; None promotes the types of images and parameters.
        hidden_sizes: The widths of the hidden layers; with none, a linear classifier.
        dropout: The share of each hidden layer's outputs that training drops, in [0, 1)
            (Srivastava et al., JMLR 2014).
        activation: The nonlinearity; see `layers.activation`.
        initializer: What the hidden layers' kernels start from; see `layers.initializer`.

    >>> import jax, jax.numpy as jnp
    >>> model = mlp(num_classes=10, hidden_sizes=(100,))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    >>> sum(p.size for p in jax.tree.leaves(variables))
    79510
    """
    return MLP(
        num_classes=num_classes,
        in_channels=in_channels,
        dtype=dtype,
        hidden_sizes=tuple(hidden_sizes),
        dropout=dropout,
        activation=activation,
        initializer=initializer,
    )
