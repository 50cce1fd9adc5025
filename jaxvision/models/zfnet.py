"""ZFNet: AlexNet, improved after a visualization of its layers.

Reference: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014,
arXiv:1311.2901.
"""

from functools import partial
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

# Smaller images leave no pixels after the third pooling.
MIN_SIZE = 47

POOL = partial(layers.max_pool, window=3, stride=2, ceil=True)


class ZFNet(Model, kw_only=True):
    """Five convolutions and dense layers: `stem`, `conv2`, ..., `conv5`, `dense1`, ..., `head`.

    The feature maps are those of the last convolution before each pooling (strides 2, 8 and 16) and
    those of the first and the last pooling (strides 4 and 32). The second convolution is not
    padded, so maps are smaller than the image divided by the stride. For images that are not
    224x224, the last map is averaged to the 6x6 that the dense layers take. `embed` is the last
    hidden layer's output.

    Attributes:
        hidden_sizes: Widths of the dense layers before the head.
        dropout: Dropout rate of these layers' outputs.
        activation: Name of the nonlinearity; see `layers.activation`.

    >>> import jax, jax.numpy as jnp
    >>> model = zfnet(num_classes=10)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 63, 63, 3)))
    >>> variables["params"]["stem"]["kernel"].shape
    (7, 7, 3, 96)
    """

    hidden_sizes: tuple[int, ...] = (4096, 4096)
    dropout: float = 0.5
    activation: str = "relu"

    def __post_init__(self) -> None:
        layers.check_rates(dropout=self.dropout)
        layers.activation(self.activation)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the layers."""
        conv = partial(layers.conv, kernel_init=layers.initializer("normal_0.01"), dtype=self.dtype)
        dense = partial(nn.Dense, kernel_init=layers.initializer("normal_0.01"), dtype=self.dtype)
        self.stem = conv(96, 7, stride=2, padding=1)
        self.conv2 = conv(256, 5, stride=2, padding=0)
        self.conv3 = conv(384, 3)
        self.conv4 = conv(384, 3)
        self.conv5 = conv(256, 3)
        for i, size in enumerate(self.hidden_sizes, start=1):
            setattr(self, f"dense{i}", dense(size))
        self.drop = nn.Dropout(self.dropout)
        self.head = dense(self.num_classes)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the maps at strides 2, 4, 8, 16 and 32."""
        x = check_images(x, self.in_channels, MIN_SIZE)
        activation = layers.activation(self.activation)
        stride2 = activation(self.stem(x))
        stride4 = layers.local_response_norm(POOL(stride2))
        stride8 = activation(self.conv2(stride4))
        y = layers.local_response_norm(POOL(stride8))
        for conv in (self.conv3, self.conv4, self.conv5):
            y = activation(conv(y))
        return {
            2: stride2,
            4: stride4,
            8: stride8,
            16: y,
            32: POOL(y),
        }

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the last hidden layer's output."""
        activation = layers.activation(self.activation)
        y = layers.flatten(layers.adaptive_avg_pool(self.features(x, train)[32], 6, 6))
        for i in range(1, len(self.hidden_sizes) + 1):
            y = activation(getattr(self, f"dense{i}")(y))
            y = self.drop(y, deterministic=not train)
        return y


class ZFNetOptions(ModelOptions, total=False):
    """Options of a ZFNet; see `ZFNet`."""

    hidden_sizes: tuple[int, ...]
    dropout: float
    activation: str


@register
def zfnet(**options: Unpack[ZFNetOptions]) -> ZFNet:
    """ZFNet: 62,357,608 parameters for 1000 classes (Figure 3 of the paper).

    Padding and rounding give the sizes in the figure: 110, 55, 26, 13 and 6. The figure's contrast
    normalization across maps is AlexNet's `layers.local_response_norm` here. Neither torchvision
    nor timm has this model.

    >>> zfnet(num_classes=10).hidden_sizes
    (4096, 4096)
    """
    return ZFNet(**options)
