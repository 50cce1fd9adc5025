"""Pre-activation residual networks ("ResNet v2") for ImageNet.

Reference: He et al., Identity mappings in deep residual networks, ECCV 2016, arXiv:1603.05027.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Unpack

import flax.linen as nn
from jax.nn import initializers
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, Pyramid, check_images
from jaxvision.models.registry import register
from jaxvision.models.residual import (
    KERNEL_INIT,
    ResidualBlock,
    ResidualModel,
    ResidualOptions,
)
from jaxvision.models.weights.names import DENSE_AS_CONV, Rule, TorchNames


class PreActBlock(ResidualBlock, kw_only=True):
    """Two 3x3 convolutions, each after a norm and an activation, added to their input.

    Where the shape changes, the shortcut is a 1x1 convolution of the first activated map. The first
    convolution and the shortcut apply the stride.

    Attributes:
        dropout: Dropout rate between the convolutions.
        zero_init_residual: Whether the last convolution, and so the residual, starts at zero.
    """

    dropout: float = 0.0
    zero_init_residual: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Computes input plus residual."""
        norm, conv = self.parts()
        y = norm(name="norm1")(x, train)
        if self.stride != 1 or x.shape[-1] != self.channels:
            x = conv(self.channels, 1, stride=self.stride, name="shortcut")(y)
        y = conv(self.channels, 3, stride=self.stride, dilation=self.first_dilation, name="conv1")(
            y
        )
        y = norm(name="norm2")(y, train)
        y = nn.Dropout(self.dropout)(y, deterministic=not train)
        last_kernel = initializers.zeros if self.zero_init_residual else KERNEL_INIT
        return x + conv(
            self.channels, 3, dilation=self.dilation, kernel_init=last_kernel, name="conv2"
        )(y)

    def parts(self) -> tuple[Callable[..., nn.Module], Callable[..., nn.Module]]:
        """Gives the constructors of a norm with activation and of a convolution."""
        norm = partial(layers.NormActivation, activation=self.activation, **self.norm_options())
        conv = partial(layers.conv, use_bias=False, kernel_init=KERNEL_INIT, dtype=self.dtype)
        return norm, conv


class PreActBottleneck(PreActBlock, kw_only=True):
    """A 3x3 convolution between a narrowing and a widening 1x1 convolution, added to their input.

    A norm and an activation precede each convolution. The output has 4 times `channels`.

    Attributes:
        stride_in_first: Whether the first 1x1 convolution applies the stride, as in the paper,
            rather than the 3x3. The parameters are the same.
    """

    stride_in_first: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Computes input plus residual."""
        norm, conv = self.parts()
        first, second = (self.stride, 1) if self.stride_in_first else (1, self.stride)
        out_channels = 4 * self.channels
        y = norm(name="norm1")(x, train)
        if self.stride != 1 or x.shape[-1] != out_channels:
            x = conv(out_channels, 1, stride=self.stride, name="shortcut")(y)
        y = conv(self.channels, 1, stride=first, name="conv1")(y)
        y = norm(name="norm2")(y, train)
        y = conv(self.channels, 3, stride=second, dilation=self.first_dilation, name="conv2")(y)
        y = norm(name="norm3")(y, train)
        y = nn.Dropout(self.dropout)(y, deterministic=not train)
        last_kernel = initializers.zeros if self.zero_init_residual else KERNEL_INIT
        return x + conv(out_channels, 1, kernel_init=last_kernel, name="conv3")(y)


class PreActResNet(ResidualModel, kw_only=True):
    """A pre-activation residual network: `stem`, `stage1_block0`, ..., `last_norm`, `head`.

    The blocks are those of the paper's figure 4e. The feature maps are the stem's before the
    max-pooling (stride 2) and the last of each stage (strides 4 to 32); with `small_images`, only
    the last of each stage (strides 1 to 8). Only the coarsest map is normalized and activated: for
    the others, the next block does this first.

    As in timm, the stem's map is pooled before the first block normalizes and activates it. The
    authors' code normalizes and activates it before the pooling, and its bottlenecks have the
    stride in the first convolution (`stride_in_first`). For other attributes, see `ResidualModel`.

    Attributes:
        block: Class of the blocks.
        small_images: Whether the stem is a 3x3 convolution that keeps the size, for images of about
            32x32, rather than a 7x7 convolution and a max-pooling, each with a stride of 2.
        zero_init_residual: Whether each block's last convolution starts at zero, so that the block
            starts as its shortcut.
        stride_in_first: See `PreActBottleneck`; not for other blocks.

    >>> import jax, jax.numpy as jnp
    >>> model = preact_resnet18(num_classes=10, small_images=True)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> sorted(variables["params"])[:3]
    ['head', 'last_norm', 'stage1_block0']
    """

    block: type[PreActBlock]
    small_images: bool = False
    zero_init_residual: bool = False
    stride_in_first: bool = False

    def __post_init__(self) -> None:
        if self.stride_in_first and not issubclass(self.block, PreActBottleneck):
            raise ValueError(
                f"stride_in_first is for bottlenecks; a {self.block.__name__} has no such choice"
            )
        super().__post_init__()

    @property
    def stem_stride(self) -> int:
        """Stride of the map that the first stage takes."""
        return 1 if self.small_images else 4

    def setup(self) -> None:
        """Defines the stem, the blocks, the last normalization and the head."""
        self.stem = layers.conv(
            64,
            3 if self.small_images else 7,
            stride=1 if self.small_images else 2,
            use_bias=False,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
        )
        block = partial(self.block, zero_init_residual=self.zero_init_residual)
        if issubclass(self.block, PreActBottleneck):
            block = partial(block, stride_in_first=self.stride_in_first)
        self.define_stages(block, channels=64)
        self.last_norm = layers.NormActivation(**self.shared())

    def pyramid(self, x: Images, train: bool = False) -> Pyramid:
        """Computes the maps of the stem and of each stage."""
        y = self.stem(check_images(x, self.in_channels))
        if self.small_images:
            *maps, (stride, last) = self.run_stages(y, train)
        else:
            pooled = layers.max_pool(y, 3, stride=2, padding=1)
            *maps, (stride, last) = [(2, y), *self.run_stages(pooled, train)]
        return [*maps, (stride, self.last_norm(last, train))]

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only timm has these models, as `resnetv2_18` etc., with `stride_in_first=False`."""
        return {} if self.stride_in_first else {"timm": NAMES}


def _in_block(match: re.Match[str]) -> str:
    """Names a layer of a block in timm, which counts stages from 0."""
    stage, block, *layer = match.groups()
    name = layer[0] if layer else "downsample.conv"
    return f"stages.{int(stage) - 1}.blocks.{block}.{name}"


NAMES = TorchNames(
    [
        Rule(r"stem", "stem.conv"),
        Rule(r"stage(\d)_block(\d+)/(conv\d)", _in_block),
        Rule(r"stage(\d)_block(\d+)/(norm\d)/norm", _in_block),
        Rule(r"stage(\d)_block(\d+)/shortcut", _in_block),
        Rule(r"last_norm/norm", "norm"),
        Rule(r"head", "head.fc", DENSE_AS_CONV),
    ]
)


class PreActResNetOptions(ResidualOptions, total=False):
    """Options of a pre-activation ResNet; see `PreActResNet`."""

    small_images: bool
    zero_init_residual: bool


class PreActBottleneckOptions(PreActResNetOptions, total=False):
    """Options of a pre-activation ResNet of bottlenecks; see `PreActResNet`."""

    stride_in_first: bool


@register
def preact_resnet18(**options: Unpack[PreActResNetOptions]) -> PreActResNet:
    """Pre-activation ResNet-18: 11,687,720 parameters for 1000 classes.

    It has the stages of ResNet-18 (arXiv:1512.03385, Table 1); timm calls it `resnetv2_18`.

    >>> preact_resnet18(num_classes=10).stage_sizes
    (2, 2, 2, 2)
    """
    return PreActResNet(stage_sizes=(2, 2, 2, 2), block=PreActBlock, **options)


@register
def preact_resnet34(**options: Unpack[PreActResNetOptions]) -> PreActResNet:
    """Pre-activation ResNet-34: 21,795,880 parameters for 1000 classes.

    It has the stages of ResNet-34 (arXiv:1512.03385, Table 1); timm calls it `resnetv2_34`.
    """
    return PreActResNet(stage_sizes=(3, 4, 6, 3), block=PreActBlock, **options)


@register
def preact_resnet50(**options: Unpack[PreActBottleneckOptions]) -> PreActResNet:
    """Pre-activation ResNet-50: 25,549,352 parameters for 1000 classes.

    It has the stages of ResNet-50 (arXiv:1512.03385, Table 1); timm calls it `resnetv2_50`.
    """
    return PreActResNet(stage_sizes=(3, 4, 6, 3), block=PreActBottleneck, **options)


@register
def preact_resnet101(**options: Unpack[PreActBottleneckOptions]) -> PreActResNet:
    """Pre-activation ResNet-101: 44,541,480 parameters for 1000 classes.

    It has the stages of ResNet-101 (arXiv:1512.03385, Table 1); timm calls it `resnetv2_101`.
    """
    return PreActResNet(stage_sizes=(3, 4, 23, 3), block=PreActBottleneck, **options)


@register
def preact_resnet152(**options: Unpack[PreActBottleneckOptions]) -> PreActResNet:
    """Pre-activation ResNet-152: 60,185,128 parameters for 1000 classes.

    It has the stages of ResNet-152 (arXiv:1512.03385, Table 1); timm calls it `resnetv2_152`.
    """
    return PreActResNet(stage_sizes=(3, 8, 36, 3), block=PreActBottleneck, **options)
