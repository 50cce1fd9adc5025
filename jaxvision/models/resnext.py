"""Residual networks with grouped convolutions.

Reference: Xie et al., Aggregated residual transformations for deep neural networks, CVPR 2017,
arXiv:1611.05431.
"""

from typing import Unpack

from jaxvision.models.registry import register
from jaxvision.models.residual import Bottleneck
from jaxvision.models.resnet import ResNet, ResNetOptions


@register
def resnext50_32x4d(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNeXt-50, 32 groups of 4 channels: 25,028,904 parameters for 1000 classes.

    It is ResNet-50 with grouped 3x3 convolutions (Table 1 of the paper).

    >>> resnext50_32x4d(num_classes=10).groups
    32
    """
    return ResNet(
        stage_sizes=(3, 4, 6, 3), block=Bottleneck, groups=32, width_per_group=4, **options
    )


@register
def resnext101_32x8d(**options: Unpack[ResNetOptions]) -> ResNet:
    """ResNeXt-101, 32 groups of 8 channels: 88,791,336 parameters for 1000 classes.

    It is ResNet-101 with grouped 3x3 convolutions. The paper has 4 channels per group; the 8 are
    from Mahajan et al., ECCV 2018, arXiv:1805.00932.
    """
    return ResNet(
        stage_sizes=(3, 4, 23, 3), block=Bottleneck, groups=32, width_per_group=8, **options
    )
