"""Residual networks for ImageNet.

Reference: He et al., Deep residual learning for image recognition, CVPR 2016, arXiv:1512.03385.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Unpack

import flax.linen as nn
from jaxtyping import Array, Float

from jaxvision.checks import check_count, check_name
from jaxvision.models import layers
from jaxvision.models.base import Images, Pyramid, check_images
from jaxvision.models.conv_model import ConvBlock
from jaxvision.models.registry import register
from jaxvision.models.residual import (
    KERNEL_INIT,
    BasicBlock,
    Bottleneck,
    ResidualModel,
    ResidualOptions,
)
from jaxvision.models.weights.names import (
    Rule,
    TorchNames,
    conv_norm_rules,
    sequence_rules,
    squeeze_excite_rules,
)

# Smaller images leave no pixels after the unpadded pooling of `original`.
MIN_ORIGINAL_SIZE = 3

STEMS = ("plain", "deep")
BOTTLENECK_FIELDS = ("groups", "width_per_group", "narrowing", "shortcut_size", "reduction")


class DeepStem(ConvBlock, kw_only=True):
    """Three 3x3 convolutions in place of one 7x7; the last has twice the channels of the others.

    Attributes:
        channels: Channels of the first two convolutions.
        stride: Stride of the first convolution.
    """

    channels: int
    stride: int = 2

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Applies the three convolutions in turn."""
        conv_norm = partial(
            layers.ConvNorm,
            kernel_size=3,
            activation=self.activation,
            kernel_init=KERNEL_INIT,
            **self.norm_options(),
        )
        x = conv_norm(features=self.channels, stride=self.stride, name="conv1")(x, train)
        x = conv_norm(features=self.channels, name="conv2")(x, train)
        return conv_norm(features=2 * self.channels, name="conv3")(x, train)


class ResNet(ResidualModel, kw_only=True):
    """A residual network: `stem`, `stage1_block0`, `stage1_block1`, ..., `head`.

    The feature maps are the stem's before the max-pooling (stride 2) and the last of each stage
    (strides 4 to 32); with `small_images`, only the last of each stage (strides 1 to 8).

    ResNeXts, wide ResNets and squeeze-and-excitation networks have this class too. For other
    attributes, see `ResidualModel`; `groups` to `reduction` are for bottlenecks only.

    Attributes:
        block: Class of the blocks.
        groups: Groups of the 3x3 convolutions; see `Bottleneck`.
        width_per_group: Channels of a group; see `Bottleneck`.
        narrowing: Factor by which the first convolution of a block is narrower than the second.
        shortcut_size: Kernel size of shortcuts that have a stride; see `Bottleneck`.
        reduction: Factor by which squeeze-and-excitation narrows the channels; None leaves it out.
        channels: Channels of the stem and of the first stage's blocks (64 in published networks);
            each later stage has twice those of the stage before.
        stem_type: "plain" for one 7x7 convolution, or "deep" for a `DeepStem`.
        original: Whether to follow the Caffe code of the first squeeze-and-excitation networks: the
            max-pooling is not padded and keeps a last window that is not full, and bottlenecks
            without groups have the stride in the first 1x1 convolution. Maps may then be smaller
            than the image divided by the stride, and images need at least 3x3 pixels.
        small_images: Whether the stem keeps the size (with a 3x3 kernel if plain) and no pooling
            follows, for images of about 32x32.
        zero_init_residual: Whether the scale of each block's last normalization starts at zero, so
            that each block starts as the identity (Goyal et al., 2017, arXiv:1706.02677).

    >>> import jax, jax.numpy as jnp
    >>> model = resnet18(num_classes=10, small_images=True)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> sorted(variables), sorted(variables["params"])[:3]
    (['batch_stats', 'params'], ['head', 'stage1_block0', 'stage1_block1'])
    """

    block: type[BasicBlock]
    groups: int = 1
    width_per_group: int = 64
    narrowing: int = 1
    shortcut_size: int = 1
    reduction: int | None = None
    channels: int = 64
    stem_type: str = "plain"
    original: bool = False
    small_images: bool = False
    zero_init_residual: bool = False

    def __post_init__(self) -> None:
        if not issubclass(self.block, Bottleneck):
            for field in BOTTLENECK_FIELDS:
                value, default = getattr(self, field), getattr(Bottleneck, field)
                if value != default:
                    raise ValueError(
                        f"{field}={value} is for bottlenecks; a {self.block.__name__} takes "
                        f"{default}"
                    )
        check_name("stem_type", self.stem_type, STEMS)
        check_count("channels", self.channels)
        super().__post_init__()

    @property
    def stem_stride(self) -> int:
        """Stride of the map that the first stage takes."""
        return 1 if self.small_images else 4

    def setup(self) -> None:
        """Defines the stem, the blocks and the head."""
        stride = 1 if self.small_images else 2
        if self.stem_type == "deep":
            self.stem: nn.Module = DeepStem(channels=self.channels, stride=stride, **self.shared())
        else:
            self.stem = layers.ConvNorm(
                features=self.channels,
                kernel_size=3 if self.small_images else 7,
                stride=stride,
                kernel_init=KERNEL_INIT,
                **self.shared(),
            )
        self.define_stages(self._make_block(), channels=self.channels)

    @nn.nowrap
    def _make_block(self) -> Callable[..., nn.Module]:
        block = partial(self.block, zero_init_residual=self.zero_init_residual)
        if not issubclass(self.block, Bottleneck):
            return block
        return partial(
            block,
            groups=self.groups,
            width_per_group=self.width_per_group,
            narrowing=self.narrowing,
            shortcut_size=self.shortcut_size,
            reduction=self.reduction,
            stride_in_first=self.original and self.groups == 1,
        )

    def pyramid(self, x: Images, train: bool = False) -> Pyramid:
        """Computes the maps of the stem and of each stage."""
        if self.small_images:
            return self.run_stages(self.stem(check_images(x, self.in_channels), train), train)
        x = check_images(x, self.in_channels, MIN_ORIGINAL_SIZE if self.original else 1)
        y = self.stem(x, train)
        padding = {"ceil": True} if self.original else {"padding": 1}
        pooled = layers.max_pool(y, 3, stride=2, **padding)
        return [(2, y), *self.run_stages(pooled, train)]

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm share their names; only timm has deep stems and `reduction`."""
        if self.reduction is None and self.stem_type == "plain":
            return {"torchvision": NAMES, "timm": NAMES}
        if self.original:
            return {"timm": ORIGINAL_SE_NAMES, "timm-today": SE_NAMES}
        return {"timm": SE_NAMES, "timm-legacy": ORIGINAL_SE_NAMES}


BLOCK = r"stage(\d)_block(\d+)"
BLOCKS = [
    *conv_norm_rules(rf"{BLOCK}/conv(\d)", r"layer\1.\2.conv\3", r"layer\1.\2.bn\3"),
    *sequence_rules(rf"{BLOCK}/shortcut", r"layer\1.\2.downsample"),
]
"""Rules for the layers of blocks, in both libraries."""

NAMES = TorchNames(
    [*conv_norm_rules("stem", "conv1", "bn1"), *BLOCKS, Rule("head", "fc")],
    options={"original": False},
)
SE_NAMES = TorchNames(
    [
        *conv_norm_rules("stem", "conv1", "bn1"),
        *sequence_rules("stem/conv1", "conv1"),
        *conv_norm_rules("stem/conv2", "conv1.3", "conv1.4"),
        *conv_norm_rules("stem/conv3", "conv1.6", "bn1"),
        *BLOCKS,
        *squeeze_excite_rules(
            f"{BLOCK}/squeeze_excite", r"layer\1.\2.se.fc1", r"layer\1.\2.se.fc2"
        ),
        Rule("head", "fc"),
    ],
    options={"original": False},
)
ORIGINAL_SE_NAMES = TorchNames(
    [
        *conv_norm_rules("stem", "layer0.conv1", "layer0.bn1"),
        *conv_norm_rules(r"stem/conv(\d)", r"layer0.conv\1", r"layer0.bn\1"),
        *BLOCKS,
        *squeeze_excite_rules(
            f"{BLOCK}/squeeze_excite", r"layer\1.\2.se_module.fc1", r"layer\1.\2.se_module.fc2"
        ),
        Rule("head", "last_linear"),
    ],
    options={"original": True},
)
"""Names in timm's `legacy_` models, the first networks with squeeze-and-excitation."""


class ResNetOptions(ResidualOptions, total=False):
    """Options of a ResNet; see `ResNet`."""

    channels: int
    small_images: bool
    zero_init_residual: bool


@register
def resnet18(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-18: 11,689,512 parameters for 1000 classes (Table 1 of the paper).

    >>> resnet18(num_classes=10).stage_sizes
    (2, 2, 2, 2)
    """
    return ResNet(stage_sizes=(2, 2, 2, 2), block=BasicBlock, **options)


@register
def resnet34(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-34: 21,797,672 parameters for 1000 classes (Table 1 of the paper)."""
    return ResNet(stage_sizes=(3, 4, 6, 3), block=BasicBlock, **options)


@register
def resnet50(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-50: 25,557,032 parameters for 1000 classes (Table 1 of the paper)."""
    return ResNet(stage_sizes=(3, 4, 6, 3), block=Bottleneck, **options)


@register
def resnet101(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-101: 44,549,160 parameters for 1000 classes (Table 1 of the paper)."""
    return ResNet(stage_sizes=(3, 4, 23, 3), block=Bottleneck, **options)


@register
def resnet152(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-152: 60,192,808 parameters for 1000 classes (Table 1 of the paper)."""
    return ResNet(stage_sizes=(3, 8, 36, 3), block=Bottleneck, **options)
