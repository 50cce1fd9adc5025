"""ShuffleNetV2.

Reference: Ma et al., ShuffleNet V2: practical guidelines for efficient CNN architecture design,
ECCV 2018, arXiv:1807.11164.
"""

from collections.abc import Mapping
from functools import partial
from typing import Unpack

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvBlock, ConvModel, ConvModelOptions
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames, conv_norm_rules, sequence_rules

STEM_CHANNELS = 24
STAGE_SIZES = (4, 8, 4)
# As in torchvision, whose convolutions keep PyTorch's default.
KERNEL_INIT = layers.initializer("torch")


class SplitUnit(ConvBlock, kw_only=True):
    """Two branches of half the channels each, whose outputs are concatenated and shuffled.

    At stride 1, one branch is the unchanged first half of the input, and the other takes the second
    half. At stride 2, both branches take the whole input (Ma et al., 2018, figure 3c and 3d).

    Attributes:
        features: Output channels.
        stride: Stride of the depthwise convolutions.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = SplitUnit(features=48, stride=2)
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> jax.eval_shape(start, jax.random.key(0), jnp.ones((2, 9, 9, 24)))[0].shape
    (2, 5, 5, 48)
    """

    features: int
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width features"]:
        """Concatenates the branches and shuffles their channels."""
        half = self.features // 2
        conv_norm = partial(layers.ConvNorm, kernel_init=KERNEL_INIT, **self.norm_options())
        pointwise = partial(conv_norm, features=half, kernel_size=1, activation=self.activation)
        depthwise = partial(conv_norm, kernel_size=3, stride=self.stride)
        if self.stride == 1:
            x, y = jnp.split(x, 2, axis=-1)
        else:
            y = x
            channels = x.shape[-1]
            x = depthwise(features=channels, groups=channels, name="left1")(x, train)
            x = pointwise(name="left2")(x, train)
        y = pointwise(name="right1")(y, train)
        y = depthwise(features=half, groups=half, name="right2")(y, train)
        y = pointwise(name="right3")(y, train)
        return layers.channel_shuffle(jnp.concatenate([x, y], axis=-1), 2)


class ShuffleNetV2(ConvModel, kw_only=True):
    """A ShuffleNetV2: `stem`, `stage2_block0`, ..., `stage4_block3`, `last`, `head`.

    The feature maps are the stem's before the max-pooling (stride 2) and after it (stride 4), the
    last of the first two stages (strides 8 and 16), and that of `last`, a 1x1 convolution (stride
    32). With `small_images`, they are the stem's (stride 1), which is not pooled, and the others
    (strides 2 to 8). For other attributes, see `ConvModel`.

    Attributes:
        stage_channels: Output channels of the three stages.
        last_channels: Channels of the last convolution.
        small_images: Whether the stem is a 3x3 convolution that keeps the size, for images of about
            32x32.

    >>> shufflenet_v2_x1_0(num_classes=10).stage_channels
    (116, 232, 464)
    """

    stage_channels: tuple[int, int, int]
    last_channels: int = 1024
    small_images: bool = False

    def setup(self) -> None:
        """Defines the stem, the units, the last convolution and the head."""
        conv_norm = partial(layers.ConvNorm, kernel_init=KERNEL_INIT, **self.shared())
        stem_stride = 1 if self.small_images else 2
        self.stem = conv_norm(features=STEM_CHANNELS, kernel_size=3, stride=stem_stride)
        sizes = zip(self.stage_channels, STAGE_SIZES, strict=True)
        for stage, (channels, num_units) in enumerate(sizes, start=2):
            for i in range(num_units):
                unit = SplitUnit(features=channels, stride=2 if i == 0 else 1, **self.shared())
                setattr(self, f"stage{stage}_block{i}", unit)
        self.last = conv_norm(features=self.last_channels, kernel_size=1)
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
        maps[stride] = self.last(y, train)
        return maps

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only torchvision has this model."""
        return {"torchvision": NAMES}


def _unit(part: str, branch: int, number: int) -> list[Rule]:
    """Lists the rules for a convolution and its norm, two consecutive modules in torchvision."""
    branch_there = rf"stage\1.\2.branch{branch}"
    return conv_norm_rules(
        rf"stage(\d)_block(\d+)/{part}", f"{branch_there}.{number}", f"{branch_there}.{number + 1}"
    )


NAMES = TorchNames(
    [
        *sequence_rules("stem", "conv1"),
        *_unit("left1", 1, 0),
        *_unit("left2", 1, 2),
        *_unit("right1", 2, 0),
        *_unit("right2", 2, 3),
        *_unit("right3", 2, 5),
        *sequence_rules("last", "conv5"),
        Rule(r"head", "fc"),
    ]
)


class ShuffleNetV2Options(ConvModelOptions, total=False):
    """Options of a ShuffleNetV2; see `ShuffleNetV2`."""

    small_images: bool


@register
def shufflenet_v2_x0_5(**options: Unpack[ShuffleNetV2Options]) -> ShuffleNetV2:
    """ShuffleNetV2 0.5x: 1,366,792 parameters for 1000 classes (Table 5 of the paper).

    >>> shufflenet_v2_x0_5(num_classes=10).last_channels
    1024
    """
    return ShuffleNetV2(stage_channels=(48, 96, 192), **options)


@register
def shufflenet_v2_x1_0(**options: Unpack[ShuffleNetV2Options]) -> ShuffleNetV2:
    """ShuffleNetV2 1.0x: 2,278,604 parameters for 1000 classes (Table 5 of the paper)."""
    return ShuffleNetV2(stage_channels=(116, 232, 464), **options)


@register
def shufflenet_v2_x1_5(**options: Unpack[ShuffleNetV2Options]) -> ShuffleNetV2:
    """ShuffleNetV2 1.5x: 3,503,624 parameters for 1000 classes (Table 5 of the paper)."""
    return ShuffleNetV2(stage_channels=(176, 352, 704), **options)


@register
def shufflenet_v2_x2_0(**options: Unpack[ShuffleNetV2Options]) -> ShuffleNetV2:
    """ShuffleNetV2 2.0x: 7,393,996 parameters for 1000 classes (Table 5 of the paper)."""
    return ShuffleNetV2(stage_channels=(244, 488, 976), last_channels=2048, **options)
