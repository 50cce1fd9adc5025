"""Squeeze-and-excitation networks: residual networks whose blocks weigh their channels.

By default, they are timm's `seresnet50`, `seresnext50_32x4d` and `senet154`: the 3x3 convolution of
a block applies the stride, and the max-pooling is padded by 1. `original=True` builds the authors'
networks, timm's `legacy_` ones, with the same parameters.

Reference: Hu et al., Squeeze-and-excitation networks, CVPR 2018, arXiv:1709.01507.
"""

from typing import Unpack

from jaxvision.models.registry import register
from jaxvision.models.residual import Bottleneck, ResidualOptions
from jaxvision.models.resnet import ResNet

# Factor by which squeeze-and-excitation narrows the channels: the paper's r.
REDUCTION = 16


class SENetOptions(ResidualOptions, total=False):
    """Options of a squeeze-and-excitation network except `dropout`; see `ResNet`."""

    original: bool
    small_images: bool
    zero_init_residual: bool


@register
def se_resnet50(*, dropout: float = 0.0, **options: Unpack[SENetOptions]) -> ResNet:
    """SE-ResNet-50: 28,088,024 parameters for 1000 classes (Table 1 of the paper).

    >>> import jax, jax.numpy as jnp
    >>> model = se_resnet50(num_classes=10)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    >>> variables["params"]["stage1_block0"]["squeeze_excite"]["reduce"]["kernel"].shape
    (256, 16)
    """
    return ResNet(
        stage_sizes=(3, 4, 6, 3),
        block=Bottleneck,
        reduction=REDUCTION,
        dropout=dropout,
        **options,
    )


@register
def se_resnext50_32x4d(*, dropout: float = 0.0, **options: Unpack[SENetOptions]) -> ResNet:
    """SE-ResNeXt-50, 32 groups of 4 channels: 27,559,896 parameters for 1000 classes (Table 1)."""
    return ResNet(
        stage_sizes=(3, 4, 6, 3),
        block=Bottleneck,
        groups=32,
        width_per_group=4,
        reduction=REDUCTION,
        dropout=dropout,
        **options,
    )


@register
def senet154(*, dropout: float = 0.2, **options: Unpack[SENetOptions]) -> ResNet:
    """SENet-154: 115,088,984 parameters for 1000 classes (the paper's appendix).

    It is SE-ResNeXt-152 (64 groups of 4 channels) with a deep stem, first convolutions of half the
    width, 3x3 shortcuts where they have a stride, and dropout before the head.
    """
    return ResNet(
        stage_sizes=(3, 8, 36, 3),
        block=Bottleneck,
        groups=64,
        width_per_group=4,
        narrowing=2,
        shortcut_size=3,
        reduction=REDUCTION,
        stem_type="deep",
        dropout=dropout,
        **options,
    )
