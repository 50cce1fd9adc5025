"""Base classes of residual networks: stages of blocks, and the blocks of He et al.

Reference: He et al., Deep residual learning for image recognition, CVPR 2016, arXiv:1512.03385.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple

import flax.linen as nn
from jax.nn import initializers
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, Pyramid
from jaxvision.models.conv_model import ConvBlock, ConvModel, ConvModelOptions

KERNEL_INIT = layers.initializer("he_normal_fan_out")


class Stage(NamedTuple):
    """Strides and dilations of a stage's blocks.

    Attributes:
        num_blocks: Number of blocks.
        stride: Stride of the stage's maps.
        step: Stride of the first block.
        first_dilation: Dilation of the first 3x3 convolution of the first block.
        dilation: Dilation of all other 3x3 convolutions.
    """

    num_blocks: int
    stride: int
    step: int
    first_dilation: int
    dilation: int


class ResidualModel(ConvModel, kw_only=True):
    """Base class of networks of residual blocks: `stage1_block0`, `stage1_block1`, ..., `head`.

    A subclass defines its stem in `setup` and calls `define_stages` there; its `pyramid` calls
    `run_stages`. Its `stem_stride` is the stride of the map that the first stage takes. For other
    attributes, see `ConvModel`.

    Attributes:
        stage_sizes: Number of blocks in each stage.
        output_stride: Coarsest stride of the maps, for dense prediction; None sets no limit. Stages
            beyond it keep the size and dilate their convolutions instead, with the same parameters.
        dilate_first: Whether all 3x3 convolutions of such a stage have its dilation, as in
            segmentation_models_pytorch, rather than all but the first, as in torchvision.
    """

    stage_sizes: tuple[int, ...]
    output_stride: int | None = None
    dilate_first: bool = False

    def __post_init__(self) -> None:
        strides = [self.stem_stride * 2**stage for stage in range(len(self.stage_sizes))]
        if self.output_stride not in (None, *strides):
            raise ValueError(
                f"output_stride must be one of {', '.join(map(str, strides))}, or None, got "
                f"{self.output_stride}"
            )
        super().__post_init__()

    @property
    def stem_stride(self) -> int:
        """Stride of the map that the first stage takes."""
        return 1

    @property
    def stages(self) -> list[Stage]:
        """Strides and dilations of each stage."""
        stages: list[Stage] = []
        stride, dilation = self.stem_stride, 1
        for index, num_blocks in enumerate(self.stage_sizes):
            step, before = 1, dilation
            if index > 0 and stride == self.output_stride:
                dilation *= 2
            elif index > 0:
                step, stride = 2, 2 * stride
            first = dilation if self.dilate_first else before
            stages.append(Stage(num_blocks, stride, step, first, dilation))
        return stages

    def define_stages(self, make_block: Callable[..., nn.Module], channels: int) -> None:
        """Defines the blocks and the head; each stage has twice the channels of the stage before.

        `make_block` takes `channels`, `stride`, `first_dilation`, `dilation` and the options of
        `shared`.
        """
        for index, stage in enumerate(self.stages):
            for i in range(stage.num_blocks):
                block = make_block(
                    channels=channels * 2**index,
                    stride=stage.step if i == 0 else 1,
                    first_dilation=stage.first_dilation if i == 0 else stage.dilation,
                    dilation=stage.dilation,
                    **self.shared(),
                )
                setattr(self, f"stage{index + 1}_block{i}", block)
        self.define_head()

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the last map at each stride."""
        return dict(self.pyramid(x, train))

    def run_stages(self, x: Float[Array, "batch height width channels"], train: bool) -> Pyramid:
        """Computes the stride and the last map of each stage, finest first."""
        maps = []
        for index, stage in enumerate(self.stages, start=1):
            for i in range(stage.num_blocks):
                x = getattr(self, f"stage{index}_block{i}")(x, train)
            maps.append((stage.stride, x))
        return maps


class ResidualOptions(ConvModelOptions, total=False):
    """Options of every residual network; see `ResidualModel`."""

    output_stride: int | None
    dilate_first: bool


class ResidualBlock(ConvBlock, kw_only=True):
    """Base class of blocks that add a residual to their input; see `ConvBlock`.

    Attributes:
        channels: Output channels; bottlenecks have 4 times as many.
        stride: Stride of the block.
        first_dilation: Dilation of the first 3x3 convolution.
        dilation: Dilation of the 3x3 convolutions after it.
    """

    channels: int
    stride: int = 1
    first_dilation: int = 1
    dilation: int = 1


class BasicBlock(ResidualBlock, kw_only=True):
    """Two 3x3 convolutions added to their input, which is projected where the shape changes.

    The first convolution and the projection apply the stride.

    Attributes:
        zero_init_residual: Whether the scale of the last norm, and so the residual, starts at zero.
    """

    zero_init_residual: bool = False

    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Computes the activation of input plus residual."""
        conv_norm = partial(
            layers.ConvNorm,
            features=self.channels,
            kernel_init=KERNEL_INIT,
            **self.norm_options(),
        )
        last_scale = initializers.zeros if self.zero_init_residual else initializers.ones
        y = conv_norm(
            kernel_size=3,
            stride=self.stride,
            dilation=self.first_dilation,
            activation=self.activation,
            name="conv1",
        )(x, train)
        y = conv_norm(kernel_size=3, dilation=self.dilation, scale_init=last_scale, name="conv2")(
            y, train
        )
        if self.stride != 1 or x.shape[-1] != self.channels:
            x = conv_norm(kernel_size=1, stride=self.stride, name="shortcut")(x, train)
        return layers.activation(self.activation)(x + y)


class Bottleneck(BasicBlock, kw_only=True):
    """A 3x3 convolution between a narrowing and a widening 1x1 convolution, added to their input.

    The output has 4 times `channels`. The 3x3 convolution applies the stride ("v1.5", as in
    torchvision). In the paper, the first 1x1 convolution applies it, which costs some accuracy and
    changes the receptive field, but not the parameters.

    Attributes:
        groups: Groups of the 3x3 convolution (Xie et al., Aggregated residual transformations for
            deep neural networks, CVPR 2017, arXiv:1611.05431).
        width_per_group: Channels of a group where `channels` is 64, and in proportion elsewhere.
        narrowing: Factor by which the first 1x1 convolution is narrower than the 3x3.
        stride_in_first: Whether the first 1x1 convolution applies the stride, as in the paper.
        shortcut_size: Kernel size of the shortcut in blocks with a stride or a dilation.
        reduction: Factor by which squeeze-and-excitation at the end of the residual narrows the
            channels between its layers (`layers.SqueezeExcite`); None leaves it out.
    """

    groups: int = 1
    width_per_group: int = 64
    narrowing: int = 1
    stride_in_first: bool = False
    shortcut_size: int = 1
    reduction: int | None = None

    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Computes the activation of input plus residual."""
        conv_norm = partial(layers.ConvNorm, kernel_init=KERNEL_INIT, **self.norm_options())
        width = self.channels * self.width_per_group // 64 * self.groups
        first, second = (self.stride, 1) if self.stride_in_first else (1, self.stride)
        inner = partial(conv_norm, activation=self.activation)
        outer = partial(conv_norm, features=self.channels * self.expansion)
        last_scale = initializers.zeros if self.zero_init_residual else initializers.ones
        narrow = inner(features=width // self.narrowing, kernel_size=1, stride=first, name="conv1")(
            x, train
        )
        y = inner(
            features=width,
            kernel_size=3,
            stride=second,
            dilation=self.first_dilation,
            groups=self.groups,
            name="conv2",
        )(narrow, train)
        y = outer(kernel_size=1, scale_init=last_scale, name="conv3")(y, train)
        if self.reduction is not None:
            y = layers.SqueezeExcite(
                reduced=y.shape[-1] // self.reduction,
                activation=self.activation,
                kernel_init=KERNEL_INIT,
                dtype=self.dtype,
                name="squeeze_excite",
            )(y)
        if self.stride != 1 or x.shape[-1] != y.shape[-1]:
            size = 1 if self.stride == self.dilation == 1 else self.shortcut_size
            dilation = 1 if size == 1 else self.first_dilation
            x = outer(kernel_size=size, stride=self.stride, dilation=dilation, name="shortcut")(
                x, train
            )
        return layers.activation(self.activation)(x + y)
