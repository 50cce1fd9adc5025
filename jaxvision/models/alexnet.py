"""AlexNet, as in torchvision and as published.

References: Krizhevsky et al., ImageNet classification with deep convolutional neural networks, NIPS
2012; Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014,
arXiv:1404.5997.
"""

from collections.abc import Mapping
from typing import Unpack

import flax.linen as nn
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import (
    FeatureMaps,
    Images,
    Model,
    ModelOptions,
    check_images,
)
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames, after_flatten

# Smaller images leave no pixels after the third pooling.
MIN_SIZE = 63


class AlexNet(Model, kw_only=True):
    """Five convolutions and dense layers: `stem`, `conv2`, ..., `conv5`, `dense1`, ..., `head`.

    The feature maps are those of the last convolution before each pooling (strides 4, 8 and 16) and
    of the last pooling (stride 32). Poolings drop a last row and column that do not fill a window,
    so maps may be smaller than the image divided by the stride. For images that are not 224x224,
    the last map is averaged to the 6x6 that the dense layers take. `embed` is the last hidden
    layer's output.

    Attributes:
        original: Whether to build the network of 2012. Its convolutions 2, 4 and 5 have two groups
            (one for each of two GPUs), its widths differ, local response normalization precedes the
            first two poolings, and dropout comes after the dense layers rather than before.
        hidden_sizes: Widths of the dense layers before the head.
        dropout: Dropout rate before each of these layers, or after each with `original`.
        activation: Name of the nonlinearity; see `layers.activation`.

    >>> import jax, jax.numpy as jnp
    >>> model = alexnet(num_classes=10)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 63, 63, 3)))
    >>> sorted(variables["params"])
    ['conv2', 'conv3', 'conv4', 'conv5', 'dense1', 'dense2', 'head', 'stem']
    """

    original: bool = False
    hidden_sizes: tuple[int, ...] = (4096, 4096)
    dropout: float = 0.5
    activation: str = "relu"

    def __post_init__(self) -> None:
        layers.check_rates(dropout=self.dropout)
        layers.activation(self.activation)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the layers."""
        # The paper's initialization, or PyTorch's.
        init = layers.initializer("normal_0.01" if self.original else "torch")
        widths = (96, 256, 384, 384, 256) if self.original else (64, 192, 384, 256, 256)
        groups = (1, 2, 1, 2, 2) if self.original else (1, 1, 1, 1, 1)
        self.stem = layers.conv(
            widths[0], 11, stride=4, padding=2, kernel_init=init, dtype=self.dtype
        )
        for i in (2, 3, 4, 5):
            conv = layers.conv(
                widths[i - 1],
                5 if i == 2 else 3,
                groups=groups[i - 1],
                kernel_init=init,
                dtype=self.dtype,
            )
            setattr(self, f"conv{i}", conv)
        for i, size in enumerate(self.hidden_sizes, start=1):
            setattr(self, f"dense{i}", nn.Dense(size, dtype=self.dtype, kernel_init=init))
        self.drop = nn.Dropout(self.dropout)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=init)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the maps at strides 4, 8, 16 and 32."""
        x = check_images(x, self.in_channels, MIN_SIZE)
        activation = layers.activation(self.activation)

        def normalize(x: Array) -> Array:
            return layers.local_response_norm(x) if self.original else x

        stride4 = normalize(activation(self.stem(x)))
        stride8 = normalize(activation(self.conv2(layers.max_pool(stride4, 3, stride=2))))
        y = layers.max_pool(stride8, 3, stride=2)
        for conv in (self.conv3, self.conv4, self.conv5):
            y = activation(conv(y))
        return {
            4: stride4,
            8: stride8,
            16: y,
            32: layers.max_pool(y, 3, stride=2),
        }

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the last hidden layer's output."""
        activation = layers.activation(self.activation)
        y = layers.flatten(layers.adaptive_avg_pool(self.features(x, train)[32], 6, 6))
        for i in range(1, len(self.hidden_sizes) + 1):
            if not self.original:
                y = self.drop(y, deterministic=not train)
            y = activation(getattr(self, f"dense{i}")(y))
            if self.original:
                y = self.drop(y, deterministic=not train)
        return y

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only torchvision has this model, and without `original`."""
        return {} if self.original else {"torchvision": NAMES}


NAMES = TorchNames(
    [
        Rule(r"stem", "features.0"),
        Rule(r"conv2", "features.3"),
        Rule(r"conv3", "features.6"),
        Rule(r"conv4", "features.8"),
        Rule(r"conv5", "features.10"),
        Rule(r"dense1", "classifier.1", after_flatten(6, 6)),
        Rule(r"dense2", "classifier.4"),
        Rule(r"head", "classifier.6"),
    ]
)


class AlexNetOptions(ModelOptions, total=False):
    """Options of an AlexNet; see `AlexNet`."""

    hidden_sizes: tuple[int, ...]
    dropout: float
    activation: str


@register
def alexnet(**options: Unpack[AlexNetOptions]) -> AlexNet:
    """AlexNet as in torchvision: 61,100,840 parameters for 1000 classes.

    It is the network of "One weird trick" (arXiv:1404.5997, section 5) for one GPU: no groups, no
    local response normalization, and narrower first layers. `alexnet_2012` is the original network.

    >>> alexnet(num_classes=10).hidden_sizes
    (4096, 4096)
    """
    return AlexNet(**options)


@register
def alexnet_2012(**options: Unpack[AlexNetOptions]) -> AlexNet:
    """AlexNet as published in 2012: 60,965,224 parameters for 1000 classes (section 3.5, Figure 2).

    The paper has images of 224x224 but maps of 55x55, which need a padding of 2, as here, or images
    of 227x227. Some biases start at one in the paper; here, all start at zero.
    """
    return AlexNet(original=True, **options)
