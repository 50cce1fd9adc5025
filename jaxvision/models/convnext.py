"""ConvNeXt: a convolutional network with design choices of vision transformers.

Reference: Liu et al., A ConvNet for the 2020s, CVPR 2022, arXiv:2201.03545.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvBlock, ConvModel, ConvModelOptions
from jaxvision.models.registry import register
from jaxvision.models.weights.names import (
    Rule,
    TorchNames,
    conv_norm_rules,
    renumbered,
    sequence_rules,
    with_axes,
)

KERNEL_INIT = layers.initializer("normal_0.02")
EPSILON = 1e-6

# Smaller images leave no pixels after four unpadded convolutions, of strides 4, 2, 2 and 2.
MIN_SIZE = 32


class ConvNeXtBlock(ConvBlock, kw_only=True):
    """A depthwise 7x7 convolution and two dense layers per pixel, added to their input.

    Attributes:
        layer_scale: Initial factor of each channel of the residual.
        stochastic_depth: Share of residuals that training drops.
    """

    layer_scale: float = 1e-6
    stochastic_depth: float = 0.0
    norm: str = "layer"
    activation: str = "gelu"

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch height width channels"]:
        """Computes input plus residual."""
        channels = x.shape[-1]
        y = layers.conv(
            channels, 7, groups=channels, kernel_init=KERNEL_INIT, dtype=self.dtype, name="conv"
        )(x)
        y = layers.norm(
            self.norm,
            channels,
            train=train,
            dtype=self.dtype,
            epsilon=EPSILON,
            axis_name=self.axis_name,
            name="norm",
        )(y)
        y = layers.MLPBlock(
            hidden=4 * channels,
            activation=self.activation,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="mlp",
        )(y, train)
        y = layers.LayerScale(start=self.layer_scale, dtype=self.dtype, name="layer_scale")(y)
        return x + layers.StochasticDepth(self.stochastic_depth)(y, train)


class Downsampling(nn.Module, kw_only=True):
    """A normalization before or after a convolution that reduces the size of maps.

    Other attributes are arguments of `layers.conv` and `layers.norm`.

    Attributes:
        norm_first: Whether the normalization precedes the convolution.
    """

    features: int
    kernel_size: int
    stride: int
    padding: int = 0
    norm_first: bool = True
    norm: str = "layer"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Applies the normalization and the convolution."""
        norm = layers.norm(
            self.norm,
            x.shape[-1] if self.norm_first else self.features,
            train=train,
            dtype=self.dtype,
            epsilon=EPSILON,
            axis_name=self.axis_name,
            name="norm",
        )
        conv = layers.conv(
            self.features,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="conv",
        )
        return conv(norm(x)) if self.norm_first else norm(conv(x))


class ConvNeXt(ConvModel, kw_only=True):
    """A ConvNeXt: `stem`, `stage1_block0`, ..., `downsample2`, ..., `final_norm`, `head`.

    The feature maps are the last of each stage (strides 4 to 32; with `small_images`, 1 to 8). The
    convolutions that reduce the size are not padded, as in the paper, torchvision and timm: they
    drop the last row or column of an odd size, and images need at least 32x32 pixels (8x8 with
    `small_images`). `embed` is the normalized average of the last map. For other attributes, see
    `ConvModel`.

    Attributes:
        stage_sizes: Number of blocks in each stage.
        channels: Channels of each stage.
        small_images: Whether the stem is a 3x3 convolution that keeps the size, for images of about
            32x32, rather than one on 4x4 patches.
        layer_scale: Initial factor of each channel of the residuals.
        stochastic_depth: Share of the last block's residuals that training drops; it rises linearly
            from 0 at the first block.
        norm: "layer", "batch", "group" or "instance"; see `layers.norm`. The normalization before
            the head is always "layer".

    >>> import jax, jax.numpy as jnp
    >>> model = ConvNeXt(stage_sizes=(1, 1, 2, 1), channels=(96, 192, 384, 768))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> sorted(variables["params"])[:4]
    ['downsample2', 'downsample3', 'downsample4', 'final_norm']
    """

    stage_sizes: tuple[int, ...]
    channels: tuple[int, ...]
    small_images: bool = False
    layer_scale: float = 1e-6
    stochastic_depth: float = 0.0
    norm: str = "layer"
    activation: str = "gelu"

    def __post_init__(self) -> None:
        layers.check_rates(stochastic_depth=self.stochastic_depth)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the blocks, the downsampling between stages, and the head."""
        shared: dict[str, Any] = {
            "norm": self.norm,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
        }
        stem = partial(Downsampling, features=self.channels[0], norm_first=False, **shared)
        self.stem = (
            stem(kernel_size=3, stride=1, padding=1)
            if self.small_images
            else stem(kernel_size=4, stride=4)
        )
        rates = iter(layers.rising_rates(self.stochastic_depth, sum(self.stage_sizes)))
        for stage, num_blocks in enumerate(self.stage_sizes, start=1):
            if stage > 1:
                layer = Downsampling(
                    features=self.channels[stage - 1], kernel_size=2, stride=2, **shared
                )
                setattr(self, f"downsample{stage}", layer)
            for i in range(num_blocks):
                block = ConvNeXtBlock(
                    layer_scale=self.layer_scale,
                    stochastic_depth=next(rates),
                    activation=self.activation,
                    **shared,
                )
                setattr(self, f"stage{stage}_block{i}", block)
        # After the average over space, a vector has only its own statistics.
        self.final_norm = layers.norm(
            "layer", self.channels[-1], train=False, dtype=self.dtype, epsilon=EPSILON
        )
        self.define_head(KERNEL_INIT)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the last map of each stage."""
        x = check_images(
            x,
            self.in_channels,
            MIN_SIZE // 4 if self.small_images else MIN_SIZE,
            remedy="resize them"
            + ("" if self.small_images else ", or make it with small_images=True"),
        )
        y = self.stem(x, train)
        maps = {}
        stride = 1 if self.small_images else 4
        for stage, num_blocks in enumerate(self.stage_sizes, start=1):
            if stage > 1:
                y = getattr(self, f"downsample{stage}")(y, train)
                stride *= 2
            for i in range(num_blocks):
                y = getattr(self, f"stage{stage}_block{i}")(y, train)
            maps[stride] = y
        return maps

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the normalized average of the last feature map."""
        vector: Float[Array, "batch features"] = self.final_norm(super().embed(x, train))
        return vector

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm use different names."""
        return {"torchvision": TORCHVISION, "timm": TIMM}


TORCHVISION = TorchNames(
    [
        *sequence_rules(r"stem", "features.0"),
        *conv_norm_rules(
            r"downsample(\d)",
            renumbered("features.{}.1", 2, -2),
            renumbered("features.{}.0", 2, -2),
        ),
        *(
            Rule(
                rf"stage(\d)_block(\d+)/{ours}",
                renumbered(rf"features.{{}}.\2.{theirs}", 2, -1),
                form,
            )
            for ours, theirs, form in (
                ("conv", "block.0", None),
                ("norm", "block.2", None),
                ("mlp/dense1", "block.3", None),
                ("mlp/dense2", "block.5", None),
                ("layer_scale/factor", "layer_scale", with_axes(1, 2)),
            )
        ),
        Rule(r"final_norm", "classifier.0"),
        Rule(r"head", "classifier.2"),
    ]
)
TIMM = TorchNames(
    [
        *sequence_rules(r"stem", "stem"),
        *conv_norm_rules(
            r"downsample(\d)",
            renumbered("stages.{}.downsample.1", 1, -1),
            renumbered("stages.{}.downsample.0", 1, -1),
        ),
        *(
            Rule(
                rf"stage(\d)_block(\d+)/{ours}",
                renumbered(rf"stages.{{}}.blocks.\2.{theirs}", 1, -1),
            )
            for ours, theirs in (
                ("conv", "conv_dw"),
                ("norm", "norm"),
                ("mlp/dense1", "mlp.fc1"),
                ("mlp/dense2", "mlp.fc2"),
                ("layer_scale/factor", "gamma"),
            )
        ),
        Rule(r"final_norm", "head.norm"),
        Rule(r"head", "head.fc"),
    ]
)


class ConvNeXtOptions(ConvModelOptions, total=False):
    """Options of a ConvNeXt except `stochastic_depth`, whose default depends on the size."""

    small_images: bool
    layer_scale: float


@register
def convnext_tiny(*, stochastic_depth: float = 0.1, **options: Unpack[ConvNeXtOptions]) -> ConvNeXt:
    """ConvNeXt-T: 28,589,128 parameters for 1000 classes (section 3 and Table 1 of the paper).

    For every size, the default stochastic depth is the paper's.

    >>> convnext_tiny(num_classes=10).channels
    (96, 192, 384, 768)
    """
    return ConvNeXt(
        stage_sizes=(3, 3, 9, 3),
        channels=(96, 192, 384, 768),
        stochastic_depth=stochastic_depth,
        **options,
    )


@register
def convnext_small(
    *, stochastic_depth: float = 0.4, **options: Unpack[ConvNeXtOptions]
) -> ConvNeXt:
    """ConvNeXt-S: 50,223,688 parameters for 1000 classes (section 3 and Table 1 of the paper)."""
    return ConvNeXt(
        stage_sizes=(3, 3, 27, 3),
        channels=(96, 192, 384, 768),
        stochastic_depth=stochastic_depth,
        **options,
    )


@register
def convnext_base(*, stochastic_depth: float = 0.5, **options: Unpack[ConvNeXtOptions]) -> ConvNeXt:
    """ConvNeXt-B: 88,591,464 parameters for 1000 classes (section 3 and Table 1 of the paper)."""
    return ConvNeXt(
        stage_sizes=(3, 3, 27, 3),
        channels=(128, 256, 512, 1024),
        stochastic_depth=stochastic_depth,
        **options,
    )


@register
def convnext_large(
    *, stochastic_depth: float = 0.5, **options: Unpack[ConvNeXtOptions]
) -> ConvNeXt:
    """ConvNeXt-L: 197,767,336 parameters for 1000 classes (section 3 and Table 1 of the paper)."""
    return ConvNeXt(
        stage_sizes=(3, 3, 27, 3),
        channels=(192, 384, 768, 1536),
        stochastic_depth=stochastic_depth,
        **options,
    )
