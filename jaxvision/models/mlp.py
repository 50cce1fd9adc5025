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
    """Dense layers with nonlinearities between them, on the flattened image.

    `features` is the image itself (stride 1), and `embed` the last hidden layer's output, before
    dropout. The model only takes images of the size it was initialized with.

    Attributes:
        hidden_sizes: Widths of the hidden layers, in order.
        dropout: Dropout rate of each hidden layer's outputs.
        activation: Name of the nonlinearity; see `layers.activation`.
        initializer: Initializer of the hidden layers' kernels; see `layers.initializer`.
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
        # No activation follows the head, so the hidden layers' initializer does not suit it.
        self.head = nn.Dense(self.num_classes, dtype=self.dtype)

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        vector = self.drop(self.embed(x, train), deterministic=not train)
        logits: Float[Array, "batch classes"] = self.head(vector)
        return logits

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Gives the image as the only map, at stride 1."""
        return {1: check_images(x, self.in_channels)}

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the last hidden layer's output; without hidden layers, flattens the image."""
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

    A neuron of the first layer has one weight per value of the image, and a bias: on ImageNet, 224
    * 224 * 3 + 1 = 150,529 parameters.

    Args:
        num_classes: Number of logits.
        in_channels: Number of image channels; None takes that of the images at initialization.
        dtype: Dtype of the computation; None promotes the dtypes of images and parameters.
        hidden_sizes: Widths of the hidden layers; an empty tuple gives a linear classifier.
        dropout: Dropout rate of each hidden layer's outputs, in [0, 1) (Srivastava et al., JMLR
            2014).
        activation: Name of the nonlinearity; see `layers.activation`.
        initializer: Initializer of the hidden layers' kernels; see `layers.initializer`.

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
