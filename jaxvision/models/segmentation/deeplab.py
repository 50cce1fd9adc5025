"""DeepLabV3 and V3+: parallel dilated convolutions of several rates.

References: Chen et al., Rethinking atrous convolution for semantic image segmentation, 2017,
arXiv:1706.05587. Chen et al., Encoder-decoder with atrous separable convolution for semantic image
segmentation, ECCV 2018, arXiv:1802.02611. Parameters are those of torchvision and of
segmentation_models_pytorch.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from jaxvision.models import layers
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import Decoder, DecoderPart, Map, Stages, size_of
from jaxvision.models.weights.names import Rule, TorchNames, conv_norm_rules, sequence_rules
from jaxvision.ops import resize


class SeparableConvNorm(DecoderPart, kw_only=True):
    """A depthwise 3x3 convolution (dilated), a 1x1 convolution, a normalization and a ReLU."""

    channels: int
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Map, train: bool) -> Map:
        """Applies the four in turn."""
        channels = x.shape[-1]
        depthwise = self.conv(
            channels, 3, dilation=self.dilation, groups=channels, use_bias=False, name="depthwise"
        )
        return self.conv_norm(self.channels, 1, name="pointwise")(depthwise(x), train)


class AtrousPyramid(DecoderPart, kw_only=True):
    """Atrous spatial pyramid pooling: in parallel a 1x1 convolution, dilated ones, and the mean."""

    channels: int
    rates: tuple[int, ...]
    separable: bool
    dropout: float

    @nn.compact
    def __call__(self, x: Map, train: bool) -> Map:
        """Computes all branches and projects them to `channels`."""
        parts = [self.conv_norm(self.channels, 1, name="branch0")(x, train)]
        for index, rate in enumerate(self.rates, start=1):
            parts.append(self._dilated(rate, f"branch{index}")(x, train))
        average = layers.adaptive_avg_pool(x, 1, 1)
        average = self.conv_norm(self.channels, 1, name="average")(average, train)
        parts.append(resize(average, size_of(x)))
        y = self.conv_norm(self.channels, 1, name="project")(jnp.concatenate(parts, axis=-1), train)
        return nn.Dropout(self.dropout, deterministic=not train)(y)

    def _dilated(self, rate: int, name: str) -> nn.Module:
        if self.separable:
            channels, options = self.channels, self.options()
            return SeparableConvNorm(channels=channels, dilation=rate, name=name, **options)
        return self.conv_norm(self.channels, 3, dilation=rate, name=name)


def _pyramid_rules(name: str, *, separable: bool) -> list[Rule]:
    """The rules for an `AtrousPyramid` that is called `name` in the other library."""
    path, branch = "decoder/pyramid", rf"{name}.convs.\1"
    dilated = [
        Rule(rf"{path}/branch([1-9])/depthwise", rf"{branch}.0.0"),
        *conv_norm_rules(rf"{path}/branch([1-9])/pointwise", rf"{branch}.0.1", rf"{branch}.1"),
    ]
    return [
        *(dilated if separable else []),
        *sequence_rules(rf"{path}/branch(\d)", branch),
        *conv_norm_rules(rf"{path}/average", f"{name}.convs.4.1", f"{name}.convs.4.2"),
        *sequence_rules(rf"{path}/project", f"{name}.project"),
    ]


class AtrousDecoder(Decoder, kw_only=True):
    """A decoder that begins with an `AtrousPyramid` on the coarsest map.

    Attributes:
        channels: Number of channels of each branch of the pyramid, and of the result.
        rates: Dilations of the 3x3 convolutions.
        separable: Whether the 3x3 convolutions are separable.
        dropout: Dropout rate of the pyramid's result.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    channels: int = 256
    rates: tuple[int, ...] = (12, 24, 36)
    separable: bool = False
    dropout: float = 0.5

    head_size: ClassVar[int] = 1

    def pyramid(self, stages: Stages, train: bool) -> Map:
        """Computes the pyramid, inside the compact method of a subclass."""
        pyramid = AtrousPyramid(
            channels=self.channels,
            rates=self.rates,
            separable=self.separable,
            dropout=self.dropout,
            name="pyramid",
            **self.options(),
        )
        result: Map = pyramid(stages[-1][1], train)
        return result


@register_module
class DeepLabV3Decoder(AtrousDecoder, kw_only=True):
    """`AtrousPyramid` on the coarsest map, and a 3x3 convolution.

    Torchvision's weights need `align_corners=False`; those of segmentation_models_pytorch a
    backbone with `dilate_first=True`.

    Attributes:
        rates: Dilations; the default ones are for a backbone with `output_stride=8`.
        channels, separable, dropout: See `AtrousDecoder`.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "torchvision": TorchNames(
            [
                *_pyramid_rules("classifier.0", separable=False),
                *conv_norm_rules("decoder/conv", "classifier.1", "classifier.2"),
                Rule("head", "classifier.4"),
            ],
            unused={r"aux_classifier\..*": "the auxiliary classifier"},
            options={"decoder.align_corners": False},
        ),
        "smp": TorchNames(
            [
                *_pyramid_rules("decoder.aspp", separable=True),
                *conv_norm_rules("decoder/conv", "decoder.conv", "decoder.bn"),
                Rule("head", "segmentation_head.0"),
            ],
            options={"decoder.align_corners": True},
        ),
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the coarsest."""
        return self.conv_norm(self.channels, 3, name="conv")(self.pyramid(stages, train), train)


@register_module
class DeepLabV3PlusDecoder(AtrousDecoder, kw_only=True):
    """`AtrousPyramid` on the coarsest map, resized to a finer map and convolved with it.

    Attributes:
        rates: Dilations; the paper has (6, 12, 18) for a backbone with `output_stride=16`.
        channels, separable, dropout: See `AtrousDecoder`.
        finer_channels: Number of channels that the finer map is projected to.
        stride: Stride of the finer map.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    finer_channels: int = 48
    stride: int = 4
    separable: bool = True

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "smp": TorchNames(
            [
                *_pyramid_rules("decoder.aspp.0", separable=True),
                Rule("decoder/coarse/depthwise", "decoder.aspp.1.0"),
                *conv_norm_rules("decoder/coarse/pointwise", "decoder.aspp.1.1", "decoder.aspp.2"),
                *sequence_rules("decoder/finer", "decoder.block1"),
                Rule("decoder/fuse/depthwise", "decoder.block2.0.0"),
                *conv_norm_rules(
                    "decoder/fuse/pointwise", "decoder.block2.0.1", "decoder.block2.1"
                ),
                Rule("head", "segmentation_head.0"),
            ]
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the finer one."""
        maps = dict(stages)
        finer = maps.get(self.stride)
        if finer is None:
            raise ValueError(
                f"stride must be one of the backbone's, {', '.join(map(str, maps))}, got "
                f"{self.stride}"
            )
        coarse = self._separable("coarse")(self.pyramid(stages, train), train)
        coarse = resize(coarse, size_of(finer), align_corners=True)
        finer = self.conv_norm(self.finer_channels, 1, name="finer")(finer, train)
        return self._separable("fuse")(jnp.concatenate([coarse, finer], axis=-1), train)

    def _separable(self, name: str) -> SeparableConvNorm:
        return SeparableConvNorm(channels=self.channels, name=name, **self.options())
