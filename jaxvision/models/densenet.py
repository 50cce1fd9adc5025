"""Densely connected networks.

Reference: Huang et al., Densely connected convolutional networks, CVPR 2017, arXiv:1608.06993.
"""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Unpack

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvBlock, ConvModel, ConvModelOptions
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames, conv_norm_rules

KERNEL_INIT = layers.initializer("he_normal")

# Smaller images leave no pixels after the transitions, which round sizes down.
MIN_SIZE = 29
MIN_SMALL_SIZE = 8


class DenseLayer(ConvBlock, kw_only=True):
    """A 1x1 and a 3x3 convolution, whose output is appended to the channels of their input.

    A norm and an activation precede each convolution. The first convolution has 4 times
    `growth_rate` channels.

    Attributes:
        growth_rate: Number of channels that are appended.
        dropout: Dropout rate of these channels.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = DenseLayer(growth_rate=12)
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> jax.eval_shape(start, jax.random.key(0), jnp.ones((2, 8, 8, 24)))[0].shape
    (2, 8, 8, 36)
    """

    growth_rate: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch height width more_channels"]:
        """Appends new channels to those of the input."""
        norm = partial(layers.NormActivation, activation=self.activation, **self.norm_options())
        conv = partial(layers.conv, use_bias=False, kernel_init=KERNEL_INIT, dtype=self.dtype)
        y = norm(name="norm1")(x, train)
        y = conv(4 * self.growth_rate, 1, name="conv1")(y)
        y = norm(name="norm2")(y, train)
        y = conv(self.growth_rate, 3, name="conv2")(y)
        y = nn.Dropout(self.dropout)(y, deterministic=not train)
        return jnp.concatenate([x, y], axis=-1)


class Transition(ConvBlock, kw_only=True):
    """A norm, an activation, a 1x1 convolution that halves the channels, and a 2x2 pooling."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width half_channels"]:
        """Computes the averages of the convolution over 2x2 windows."""
        y = layers.NormActivation(activation=self.activation, name="norm", **self.norm_options())(
            x, train
        )
        y = layers.conv(
            x.shape[-1] // 2,
            1,
            use_bias=False,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="conv",
        )(y)
        return layers.avg_pool(y, 2)


class DenseNet(ConvModel, kw_only=True):
    """A DenseNet-BC: `stem`, `block1_layer1`, ..., `transition1`, ..., `last_norm`, `head`.

    The feature maps are the stem's before the max-pooling (stride 2) and those of each block
    (strides 4 to 32), with all their channels; with `small_images`, only those of the blocks
    (strides 1 to 8). Only the coarsest block's map is normalized and activated. Transitions round
    sizes down. For other attributes, see `ConvModel`.

    Attributes:
        block_sizes: Number of layers in each dense block.
        growth_rate: Number of channels that each layer appends, the paper's k. The stem has twice
            as many.
        small_images: Whether the stem is a 3x3 convolution that keeps the size, for images of about
            32x32, rather than a 7x7 convolution and a max-pooling, each with a stride of 2.
        dropout: Dropout rate of the channels that each layer appends, and not before the head. The
            paper has 0.2 for images of 32x32 without augmentation.

    >>> import jax, jax.numpy as jnp
    >>> model = DenseNet(block_sizes=(2, 4), growth_rate=32, num_classes=10)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    >>> variables["params"]["head"]["kernel"].shape  # (64 + 2 * 32) / 2 + 4 * 32 channels
    (192, 10)
    """

    block_sizes: tuple[int, ...]
    growth_rate: int
    small_images: bool = False

    drops_before_head: ClassVar[bool] = False

    def setup(self) -> None:
        """Defines the stem, the blocks, the transitions, the last normalization and the head."""
        self.stem = layers.ConvNorm(
            features=2 * self.growth_rate,
            kernel_size=3 if self.small_images else 7,
            stride=1 if self.small_images else 2,
            kernel_init=KERNEL_INIT,
            **self.shared(),
        )
        layer = partial(
            DenseLayer, growth_rate=self.growth_rate, dropout=self.dropout, **self.shared()
        )
        for block, num_layers in enumerate(self.block_sizes, start=1):
            if block > 1:
                setattr(self, f"transition{block - 1}", Transition(**self.shared()))
            for i in range(1, num_layers + 1):
                setattr(self, f"block{block}_layer{i}", layer())
        self.last_norm = layers.NormActivation(**self.shared())
        self.define_head()

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        x = check_images(
            x,
            self.in_channels,
            MIN_SMALL_SIZE if self.small_images else MIN_SIZE,
            remedy="pad or resize them, or make it with small_images=True, which takes "
            f"{MIN_SMALL_SIZE}x{MIN_SMALL_SIZE}",
        )
        y = self.stem(x, train)
        stride = 1 if self.small_images else 2
        maps = {stride: y}
        if not self.small_images:
            y = layers.max_pool(y, 3, stride=2, padding=1)
            stride *= 2
        for block, num_layers in enumerate(self.block_sizes, start=1):
            if block > 1:
                y = getattr(self, f"transition{block - 1}")(y, train)
                stride *= 2
            for i in range(1, num_layers + 1):
                y = getattr(self, f"block{block}_layer{i}")(y, train)
            maps[stride] = y
        return maps | {stride: self.last_norm(y, train)}

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm use the same names; torchvision's weight files have older ones."""
        return {"torchvision": NAMES, "timm": NAMES, "torchvision-files": OLD_NAMES}


def _names(layer: str) -> TorchNames:
    """Lists the rules; `layer` is a template of the names of a dense layer's parts."""
    return TorchNames(
        [
            *conv_norm_rules("stem", "features.conv0", "features.norm0"),
            Rule(r"block(\d)_layer(\d+)/(norm)(\d)/norm", layer),
            Rule(r"block(\d)_layer(\d+)/(conv)(\d)", layer),
            Rule(r"transition(\d)/norm/norm", r"features.transition\1.norm"),
            Rule(r"transition(\d)/conv", r"features.transition\1.conv"),
            Rule(r"last_norm/norm", "features.norm5"),
            Rule(r"head", "classifier"),
        ]
    )


NAMES = _names(r"features.denseblock\1.denselayer\2.\3\4")
OLD_NAMES = _names(r"features.denseblock\1.denselayer\2.\3.\4")
"""Names in torchvision's weight files, which torchvision renames when it reads them."""


class DenseNetOptions(ConvModelOptions, total=False):
    """Options of a DenseNet; see `DenseNet`."""

    small_images: bool
    dropout: float


@register
def densenet121(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-121, k = 32: 7,978,856 parameters for 1000 classes (Table 1 of the paper).

    >>> densenet121(num_classes=10).block_sizes
    (6, 12, 24, 16)
    """
    return DenseNet(block_sizes=(6, 12, 24, 16), growth_rate=32, **options)


@register
def densenet161(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-161, k = 48: 28,681,000 parameters for 1000 classes (the authors' code)."""
    return DenseNet(block_sizes=(6, 12, 36, 24), growth_rate=48, **options)


@register
def densenet169(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-169, k = 32: 14,149,480 parameters for 1000 classes (Table 1 of the paper)."""
    return DenseNet(block_sizes=(6, 12, 32, 32), growth_rate=32, **options)


@register
def densenet201(**options: Unpack[DenseNetOptions]) -> DenseNet:
    """DenseNet-201, k = 32: 20,013,928 parameters for 1000 classes (Table 1 of the paper)."""
    return DenseNet(block_sizes=(6, 12, 48, 32), growth_rate=32, **options)
