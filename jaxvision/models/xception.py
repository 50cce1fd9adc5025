"""Xception: an Inception network of depthwise separable convolutions.

Reference: Chollet, Xception: deep learning with depthwise separable convolutions, CVPR 2017,
arXiv:1610.02357.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Unpack

import flax.linen as nn
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvBlock, ConvModel, ConvModelOptions
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames, conv_norm_rules

KERNEL_INIT = layers.initializer("he_normal_fan_out")

# Smaller images leave no pixels after the unpadded convolutions of the stem.
MIN_SIZE = 7


class SeparableConvNorm(ConvBlock, kw_only=True):
    """A depthwise 3x3 convolution, a 1x1 convolution, a normalization and an activation.

    Attributes:
        features: Output channels.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = SeparableConvNorm(features=8)
    >>> init = functools.partial(layer.init, train=False)
    >>> variables = jax.eval_shape(init, jax.random.key(0), jnp.ones((2, 9, 9, 3)))
    >>> {name: leaf["kernel"].shape for name, leaf in variables["params"].items() if name != "norm"}
    {'depthwise': (3, 3, 1, 3), 'pointwise': (1, 1, 3, 8)}
    """

    features: int
    activation: str = "identity"

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch height width features"]:
        """Applies the layers in turn."""
        conv = partial(layers.conv, use_bias=False, kernel_init=KERNEL_INIT, dtype=self.dtype)
        channels = x.shape[-1]
        x = conv(channels, 3, groups=channels, name="depthwise")(x)
        x = conv(self.features, 1, name="pointwise")(x)
        x = layers.norm(
            self.norm,
            self.features,
            train=train,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name="norm",
        )(x)
        return layers.activation(self.activation)(x)


class XceptionBlock(ConvBlock, kw_only=True):
    """Separable convolutions, each after an activation, added to their input.

    Attributes:
        channels: Output channels of each convolution.
        stride: Stride of the max-pooling at the end and of the shortcut's convolution; 1 leaves out
            both.
        activate_first: Whether an activation precedes the first convolution.
    """

    channels: tuple[int, ...]
    stride: int = 1
    activate_first: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Computes input plus residual."""
        conv_norm = partial(SeparableConvNorm, **self.norm_options())
        y = x
        for i, channels in enumerate(self.channels, start=1):
            if i > 1 or self.activate_first:
                y = layers.activation(self.activation)(y)
            y = conv_norm(features=channels, name=f"conv{i}")(y, train)
        if self.stride == 1:
            return x + y
        y = layers.max_pool(y, 3, stride=self.stride, padding=1)
        x = layers.ConvNorm(
            features=self.channels[-1],
            kernel_size=1,
            stride=self.stride,
            kernel_init=KERNEL_INIT,
            name="shortcut",
            **self.norm_options(),
        )(x, train)
        return x + y


class Xception(ConvModel, kw_only=True):
    """Xception: `stem1`, `stem2`, `block1` to `block12`, `conv3`, `conv4`, `head`.

    The feature maps are the stem's (stride 2), those of blocks 1, 2 and 11 (strides 4 to 16) and
    the last (stride 32). The stem is not padded, so maps are smaller than the image divided by the
    stride. With `small_images` it is padded, and the strides are 1 to 16. For other attributes, see
    `ConvModel`; the paper has a `dropout` of 0.5 for ImageNet.

    Attributes:
        middle_blocks: Number of blocks in the middle flow, which begins with block 4.
        small_images: Whether the stem keeps the size rather than halving it, for images of about
            32x32.

    >>> import jax, jax.numpy as jnp
    >>> model = Xception(num_classes=10, middle_blocks=1)
    >>> features, _ = jax.eval_shape(
    ...     lambda key, x: model.init_with_output(key, x, method="features"),
    ...     jax.random.key(0), jnp.zeros((1, 299, 299, 3)))
    >>> {key: value.shape[1:] for key, value in features.items() if key in (2, 32)}
    {2: (147, 147, 64), 32: (10, 10, 2048)}
    """

    middle_blocks: int = 8
    small_images: bool = False

    default_image_size: ClassVar[int] = 299

    def setup(self) -> None:
        """Defines the layers of figure 5 of the paper."""
        stem = partial(
            layers.ConvNorm,
            kernel_size=3,
            padding=1 if self.small_images else 0,
            kernel_init=KERNEL_INIT,
            **self.shared(),
        )
        self.stem1 = stem(features=32, stride=1 if self.small_images else 2)
        self.stem2 = stem(features=64)
        block = partial(XceptionBlock, **self.shared())
        self.block1 = block(channels=(128, 128), stride=2, activate_first=False)
        self.block2 = block(channels=(256, 256), stride=2)
        self.block3 = block(channels=(728, 728), stride=2)
        last = 4 + self.middle_blocks
        for i in range(4, last):
            setattr(self, f"block{i}", block(channels=(728, 728, 728)))
        setattr(self, f"block{last}", block(channels=(728, 1024), stride=2))
        self.conv3 = SeparableConvNorm(features=1536, **self.shared())
        self.conv4 = SeparableConvNorm(features=2048, **self.shared())
        self.define_head()

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        x = check_images(
            x,
            self.in_channels,
            1 if self.small_images else MIN_SIZE,
            remedy="pad or resize them, or make it with small_images=True",
        )
        y = self.stem2(self.stem1(x, train), train)
        maps = [y]
        last = 4 + self.middle_blocks
        for i in range(1, last + 1):
            y = getattr(self, f"block{i}")(y, train)
            if i in (1, 2, last - 1):
                maps.append(y)
        maps.append(self.conv4(self.conv3(y, train), train))
        stride = 1 if self.small_images else 2
        return {stride * 2**i: each for i, each in enumerate(maps)}

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only timm has this model, as `legacy_xception`."""
        return {"timm": NAMES}


def _in_block(match: re.Match[str]) -> str:
    """Names a layer of a block in timm, which numbers layers and activations together."""
    block, number, part = match.groups()
    place = 3 * (int(number) - 1) + (block != "1")  # only the first begins without activation
    if part == "norm":
        return f"block{block}.rep.{place + 1}"
    return f"block{block}.rep.{place}.{_PARTS[part]}"


_PARTS = {"depthwise": "conv1", "pointwise": "pointwise"}

NAMES = TorchNames(
    [
        *conv_norm_rules(r"stem(\d)", r"conv\1", r"bn\1"),
        *conv_norm_rules(r"block(\d+)/shortcut", r"block\1.skip", r"block\1.skipbn"),
        Rule(r"block(\d+)/conv(\d)/(\w+)", _in_block),
        Rule(r"conv(\d)/depthwise", r"conv\1.conv1"),
        Rule(r"conv(\d)/pointwise", r"conv\1.pointwise"),
        Rule(r"conv(\d)/norm", r"bn\1"),
        Rule(r"head", "fc"),
    ]
)


class XceptionOptions(ConvModelOptions, total=False):
    """Options of Xception; see `Xception`."""

    small_images: bool
    dropout: float


@register
def xception(**options: Unpack[XceptionOptions]) -> Xception:
    """Xception: 22,855,952 parameters for 1000 classes (figure 5 of the paper, Table 3).

    timm calls it `legacy_xception`. Its normalizations add 1e-5 to the variance, as timm's do.

    >>> xception(num_classes=10).default_image_size
    299
    """
    return Xception(**options)
