"""Inverted residual blocks, and the base class of MobileNetV2, MobileNetV3 and EfficientNet.

Reference: Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018,
arXiv:1801.04381.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvModel, ConvModelOptions

KERNEL_INIT = layers.initializer("he_normal_fan_out")
# The fan-out of a depthwise convolution equals its fan-in, but JAX's "fan_out" counts all channels.
DEPTHWISE_INIT = layers.initializer("he_normal")


def make_divisible(channels: int | float, divisor: int = 8) -> int:
    """Rounds a number of channels to a positive multiple of `divisor`, at least 90% of the number.

    Reference: the code of Sandler et al., 2018.

    >>> make_divisible(24 * 1.0), make_divisible(24 * 0.75), make_divisible(24 * 0.25)
    (24, 24, 8)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


@dataclasses.dataclass(frozen=True)
class BlockSpec:
    """Sizes and options of one inverted residual block.

    Attributes:
        expanded: Channels of the depthwise convolution.
        features: Output channels.
        kernel_size: Height and width of the depthwise kernel.
        stride: Stride of the depthwise convolution.
        squeezed: Channels between the two layers of squeeze-and-excitation; 0 leaves it out.
        activation: Nonlinearity after the expansion and after the depthwise convolution.
        drop_rate: Share of residuals that training drops; see `layers.StochasticDepth`.
    """

    expanded: int
    features: int
    kernel_size: int = 3
    stride: int = 1
    squeezed: int = 0
    activation: str = "relu6"
    drop_rate: float = 0.0


class InvertedResidual(nn.Module, kw_only=True):
    """A widening 1x1, a depthwise, and a narrowing 1x1 convolution without activation.

    The input is added where channels and size stay the same. The first convolution is left out
    where it would not widen. Squeeze-and-excitation follows the depthwise convolution. (Sandler et
    al., 2018, figure 3b; with squeeze-and-excitation, Howard et al., 2019, arXiv:1905.02244, figure
    4.) Other attributes are arguments of `layers.norm`.

    Attributes:
        spec: Sizes of the block.
        squeeze_activation: Nonlinearity between the layers of squeeze-and-excitation.
        squeeze_gate: Nonlinearity at its end, which gives the factors of the channels.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = InvertedResidual(spec=BlockSpec(expanded=48, features=16, stride=2))
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> y, variables = jax.eval_shape(start, jax.random.key(0), jnp.ones((2, 9, 9, 8)))
    >>> y.shape, sorted(variables["params"])
    ((2, 5, 5, 16), ['depthwise', 'expand', 'project'])
    """

    spec: BlockSpec
    squeeze_activation: str = "relu"
    squeeze_gate: str = "sigmoid"
    norm: str = "batch"
    epsilon: float = layers.NORM_EPSILON
    momentum: float = layers.NORM_MOMENTUM
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width features"]:
        """Computes the residual, and adds the input where the shapes agree."""
        spec = self.spec
        conv_norm = partial(
            layers.ConvNorm,
            norm=self.norm,
            epsilon=self.epsilon,
            momentum=self.momentum,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        pointwise = partial(conv_norm, kernel_size=1, kernel_init=KERNEL_INIT)
        y = x
        if spec.expanded != x.shape[-1]:
            y = pointwise(features=spec.expanded, activation=spec.activation, name="expand")(
                y, train
            )
        y = conv_norm(
            features=spec.expanded,
            kernel_size=spec.kernel_size,
            stride=spec.stride,
            groups=spec.expanded,
            activation=spec.activation,
            kernel_init=DEPTHWISE_INIT,
            name="depthwise",
        )(y, train)
        if spec.squeezed:
            y = layers.SqueezeExcite(
                reduced=spec.squeezed,
                activation=self.squeeze_activation,
                gate=self.squeeze_gate,
                kernel_init=KERNEL_INIT,
                dtype=self.dtype,
                name="squeeze_excite",
            )(y)
        y = pointwise(features=spec.features, name="project")(y, train)
        if spec.stride != 1 or x.shape[-1] != spec.features:
            return y
        if spec.drop_rate:
            y = layers.StochasticDepth(spec.drop_rate)(y, train)
        return x + y


class InvertedResidualNet(ConvModel, kw_only=True):
    """A network of inverted residual blocks: `stem`, `stage1_block0`, ..., `last`, `head`.

    The feature maps are the last at each stride, from 2 (the stem's, or a later one) to 32 (that of
    `last`, a 1x1 convolution); with `small_images`, from 1 to 8. Families define `stages`. For
    other attributes, see `ConvModel`.

    Attributes:
        small_images: Whether the stem and the first block with a stride keep the size, for images
            of about 32x32.
        epsilon: Number that normalizations add to the variance.
        momentum: Share of its running statistics that BatchNorm keeps at each step.
    """

    small_images: bool = False
    activation: str = "relu6"
    dropout: float = 0.2
    epsilon: float = layers.NORM_EPSILON
    momentum: float = layers.NORM_MOMENTUM

    @nn.nowrap
    def shared(self) -> dict[str, Any]:
        """Adds `epsilon` and `momentum` to the shared options."""
        return {**super().shared(), "epsilon": self.epsilon, "momentum": self.momentum}

    @nn.nowrap
    def stages(self) -> Sequence[Sequence[BlockSpec]]:
        """Lists the blocks of each stage."""
        raise NotImplementedError(f"{type(self).__name__} must define stages")

    @nn.nowrap
    def define(
        self,
        *,
        stem_channels: int,
        last_channels: int,
        head_init: layers.Initializer,
        squeeze_activation: str = "relu",
        squeeze_gate: str = "sigmoid",
    ) -> None:
        """Defines the stem, the blocks, the last convolution and the head, in `setup`."""
        conv_norm = partial(layers.ConvNorm, kernel_init=KERNEL_INIT, **self.shared())
        # The activation of a block is in its `BlockSpec`.
        of_blocks = {key: value for key, value in self.shared().items() if key != "activation"}
        stem_stride = 1 if self.small_images else 2
        self.stem = conv_norm(features=stem_channels, kernel_size=3, stride=stem_stride)
        for name, spec in self._blocks():
            block = InvertedResidual(
                spec=spec,
                squeeze_activation=squeeze_activation,
                squeeze_gate=squeeze_gate,
                **of_blocks,
            )
            setattr(self, name, block)
        self.last = conv_norm(features=last_channels, kernel_size=1)
        self.define_head(head_init)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the last map at each stride."""
        y = self.stem(check_images(x, self.in_channels), train)
        stride = 1 if self.small_images else 2
        maps = {stride: y}
        for name, spec in self._blocks():
            y = getattr(self, name)(y, train)
            stride *= spec.stride
            maps[stride] = y
        maps[stride] = self.last(y, train)
        return maps

    @nn.nowrap
    def _blocks(self) -> list[tuple[str, BlockSpec]]:
        """Lists the blocks by name; for small images, the first with a stride keeps the size."""
        blocks = []
        keeps_size = self.small_images
        for stage, specs in enumerate(self.stages(), start=1):
            for i, spec in enumerate(specs):
                if spec.stride > 1 and keeps_size:
                    spec, keeps_size = dataclasses.replace(spec, stride=1), False
                blocks.append((f"stage{stage}_block{i}", spec))
        return blocks


class InvertedResidualOptions(ConvModelOptions, total=False):
    """Options of every `InvertedResidualNet`."""

    small_images: bool


def check_width(width_multiplier: float) -> None:
    """Checks that a width multiplier, the factor of all numbers of channels, is positive.

    >>> check_width(0.75)
    """
    if width_multiplier <= 0:
        raise ValueError(f"width_multiplier must be positive, got {width_multiplier}")
