"""Squeeze-and-excitation networks: residual networks whose blocks weigh their channels.

Reference: Hu et al., Squeeze-and-excitation networks, CVPR 2018, arXiv:1709.01507.
"""

from collections.abc import Mapping
from functools import partial
from typing import Unpack

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, ModelOptions, Pyramid, check_images
from jaxvision.models.registry import register
from jaxvision.models.residual import KERNEL_INIT, Bottleneck, ResidualModel
from jaxvision.models.resnet import BLOCKS
from jaxvision.models.weights.names import DENSE_AS_CONV, Rule, TorchNames

# Below it, nothing is left after the authors' unpadded pooling.
MIN_ORIGINAL_SIZE = 3


class DeepStem(nn.Module, kw_only=True):
    """Three 3x3 convolutions in place of one 7x7, with 64, 64 and 128 channels.

    Attributes:
        stride: The step of the first convolution.
        norm: See `layers.norm`.
        activation: See `layers.activation`.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.
    """

    stride: int = 2
    norm: str = "batch"
    activation: str = "relu"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width 128"]:
        """Applies the three in turn."""
        conv_norm = partial(
            layers.ConvNorm,
            kernel_size=3,
            norm=self.norm,
            activation=self.activation,
            kernel_init=KERNEL_INIT,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        x = conv_norm(features=64, stride=self.stride, name="conv1")(x, train)
        x = conv_norm(features=64, name="conv2")(x, train)
        return conv_norm(features=128, name="conv3")(x, train)


class SENet(ResidualModel, kw_only=True):
    """A residual network with squeeze-and-excitation: `stem`, `stage1_block0`, ..., `head`.

    Its maps are the stem's, before the max-pooling (stride 2), and the last of each stage (strides
    4 to 32); with `small_images`, the last of each stage (strides 1 to 8).

    As everywhere in this package, the stride of a block is that of its 3x3 convolution, and the
    max-pooling is padded by 1. That is timm's `seresnet50`, `seresnext50_32x4d` and `senet154`. The
    authors' own networks, timm's `legacy_` ones, are `original=True`, with the same parameters.

    Attributes:
        stage_sizes: How many blocks each stage has.
        output_stride: The coarsest stride of a map; None sets no limit. Stages beyond it keep the
            size and dilate their convolutions instead, with the same parameters, as dense
            predictions want it.
        dilate_first: Whether all convolutions of such a stage have its dilation, as in
            segmentation_models_pytorch, rather than all but the first, as in torchvision.
        groups: See `Bottleneck`.
        width_per_group: See `Bottleneck`.
        deep: Whether the network has what the authors added for SENet-154: a stem of three 3x3
            convolutions, first convolutions of half the width, and shortcuts that are 3x3 where
            they have a stride.
        original: Whether the max-pooling is not padded and takes in a last window that does not
            fit, and the stride without groups is that of the first 1x1 convolution, as in the
            authors' networks. Maps of an image of odd size may then be smaller than its size by
            their stride, and it has to be 3x3 at least.
        dropout: The share of the vector before the head that training drops.
        small_images: Whether the stem keeps the size and no pooling follows it, rather than leaving
            a quarter: for images of about 32x32.
        zero_init_residual: Whether the scale of each block's last normalization starts at zero.
        norm: "batch", "group", "instance" or "layer"; see `layers.norm`.
        activation: The nonlinearity; see `layers.activation`.
        axis_name: A mapped axis (`jax.pmap`, `jax.vmap`) across which BatchNorm averages its
            statistics. Under `jax.jit` none is needed: the batch is the global one there.

    >>> import jax, jax.numpy as jnp
    >>> model = SENet(stage_sizes=(2, 2), num_classes=10)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    >>> variables["params"]["stage1_block0"]["squeeze_excite"]["reduce"]["kernel"].shape
    (256, 16)
    """

    groups: int = 1
    width_per_group: int = 64
    deep: bool = False
    original: bool = False
    dropout: float = 0.0
    small_images: bool = False
    zero_init_residual: bool = False

    def __post_init__(self) -> None:
        layers.check_rates(dropout=self.dropout)
        super().__post_init__()

    @property
    def stem_stride(self) -> int:
        """The stride of what the first stage takes."""
        return 1 if self.small_images else 4

    def setup(self) -> None:
        """Defines the stem, the blocks and the head."""
        stride = 1 if self.small_images else 2
        plain_stem = layers.ConvNorm(
            features=64,
            kernel_size=3 if self.small_images else 7,
            stride=stride,
            kernel_init=KERNEL_INIT,
            **self.shared(),
        )
        self.stem = DeepStem(stride=stride, **self.shared()) if self.deep else plain_stem
        block = partial(
            Bottleneck,
            groups=self.groups,
            width_per_group=self.width_per_group,
            narrowing=2 if self.deep else 1,
            stride_in_first=self.original and self.groups == 1,
            shortcut_size=3 if self.deep else 1,
            reduction=16,
            zero_init_residual=self.zero_init_residual,
        )
        self.define_stages(block, channels=64)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        vector = self.drop(self.embed(x, train), deterministic=not train)
        logits: Float[Array, "batch classes"] = self.head(vector)
        return logits

    def pyramid(self, x: Images, train: bool = False) -> Pyramid:
        """Computes the maps of the stem and of each stage."""
        x = check_images(x, self.in_channels)
        if self.small_images:
            return self.run_stages(self.stem(x, train), train)
        if self.original and min(x.shape[1:3]) < MIN_ORIGINAL_SIZE:
            raise ValueError(
                f"the original SE networks need images of at least {MIN_ORIGINAL_SIZE}x"
                f"{MIN_ORIGINAL_SIZE}, got the shape {x.shape}; pad or resize them"
            )
        y = self.stem(x, train)
        padding = {"ceil": True} if self.original else {"padding": 1}
        pooled = layers.max_pool(y, 3, stride=2, **padding)
        return [(2, y), *self.run_stages(pooled, train)]

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only timm has it, and the authors' networks under other names."""
        if self.original:
            return {"timm": ORIGINAL_NAMES, "timm-today": NAMES}
        return {"timm": NAMES, "timm-legacy": ORIGINAL_NAMES}


NAMES = TorchNames(
    [
        Rule(r"stem/conv", "conv1"),
        Rule(r"stem/norm", "bn1"),
        Rule(r"stem/conv1/conv", "conv1.0"),
        Rule(r"stem/conv1/norm", "conv1.1"),
        Rule(r"stem/conv2/conv", "conv1.3"),
        Rule(r"stem/conv2/norm", "conv1.4"),
        Rule(r"stem/conv3/conv", "conv1.6"),
        Rule(r"stem/conv3/norm", "bn1"),
        *BLOCKS,
        Rule(r"stage(\d)_block(\d+)/squeeze_excite/reduce", r"layer\1.\2.se.fc1", DENSE_AS_CONV),
        Rule(r"stage(\d)_block(\d+)/squeeze_excite/expand", r"layer\1.\2.se.fc2", DENSE_AS_CONV),
        Rule(r"head", "fc"),
    ],
    options={"original": False},
)
ORIGINAL_NAMES = TorchNames(
    [
        Rule(r"stem/conv", "layer0.conv1"),
        Rule(r"stem/norm", "layer0.bn1"),
        Rule(r"stem/conv(\d)/conv", r"layer0.conv\1"),
        Rule(r"stem/conv(\d)/norm", r"layer0.bn\1"),
        *BLOCKS,
        Rule(
            r"stage(\d)_block(\d+)/squeeze_excite/reduce",
            r"layer\1.\2.se_module.fc1",
            DENSE_AS_CONV,
        ),
        Rule(
            r"stage(\d)_block(\d+)/squeeze_excite/expand",
            r"layer\1.\2.se_module.fc2",
            DENSE_AS_CONV,
        ),
        Rule(r"head", "last_linear"),
    ],
    options={"original": True},
)


class SENetOptions(ModelOptions, total=False):
    """The options of an SE network, but for `dropout`; see `SENet`."""

    original: bool
    small_images: bool
    zero_init_residual: bool
    output_stride: int | None
    dilate_first: bool
    norm: str
    activation: str
    axis_name: str | None


@register
def se_resnet50(*, dropout: float = 0.0, **options: Unpack[SENetOptions]) -> SENet:
    """SE-ResNet-50: 28,088,024 parameters for 1000 classes (Table 1 of the paper).

    Args:
        dropout: The share of the vector before the head that training drops.
        **options: Fields of `SENet`.

    Returns:
        The model.

    Raises:
        ValueError: A value is not allowed.

    >>> se_resnet50(num_classes=10).stage_sizes
    (3, 4, 6, 3)
    """
    return SENet(stage_sizes=(3, 4, 6, 3), dropout=dropout, **options)


@register
def se_resnext50_32x4d(*, dropout: float = 0.0, **options: Unpack[SENetOptions]) -> SENet:
    """SE-ResNeXt-50, 32 groups of 4 channels: 27,559,896 parameters for 1000 classes (Table 1).

    Args:
        dropout: The share of the vector before the head that training drops.
        **options: Fields of `SENet`.

    Returns:
        The model.

    Raises:
        ValueError: A value is not allowed.

    >>> se_resnext50_32x4d(num_classes=10).groups
    32
    """
    return SENet(stage_sizes=(3, 4, 6, 3), groups=32, width_per_group=4, dropout=dropout, **options)


@register
def senet154(*, dropout: float = 0.2, **options: Unpack[SENetOptions]) -> SENet:
    """SENet-154: 115,088,984 parameters for 1000 classes (the paper's appendix).

    It is SE-ResNeXt-152, 64 groups of 4 channels, with the changes of `SENet`'s `deep`.

    Args:
        dropout: The share of the vector before the head that training drops.
        **options: Fields of `SENet`.

    Returns:
        The model.

    Raises:
        ValueError: A value is not allowed.

    >>> senet154(num_classes=10).dropout
    0.2
    """
    return SENet(
        stage_sizes=(3, 8, 36, 3),
        groups=64,
        width_per_group=4,
        deep=True,
        dropout=dropout,
        **options,
    )
