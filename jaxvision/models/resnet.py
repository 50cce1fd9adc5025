"""Residual networks for ImageNet.

Reference: He et al., Deep residual learning for image recognition, CVPR 2016, arXiv:1512.03385.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Unpack

import flax.linen as nn
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, Model, ModelOptions, check_images
from jaxvision.models.layout import Layout, Rule
from jaxvision.models.registry import register

KERNEL_INIT = layers.initializer("he_normal_fan_out")


class BasicBlock(nn.Module, kw_only=True):
    """Two 3x3 convolutions added to their input, which is projected where the shape changes.

    Attributes:
        channels: The output channels.
        stride: The step of the first convolution, and of the shortcut.
        norm: See `layers.norm`.
        activation: See `layers.activation`.
        zero_init_residual: Whether the residual starts at zero, by the scale of its last norm.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.
    """

    channels: int
    stride: int = 1
    norm: str = "batch"
    activation: str = "relu"
    zero_init_residual: bool = False
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Computes the activation of input plus residual."""
        conv_norm = partial(
            layers.ConvNorm,
            features=self.channels,
            norm=self.norm,
            kernel_init=KERNEL_INIT,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        last_scale = initializers.zeros if self.zero_init_residual else initializers.ones
        y = conv_norm(kernel_size=3, stride=self.stride, activation=self.activation, name="conv1")(
            x, train
        )
        y = conv_norm(kernel_size=3, scale_init=last_scale, name="conv2")(y, train)
        if self.stride != 1 or x.shape[-1] != self.channels:
            x = conv_norm(kernel_size=1, stride=self.stride, name="shortcut")(x, train)
        return layers.activation(self.activation)(x + y)


class Bottleneck(BasicBlock, kw_only=True):
    """A 3x3 convolution between two 1x1 that narrow and widen, added to their input.

    The stride is that of the 3x3 convolution ("v1.5", as in torchvision); in the paper it is that
    of the first 1x1, which costs some accuracy and changes the receptive field, not the parameters.
    Its attributes are `BasicBlock`'s, but for the output channels, which are 4 times `channels`.
    """

    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Computes the activation of input plus residual."""
        conv_norm = partial(
            layers.ConvNorm,
            norm=self.norm,
            kernel_init=KERNEL_INIT,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        inner = partial(conv_norm, features=self.channels, activation=self.activation)
        outer = partial(conv_norm, features=self.channels * self.expansion, kernel_size=1)
        last_scale = initializers.zeros if self.zero_init_residual else initializers.ones
        y = inner(kernel_size=1, name="conv1")(x, train)
        y = inner(kernel_size=3, stride=self.stride, name="conv2")(y, train)
        y = outer(scale_init=last_scale, name="conv3")(y, train)
        if self.stride != 1 or x.shape[-1] != y.shape[-1]:
            x = outer(stride=self.stride, name="shortcut")(x, train)
        return layers.activation(self.activation)(x + y)


class ResNet(Model, kw_only=True):
    """A residual network: `stem`, `stage1_block0`, `stage1_block1`, ..., `head`.

    Its maps are the stem's, before the max-pooling (stride2), and the last of each stage (stride4
    to stride32); with `small_images`, the last of each stage (stride1 to stride8).

    Attributes:
        stage_sizes: How many blocks each stage has.
        block: The kind of block.
        small_images: Whether the stem is a 3x3 convolution that keeps the size, rather than a 7x7
            and a max-pooling that leave a quarter of it: for images of about 32x32.
        zero_init_residual: Whether the scale of each block's last normalization starts at zero, so
            that each block starts as the identity (Goyal et al., 2017, arXiv:1706.02677).
        norm: "batch", "group", "instance" or "layer"; see `layers.norm`.
        activation: The nonlinearity; see `layers.activation`.
        axis_name: A mapped axis (`jax.pmap`, `jax.vmap`) across which BatchNorm averages its
            statistics. Under `jax.jit` none is needed: the batch is the global one there.

    >>> import jax, jax.numpy as jnp
    >>> model = resnet18(num_classes=10, small_images=True)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> sorted(variables), sorted(variables["params"])[:3]
    (['batch_stats', 'params'], ['head', 'stage1_block0', 'stage1_block1'])
    """

    stage_sizes: tuple[int, ...]
    block: type[BasicBlock]
    small_images: bool = False
    zero_init_residual: bool = False
    norm: str = "batch"
    activation: str = "relu"
    axis_name: str | None = None

    def __post_init__(self) -> None:
        layers.check_norm(self.norm)
        layers.activation(self.activation)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the blocks and the head."""
        shared: dict[str, Any] = {
            "norm": self.norm,
            "activation": self.activation,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
        }
        self.stem = layers.ConvNorm(
            features=64,
            kernel_size=3 if self.small_images else 7,
            stride=1 if self.small_images else 2,
            kernel_init=KERNEL_INIT,
            **shared,
        )
        for stage, num_blocks in enumerate(self.stage_sizes, start=1):
            for i in range(num_blocks):
                block = self.block(
                    channels=64 * 2 ** (stage - 1),
                    stride=2 if stage > 1 and i == 0 else 1,
                    zero_init_residual=self.zero_init_residual,
                    **shared,
                )
                setattr(self, f"stage{stage}_block{i}", block)
        self.head = nn.Dense(
            self.num_classes, dtype=self.dtype, kernel_init=layers.initializer("torch")
        )

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        y = self.stem(check_images(x, self.in_channels), train)
        stride = 1 if self.small_images else 2
        maps = {f"stride{stride}": y}
        if not self.small_images:
            y = layers.max_pool(y, 3, stride=2, padding=1)
            stride *= 2
        for stage, num_blocks in enumerate(self.stage_sizes, start=1):
            for i in range(num_blocks):
                y = getattr(self, f"stage{stage}_block{i}")(y, train)
            maps[f"stride{stride}"] = y
            stride *= 2
        return maps

    def layouts(self) -> Mapping[str, Layout]:
        """Torchvision and timm use the same names."""
        return {"torchvision": LAYOUT, "timm": LAYOUT}


LAYOUT = Layout(
    [
        Rule(r"stem/conv", "conv1"),
        Rule(r"stem/norm", "bn1"),
        Rule(r"stage(\d)_block(\d+)/conv(\d)/conv", r"layer\1.\2.conv\3"),
        Rule(r"stage(\d)_block(\d+)/conv(\d)/norm", r"layer\1.\2.bn\3"),
        Rule(r"stage(\d)_block(\d+)/shortcut/conv", r"layer\1.\2.downsample.0"),
        Rule(r"stage(\d)_block(\d+)/shortcut/norm", r"layer\1.\2.downsample.1"),
        Rule(r"head", "fc"),
    ]
)


class ResNetOptions(ModelOptions, total=False):
    """The options of a ResNet; see `ResNet`."""

    small_images: bool
    zero_init_residual: bool
    norm: str
    activation: str
    axis_name: str | None


@register
def resnet18(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-18: 11,689,512 parameters for 1000 classes (Table 1 of the paper).

    Args:
        **options: Fields of `ResNet`.

    Returns:
        The model.

    >>> resnet18(num_classes=10).stage_sizes
    (2, 2, 2, 2)
    """
    return ResNet(stage_sizes=(2, 2, 2, 2), block=BasicBlock, **options)


@register
def resnet34(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-34: 21,797,672 parameters for 1000 classes (Table 1 of the paper).

    Args:
        **options: Fields of `ResNet`.

    Returns:
        The model.

    >>> resnet34(num_classes=10).stage_sizes
    (3, 4, 6, 3)
    """
    return ResNet(stage_sizes=(3, 4, 6, 3), block=BasicBlock, **options)


@register
def resnet50(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-50: 25,557,032 parameters for 1000 classes (Table 1 of the paper).

    Args:
        **options: Fields of `ResNet`.

    Returns:
        The model.

    >>> resnet50(num_classes=10).stage_sizes
    (3, 4, 6, 3)
    """
    return ResNet(stage_sizes=(3, 4, 6, 3), block=Bottleneck, **options)


@register
def resnet101(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-101: 44,549,160 parameters for 1000 classes (Table 1 of the paper).

    Args:
        **options: Fields of `ResNet`.

    Returns:
        The model.

    >>> resnet101(num_classes=10).stage_sizes
    (3, 4, 23, 3)
    """
    return ResNet(stage_sizes=(3, 4, 23, 3), block=Bottleneck, **options)


@register
def resnet152(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNet-152: 60,192,808 parameters for 1000 classes (Table 1 of the paper).

    Args:
        **options: Fields of `ResNet`.

    Returns:
        The model.

    >>> resnet152(num_classes=10).stage_sizes
    (3, 8, 36, 3)
    """
    return ResNet(stage_sizes=(3, 8, 36, 3), block=Bottleneck, **options)
