"""Residual networks for CIFAR.

Reference: He et al., Deep residual learning for image recognition, CVPR 2016, arXiv:1512.03385,
section 4.2.
"""

from functools import partial
from typing import ClassVar, Unpack

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, Pyramid, check_images
from jaxvision.models.registry import register
from jaxvision.models.residual import ResidualBlock, ResidualModel, ResidualOptions

KERNEL_INIT = layers.initializer("he_normal")


def shortcut_without_parameters(
    x: Float[Array, "batch height width channels"], stride: int, features: int
) -> Float[Array, "batch out_height out_width features"]:
    """Subsamples the input and appends channels of zeros: the paper's option A (section 3.3).

    >>> shortcut_without_parameters(jnp.ones((1, 5, 5, 16)), 2, 32).shape
    (1, 3, 3, 32)
    """
    x = x[:, ::stride, ::stride]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))


class CifarBlock(ResidualBlock, kw_only=True):
    """Two 3x3 convolutions, added to their input by a shortcut without parameters.

    The first convolution and the shortcut apply the stride.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Computes the activation of input plus residual."""
        conv_norm = partial(
            layers.ConvNorm,
            features=self.channels,
            kernel_size=3,
            kernel_init=KERNEL_INIT,
            **self.norm_options(),
        )
        y = conv_norm(
            stride=self.stride,
            dilation=self.first_dilation,
            activation=self.activation,
            name="conv1",
        )(x, train)
        y = conv_norm(dilation=self.dilation, name="conv2")(y, train)
        x = shortcut_without_parameters(x, self.stride, self.channels)
        return layers.activation(self.activation)(x + y)


class CifarResNet(ResidualModel, kw_only=True):
    """A residual network of 6n + 2 layers: `stem`, `stage1_block0`, ..., `stage3_block...`, `head`.

    It has three stages of n blocks each, with 16, 32 and 64 channels and maps at strides 1, 2 and
    4. Its attributes are those of `ResidualModel`.
    """

    num_classes: int = 10

    default_image_size: ClassVar[int] = 32

    def setup(self) -> None:
        """Defines the stem, the blocks and the head."""
        self.stem = layers.ConvNorm(
            features=16, kernel_size=3, kernel_init=KERNEL_INIT, **self.shared()
        )
        self.define_stages(CifarBlock, channels=16)

    def pyramid(self, x: Images, train: bool = False) -> Pyramid:
        """Computes the map of each stage."""
        return self.run_stages(self.stem(check_images(x, self.in_channels), train), train)


@register
def cifar_resnet20(**options: Unpack[ResidualOptions]) -> CifarResNet:
    """ResNet-20 for CIFAR: 269,722 parameters for 10 classes (section 4.2, Table 6).

    >>> cifar_resnet20().stage_sizes
    (3, 3, 3)
    """
    return CifarResNet(stage_sizes=(3,) * 3, **options)


@register
def cifar_resnet32(**options: Unpack[ResidualOptions]) -> CifarResNet:
    """ResNet-32 for CIFAR: 464,154 parameters for 10 classes (section 4.2, Table 6)."""
    return CifarResNet(stage_sizes=(5,) * 3, **options)


@register
def cifar_resnet44(**options: Unpack[ResidualOptions]) -> CifarResNet:
    """ResNet-44 for CIFAR: 658,586 parameters for 10 classes (section 4.2, Table 6)."""
    return CifarResNet(stage_sizes=(7,) * 3, **options)


@register
def cifar_resnet56(**options: Unpack[ResidualOptions]) -> CifarResNet:
    """ResNet-56 for CIFAR: 853,018 parameters for 10 classes (section 4.2, Table 6)."""
    return CifarResNet(stage_sizes=(9,) * 3, **options)


@register
def cifar_resnet110(**options: Unpack[ResidualOptions]) -> CifarResNet:
    """ResNet-110 for CIFAR: 1,727,962 parameters for 10 classes (section 4.2, Table 6)."""
    return CifarResNet(stage_sizes=(18,) * 3, **options)
