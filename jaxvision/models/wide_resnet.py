"""Wide residual networks, for ImageNet and for 32x32 images.

Reference: Zagoruyko and Komodakis, Wide residual networks, BMVC 2016, arXiv:1605.07146.
"""

from functools import partial
from typing import ClassVar, Unpack

from jaxvision.models import layers
from jaxvision.models.base import Images, Pyramid, check_images
from jaxvision.models.preact_resnet import PreActBlock
from jaxvision.models.registry import register
from jaxvision.models.residual import KERNEL_INIT, Bottleneck, ResidualModel, ResidualOptions
from jaxvision.models.resnet import ResNet, ResNetOptions


class WideResNet(ResidualModel, kw_only=True):
    """A pre-activation network of 6n + 4 layers: `stem`, `stage1_block0`, ..., `last_norm`, `head`.

    It has three stages of n blocks each (the paper's N), with 16, 32 and 64 channels times `width`,
    and maps at strides 1, 2 and 4. Only the coarsest map is normalized and activated: for the
    others, the next block does this first. For other attributes, see `ResidualModel`.

    Attributes:
        width: Factor of the channels: the paper's k.
        dropout: Dropout rate between the two convolutions of a block, and not before the head.
            Where the paper has dropout, the rate is 0.3 for CIFAR and 0.4 for SVHN.

    >>> import jax, jax.numpy as jnp
    >>> model = WideResNet(stage_sizes=(2, 2, 2), width=2)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> variables["params"]["stage3_block0"]["conv1"]["kernel"].shape
    (3, 3, 64, 128)
    """

    num_classes: int = 10
    width: int

    default_image_size: ClassVar[int] = 32
    drops_before_head: ClassVar[bool] = False

    def setup(self) -> None:
        """Defines the stem, the blocks, the last normalization and the head."""
        self.stem = layers.conv(16, 3, use_bias=False, kernel_init=KERNEL_INIT, dtype=self.dtype)
        self.define_stages(partial(PreActBlock, dropout=self.dropout), channels=16 * self.width)
        self.last_norm = layers.NormActivation(**self.shared())

    def pyramid(self, x: Images, train: bool = False) -> Pyramid:
        """Computes the map of each stage."""
        *maps, (stride, last) = self.run_stages(self.stem(check_images(x, self.in_channels)), train)
        return [*maps, (stride, self.last_norm(last, train))]


class WideResNetOptions(ResidualOptions, total=False):
    """Options of a wide ResNet for small images; see `WideResNet`."""

    dropout: float


@register
def wrn_28_2(**options: Unpack[WideResNetOptions]) -> WideResNet:
    """WRN-28-2, for 32x32 images: 1,467,610 parameters for 10 classes (Table 1 of the paper).

    >>> wrn_28_2(dropout=0.3).width
    2
    """
    return WideResNet(stage_sizes=(4, 4, 4), width=2, **options)


@register
def wrn_28_10(**options: Unpack[WideResNetOptions]) -> WideResNet:
    """WRN-28-10, for 32x32 images: 36,479,194 parameters for 10 classes (Table 1 of the paper)."""
    return WideResNet(stage_sizes=(4, 4, 4), width=10, **options)


@register
def wide_resnet50_2(**options: Unpack[ResNetOptions]) -> ResNet:
    """Wide ResNet-50-2: 68,883,240 parameters for 1000 classes.

    It is ResNet-50 with 3x3 convolutions twice as wide, the paper's WRN-50-2-bottleneck.
    """
    return ResNet(stage_sizes=(3, 4, 6, 3), block=Bottleneck, width_per_group=128, **options)


@register
def wide_resnet101_2(**options: Unpack[ResNetOptions]) -> ResNet:
    """Wide ResNet-101-2: 126,886,696 parameters for 1000 classes.

    It is ResNet-101 with 3x3 convolutions twice as wide; the paper only has the one of 50 layers.
    """
    return ResNet(stage_sizes=(3, 4, 23, 3), block=Bottleneck, width_per_group=128, **options)
