"""ShuffleNet.

Reference: Zhang et al., ShuffleNet: an extremely efficient convolutional neural network for mobile
devices, CVPR 2018, arXiv:1707.01083.
"""

from functools import partial
from typing import Unpack

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvBlock, ConvModel, ConvModelOptions
from jaxvision.models.registry import register

# Table 1 of the paper: output channels of stage 2 by groups; they double with each later stage.
CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
STEM_CHANNELS = 24
STAGE_SIZES = (4, 8, 4)
KERNEL_INIT = layers.initializer("he_normal")


class ShuffleUnit(ConvBlock, kw_only=True):
    """A grouped 1x1 convolution, a channel shuffle, a depthwise 3x3 and a grouped 1x1 convolution.

    At stride 1, the result is added to the input. At stride 2, it is appended to the channels of
    the input's averages over 3x3 windows, and together they have `features` channels. The
    activation comes last. (Zhang et al., 2018, figure 2b and 2c; the inner channels are a quarter
    of the output's: section 3.2.)

    Attributes:
        features: Output channels.
        groups: Groups of the second 1x1 convolution, and of the shuffle.
        first_groups: Groups of the first 1x1 convolution; None takes `groups`.
        stride: Stride of the depthwise convolution.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = ShuffleUnit(features=48, groups=3, stride=2)
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> jax.eval_shape(start, jax.random.key(0), jnp.ones((2, 9, 9, 24)))[0].shape
    (2, 5, 5, 48)
    """

    features: int
    groups: int
    first_groups: int | None = None
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width features"]:
        """Adds or appends the residual to the input."""
        conv_norm = partial(layers.ConvNorm, kernel_init=KERNEL_INIT, **self.norm_options())
        narrow = self.features // 4
        residual = self.features - (x.shape[-1] if self.stride > 1 else 0)
        y = conv_norm(
            features=narrow,
            kernel_size=1,
            groups=self.groups if self.first_groups is None else self.first_groups,
            activation=self.activation,
            name="conv1",
        )(x, train)
        y = layers.channel_shuffle(y, self.groups)
        y = conv_norm(
            features=narrow, kernel_size=3, stride=self.stride, groups=narrow, name="conv2"
        )(y, train)
        y = conv_norm(features=residual, kernel_size=1, groups=self.groups, name="conv3")(y, train)
        activation = layers.activation(self.activation)
        if self.stride == 1:
            return activation(x + y)
        x = layers.avg_pool(x, 3, stride=self.stride, padding=1)
        return activation(jnp.concatenate([x, y], axis=-1))


class ShuffleNetV1(ConvModel, kw_only=True):
    """A ShuffleNet: `stem`, `stage2_block0`, ..., `stage4_block3`, `head`.

    The feature maps are the stem's before the max-pooling (stride 2) and after it (stride 4), and
    the last of each stage (strides 8 to 32); with `small_images`, the stem's (stride 1), which is
    not pooled, and the last of each stage (strides 2 to 8). Averages count the padding around the
    map, as in the authors' code; the paper does not say. For other attributes, see `ConvModel`.

    Attributes:
        groups: Groups of the 1x1 convolutions: 1, 2, 3, 4 or 8.
        small_images: Whether the stem is a 3x3 convolution that keeps the size, for images of about
            32x32.

    >>> shufflenet_v1_g3(num_classes=10).groups
    3
    """

    groups: int
    small_images: bool = False

    def __post_init__(self) -> None:
        if self.groups not in CHANNELS:
            allowed = ", ".join(map(str, CHANNELS))
            raise ValueError(f"groups must be one of {allowed}, got {self.groups}")
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the units and the head."""
        self.stem = layers.ConvNorm(
            features=STEM_CHANNELS,
            kernel_size=3,
            stride=1 if self.small_images else 2,
            kernel_init=KERNEL_INIT,
            **self.shared(),
        )
        for stage, num_units in enumerate(STAGE_SIZES, start=2):
            for i in range(num_units):
                unit = ShuffleUnit(
                    features=CHANNELS[self.groups] * 2 ** (stage - 2),
                    groups=self.groups,
                    # The stem has too few channels for groups (the paper, section 3.2).
                    first_groups=1 if (stage, i) == (2, 0) else None,
                    stride=2 if i == 0 else 1,
                    **self.shared(),
                )
                setattr(self, f"stage{stage}_block{i}", unit)
        self.define_head()

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        y = self.stem(check_images(x, self.in_channels), train)
        stride = 1 if self.small_images else 2
        maps = {stride: y}
        if not self.small_images:
            y = layers.max_pool(y, 3, stride=2, padding=1)
            stride *= 2
            maps[stride] = y
        for stage, num_units in enumerate(STAGE_SIZES, start=2):
            for i in range(num_units):
                y = getattr(self, f"stage{stage}_block{i}")(y, train)
            stride *= 2
            maps[stride] = y
        return maps


class ShuffleNetV1Options(ConvModelOptions, total=False):
    """Options of a ShuffleNet; see `ShuffleNetV1`."""

    small_images: bool


@register
def shufflenet_v1_g1(**options: Unpack[ShuffleNetV1Options]) -> ShuffleNetV1:
    """ShuffleNet with 1 group (no shuffle): 1,531,936 parameters for 1000 classes.

    Table 1 of the paper, from which the number is derived, only has multiply-adds.

    >>> shufflenet_v1_g1(num_classes=10).groups
    1
    """
    return ShuffleNetV1(groups=1, **options)


@register
def shufflenet_v1_g2(**options: Unpack[ShuffleNetV1Options]) -> ShuffleNetV1:
    """ShuffleNet with 2 groups: 1,733,848 parameters for 1000 classes (derived from Table 1)."""
    return ShuffleNetV1(groups=2, **options)


@register
def shufflenet_v1_g3(**options: Unpack[ShuffleNetV1Options]) -> ShuffleNetV1:
    """ShuffleNet with 3 groups: 1,865,728 parameters for 1000 classes (derived from Table 1)."""
    return ShuffleNetV1(groups=3, **options)


@register
def shufflenet_v1_g4(**options: Unpack[ShuffleNetV1Options]) -> ShuffleNetV1:
    """ShuffleNet with 4 groups: 1,968,344 parameters for 1000 classes (derived from Table 1)."""
    return ShuffleNetV1(groups=4, **options)


@register
def shufflenet_v1_g8(**options: Unpack[ShuffleNetV1Options]) -> ShuffleNetV1:
    """ShuffleNet with 8 groups: 2,434,768 parameters for 1000 classes (derived from Table 1)."""
    return ShuffleNetV1(groups=8, **options)
