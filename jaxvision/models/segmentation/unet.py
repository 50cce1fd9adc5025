"""U-Net and U-Net++ over any backbone.

References: Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation,
MICCAI 2015, arXiv:1505.04597. Zhou et al., UNet++: a nested U-Net architecture for medical image
segmentation, DLMIA 2018, arXiv:1807.10165. Parameters are those of segmentation_models_pytorch.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxvision.models import layers
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import (
    Decoder,
    DecoderPart,
    Map,
    Stages,
    doublings,
    size_at,
    size_of,
    strides_below,
    widths,
)
from jaxvision.models.weights.names import Rule, TorchNames, sequence_rules, squeeze_excite_rules


class SpatialChannelAttention(nn.Module, kw_only=True):
    """Scales maps by squeeze-and-excitation over channels and over pixels, and adds the two.

    Reference: Roy et al., Concurrent spatial and channel squeeze & excitation in fully
    convolutional networks, MICCAI 2018, arXiv:1803.02579.
    """

    reduction: int = 16
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Map) -> Map:
        """Computes the sum of both."""
        channel = layers.SqueezeExcite(
            reduced=x.shape[-1] // self.reduction, dtype=self.dtype, name="channel"
        )
        spatial = layers.conv(1, 1, dtype=self.dtype, name="spatial")
        return channel(x) + x * nn.sigmoid(spatial(x))


class UNetBlock(DecoderPart, kw_only=True):
    """Enlarges a map, appends a map of the backbone, and convolves twice."""

    channels: int
    attention: bool = False
    upsampling: str = "nearest"

    @nn.compact
    def __call__(self, x: Map, skip: Map | None, size: tuple[int, int], train: bool) -> Map:
        """Computes a map of `size`."""
        doubles = self.upsampling == "nearest" and size == tuple(2 * side for side in size_of(x))
        if doubles and not (self.attention and skip is not None):
            x = self.doubled_conv_norm(self.channels, 3, name="conv1")(x, train, skip)
        else:
            x = layers.Upsample(method=self.upsampling, dtype=self.dtype, name="upsample")(x, size)
            if skip is not None:
                x = jnp.concatenate([x, skip], axis=-1)
                x = self._attend(x, "attention1")
            x = self.conv_norm(self.channels, 3, name="conv1")(x, train)
        x = self.conv_norm(self.channels, 3, name="conv2")(x, train)
        return self._attend(x, "attention2")

    def _attend(self, x: Map, name: str) -> Map:
        return SpatialChannelAttention(dtype=self.dtype, name=name)(x) if self.attention else x


def _rules(path: str, name: str) -> list[Rule]:
    """The rules for a block with its path here and its name in the other library."""
    attention = rf"{path}/attention(\d)"
    return [
        *sequence_rules(rf"{path}/conv(\d)", rf"{name}.conv\2"),
        *squeeze_excite_rules(
            f"{attention}/channel",
            rf"{name}.attention\2.attention.cSE.1",
            rf"{name}.attention\2.attention.cSE.3",
        ),
        Rule(f"{attention}/spatial", rf"{name}.attention\2.attention.sSE.0"),
    ]


_UNUSED = {r"decoder\.blocks\.\w+\.attention1\..*": "attention where no map is appended"}


@register_module
class UNetDecoder(Decoder, kw_only=True):
    """Doubles the coarsest map up to the size of the images, and appends a map each time.

    Attributes:
        channels: Number of channels after each doubling; None takes 16 times the stride: 256, 128,
            64, 32 and 16 where the coarsest stride is 32.
        center: Whether two convolutions precede the first doubling.
        full_resolution: Whether to append the map of stride 1 of a backbone that has one, such as
            VGG. (segmentation_models_pytorch leaves it out.)
        attention: Whether each block has `SpatialChannelAttention` after appending and after
            convolving.
        upsampling: How maps are enlarged; see `layers.Upsample`.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    channels: tuple[int, ...] | None = None
    center: bool = False
    full_resolution: bool = True
    attention: bool = False
    upsampling: str = "nearest"

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "smp": TorchNames(
            [
                *sequence_rules(r"decoder/center1", "decoder.center.0"),
                *sequence_rules(r"decoder/center2", "decoder.center.1"),
                *_rules(r"decoder/block(\d+)", r"decoder.blocks.\1"),
                Rule("head", "segmentation_head.0"),
            ],
            unused=_UNUSED,
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the images."""
        x = stages[-1][1]
        if self.center:
            x = self.conv_norm(x.shape[-1], 3, name="center1")(x, train)
            x = self.conv_norm(x.shape[-1], 3, name="center2")(x, train)
        steps = doublings(stages, image_size, full_resolution=self.full_resolution)
        channels = widths(self.channels, [step.stride for step in steps])
        for index, (step, features) in enumerate(zip(steps, channels, strict=True)):
            block = UNetBlock(
                channels=features,
                attention=self.attention,
                upsampling=self.upsampling,
                name=f"block{index}",
                **self.options(),
            )
            x = block(x, step.skip, step.size, train)
        return x


@register_module
class UNetPlusPlusDecoder(Decoder, kw_only=True):
    """Nested U-Nets: each node appends all earlier nodes of its size.

    Node `x_i_j` enlarges node `x_i_(j-1)`, where `x_i_(i-1)` is map i of the backbone, and map 0 is
    the coarsest. It appends the nodes `x_(i+1)_j` to `x_j_j` and map j + 1.

    Attributes:
        channels: Number of channels of the nodes `x_0_j`; None takes 16 times the stride.
        attention: Whether each block has `SpatialChannelAttention` after appending and after
            convolving.
        upsampling: How maps are enlarged; see `layers.Upsample`.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    channels: tuple[int, ...] | None = None
    attention: bool = False
    upsampling: str = "nearest"

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "smp": TorchNames(
            [
                *_rules(r"decoder/(x_\d_\d)", r"decoder.blocks.\1"),
                Rule("head", "segmentation_head.0"),
            ],
            unused=_UNUSED,
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the images."""
        strides, maps = zip(*reversed(dict(stages).items()), strict=True)
        targets = [*strides[1:], *strides_below(strides[-1])]
        channels = widths(self.channels, targets)

        def node(i: int, j: int, x: Map, beside: list[Map]) -> Map:
            skip = jnp.concatenate(beside, axis=-1) if beside else None
            size = size_at(targets[j], image_size) if skip is None else size_of(skip)
            block = UNetBlock(
                channels=channels[j] if i == 0 else maps[j + 1].shape[-1],
                attention=self.attention,
                upsampling=self.upsampling,
                name=f"x_{i}_{j}",
                **self.options(),
            )
            return block(x, skip, size, train)

        nodes: dict[tuple[int, int], Map] = {(i, i - 1): each for i, each in enumerate(maps)}
        for j in range(len(maps) - 1):
            for i in reversed(range(j + 1)):
                beside = [*(nodes[k, j] for k in range(i + 1, j + 1)), maps[j + 1]]
                nodes[i, j] = node(i, j, nodes[i, j - 1], beside)
        x = nodes[0, len(maps) - 2]
        for j in range(len(maps) - 1, len(targets)):
            x = node(0, j, x, [])
        return x
