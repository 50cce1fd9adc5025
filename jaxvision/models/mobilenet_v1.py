"""MobileNet, a network of depthwise separable convolutions.

Reference: Howard et al., MobileNets: efficient convolutional neural networks for mobile vision
applications, 2017, arXiv:1704.04861.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

import flax.linen as nn
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvBlock, ConvModel, ConvModelOptions
from jaxvision.models.inverted_residual import (
    DEPTHWISE_INIT,
    KERNEL_INIT,
    check_width,
    make_divisible,
)
from jaxvision.models.inverted_residual_names import BLOCK, timm_conv_norm_rules
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames, conv_norm_rules

# Table 1 of the paper: output channels, number of blocks and first stride of each stage. (The table
# prints a stride of 2 for the very last block, but its output is as large as its input.)
STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))


class SeparableBlock(ConvBlock, kw_only=True):
    """A depthwise 3x3 convolution and a 1x1 convolution, each with a norm and an activation.

    Reference: Howard et al., 2017, figure 3, right.

    Attributes:
        features: Output channels.
        stride: Stride of the depthwise convolution.
        epsilon: Number that normalizations add to the variance.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = SeparableBlock(features=16, stride=2)
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> jax.eval_shape(start, jax.random.key(0), jnp.ones((2, 9, 9, 8)))[0].shape
    (2, 5, 5, 16)
    """

    features: int
    stride: int = 1
    activation: str = "relu6"
    epsilon: float = layers.NORM_EPSILON

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width features"]:
        """Applies the two convolutions in turn."""
        channels = x.shape[-1]
        conv_norm = partial(
            layers.ConvNorm,
            activation=self.activation,
            epsilon=self.epsilon,
            **self.norm_options(),
        )
        x = conv_norm(
            features=channels,
            kernel_size=3,
            stride=self.stride,
            groups=channels,
            kernel_init=DEPTHWISE_INIT,
            name="depthwise",
        )(x, train)
        return conv_norm(
            features=self.features, kernel_size=1, kernel_init=KERNEL_INIT, name="pointwise"
        )(x, train)


class MobileNetV1(ConvModel, kw_only=True):
    """A MobileNet: `stem`, `stage1_block0`, `stage2_block0`, `stage2_block1`, ..., `head`.

    The feature maps are the last of each stage (strides 2 to 32); with `small_images`, the last at
    each stride (strides 1 to 8).

    The paper has ReLU, but its code and published weights have ReLU6, the default here. In that
    code (TensorFlow), `epsilon` is 1e-3, and convolutions of stride 2 pad images of even size only
    after the last row and column. For other attributes, see `ConvModel`.

    Attributes:
        width_multiplier: Factor of all numbers of channels: 1, 0.75, 0.5 or 0.25 in the paper. (Its
            resolution multiplier is the size of the images.)
        small_images: Whether the stem and the first block with a stride keep the size, for images
            of about 32x32.
        epsilon: Number that normalizations add to the variance.

    >>> mobilenet_v1(width_multiplier=0.5, num_classes=10).width_multiplier
    0.5
    """

    width_multiplier: float = 1.0
    small_images: bool = False
    activation: str = "relu6"
    epsilon: float = layers.NORM_EPSILON

    def __post_init__(self) -> None:
        check_width(self.width_multiplier)
        super().__post_init__()

    @nn.nowrap
    def shared(self) -> dict[str, Any]:
        """Adds `epsilon` to the shared options."""
        return {**super().shared(), "epsilon": self.epsilon}

    def setup(self) -> None:
        """Defines the stem, the blocks and the head."""
        self.stem = layers.ConvNorm(
            features=make_divisible(32 * self.width_multiplier),
            kernel_size=3,
            stride=1 if self.small_images else 2,
            kernel_init=KERNEL_INIT,
            **self.shared(),
        )
        for name, channels, stride in self._blocks():
            features = make_divisible(channels * self.width_multiplier)
            setattr(self, name, SeparableBlock(features=features, stride=stride, **self.shared()))
        self.define_head()

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the last map at each stride."""
        y = self.stem(check_images(x, self.in_channels), train)
        total = 1 if self.small_images else 2
        maps = {}
        for name, _, stride in self._blocks():
            y = getattr(self, name)(y, train)
            total *= stride
            maps[total] = y
        return maps

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only timm has this model, as mobilenetv1_100."""
        return {"timm": NAMES}

    @nn.nowrap
    def _blocks(self) -> list[tuple[str, int, int]]:
        """Lists the names of the blocks, their unmultiplied channels, and their strides."""
        return [
            (
                f"stage{stage}_block{i}",
                channels,
                1 if i > 0 or (stage == 2 and self.small_images) else stride,
            )
            for stage, (channels, num_blocks, stride) in enumerate(STAGES, start=1)
            for i in range(num_blocks)
        ]


NAMES = TorchNames(
    [
        *conv_norm_rules("stem", "conv_stem", "bn1"),
        *timm_conv_norm_rules(f"{BLOCK}/depthwise", "conv_dw", "bn1"),
        *timm_conv_norm_rules(f"{BLOCK}/pointwise", "conv_pw", "bn2"),
        Rule(r"head", "classifier"),
    ]
)


class MobileNetV1Options(ConvModelOptions, total=False):
    """Options of a MobileNet; see `MobileNetV1`."""

    width_multiplier: float
    small_images: bool
    epsilon: float


@register
def mobilenet_v1(**options: Unpack[MobileNetV1Options]) -> MobileNetV1:
    """MobileNet: 4,231,976 parameters for 1000 classes (Table 1 of the paper).

    Width multipliers of 0.75, 0.5 and 0.25 give 2,585,560, 1,331,592 and 470,072 (Table 6).

    >>> mobilenet_v1(num_classes=10, activation="relu").activation
    'relu'
    """
    return MobileNetV1(**options)
