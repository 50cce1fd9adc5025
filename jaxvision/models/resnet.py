"""Residual networks for ImageNet.

Reference: He et al., Deep residual learning for image recognition, CVPR 2016, arXiv:1512.03385.
"""

from collections.abc import Mapping
from functools import partial
from typing import Unpack

from jaxvision.checks import check_count
from jaxvision.models import layers
from jaxvision.models.base import Images, ModelOptions, Pyramid, check_images
from jaxvision.models.registry import register
from jaxvision.models.residual import KERNEL_INIT, BasicBlock, Bottleneck, ResidualModel
from jaxvision.models.weights.names import Rule, TorchNames


class ResNet(ResidualModel, kw_only=True):
    """A residual network: `stem`, `stage1_block0`, `stage1_block1`, ..., `head`.

    Its maps are the stem's, before the max-pooling (stride 2), and the last of each stage (strides
    4 to 32); with `small_images`, the last of each stage (strides 1 to 8).

    Attributes:
        stage_sizes: How many blocks each stage has.
        block: The kind of block.
        output_stride: The coarsest stride of a map; None sets no limit. Stages beyond it keep the
            size and dilate their convolutions instead, with the same parameters, as dense
            predictions want it.
        dilate_first: Whether all convolutions of such a stage have its dilation, as in
            segmentation_models_pytorch, rather than all but the first, as in torchvision.
        groups: See `Bottleneck`; other blocks have none.
        width_per_group: See `Bottleneck`.
        channels: How many channels the stem and the blocks of the first stage have; later stages
            have twice those of the stage before. The published networks have 64.
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

    block: type[BasicBlock]
    groups: int = 1
    width_per_group: int = 64
    channels: int = 64
    small_images: bool = False
    zero_init_residual: bool = False

    def __post_init__(self) -> None:
        if not issubclass(self.block, Bottleneck) and (self.groups, self.width_per_group) != (
            1,
            64,
        ):
            raise ValueError(
                f"groups={self.groups} and width_per_group={self.width_per_group} are for "
                f"bottlenecks; a {self.block.__name__} takes 1 and 64"
            )
        check_count("channels", self.channels)
        super().__post_init__()

    @property
    def stem_stride(self) -> int:
        """The stride of what the first stage takes."""
        return 1 if self.small_images else 4

    def setup(self) -> None:
        """Defines the stem, the blocks and the head."""
        self.stem = layers.ConvNorm(
            features=self.channels,
            kernel_size=3 if self.small_images else 7,
            stride=1 if self.small_images else 2,
            kernel_init=KERNEL_INIT,
            **self.shared(),
        )
        block = partial(self.block, zero_init_residual=self.zero_init_residual)
        if issubclass(self.block, Bottleneck):
            block = partial(block, groups=self.groups, width_per_group=self.width_per_group)
        self.define_stages(block, channels=self.channels)

    def pyramid(self, x: Images, train: bool = False) -> Pyramid:
        """Computes the maps of the stem and of each stage."""
        y = self.stem(check_images(x, self.in_channels), train)
        if self.small_images:
            return self.run_stages(y, train)
        pooled = layers.max_pool(y, 3, stride=2, padding=1)
        return [(2, y), *self.run_stages(pooled, train)]

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm use the same names."""
        return {"torchvision": NAMES, "timm": NAMES}


BLOCKS = [
    Rule(r"stage(\d)_block(\d+)/conv(\d)/conv", r"layer\1.\2.conv\3"),
    Rule(r"stage(\d)_block(\d+)/conv(\d)/norm", r"layer\1.\2.bn\3"),
    Rule(r"stage(\d)_block(\d+)/shortcut/conv", r"layer\1.\2.downsample.0"),
    Rule(r"stage(\d)_block(\d+)/shortcut/norm", r"layer\1.\2.downsample.1"),
]
"""How both libraries call what blocks have."""

NAMES = TorchNames(
    [Rule(r"stem/conv", "conv1"), Rule(r"stem/norm", "bn1"), *BLOCKS, Rule(r"head", "fc")]
)


class ResNetOptions(ModelOptions, total=False):
    """The options of a ResNet; see `ResNet`."""

    channels: int
    small_images: bool
    zero_init_residual: bool
    output_stride: int | None
    dilate_first: bool
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
