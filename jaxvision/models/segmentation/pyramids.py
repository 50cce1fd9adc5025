"""FPN and PSPNet: decoders that combine several scales.

References: Kirillov et al., Panoptic feature pyramid networks, CVPR 2019, arXiv:1901.02446 (and Lin
et al., CVPR 2017, arXiv:1612.03144). Zhao et al., Pyramid scene parsing network, CVPR 2017,
arXiv:1612.01105. Parameters are those of segmentation_models_pytorch.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from jaxvision.models import layers
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import Decoder, Map, Stages, size_of, spatial_dropout
from jaxvision.models.weights.names import Rule, TorchNames, renumbered, sequence_rules
from jaxvision.ops import resize


@register_module
class FPNDecoder(Decoder, kw_only=True):
    """Adds enlarged coarse maps to finer ones, refines each, and adds them all at the finest size.

    It decodes the four coarsest maps: strides 4 to 32 for most backbones.

    Attributes:
        pyramid_channels: Number of channels of the maps before they are refined.
        channels: Number of channels of the refined maps, and of the result.
        dropout: Probability that a channel of the result is dropped in training.
        norm: Normalization of the refining convolutions; see `layers.norm`.
        align_corners, axis_name, dtype: See `Decoder`.
    """

    pyramid_channels: int = 256
    channels: int = 128
    dropout: float = 0.2
    norm: str = "group"

    head_size: ClassVar[int] = 1
    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "smp": TorchNames(
            [
                Rule(r"decoder/lateral0", "decoder.p5"),
                Rule(r"decoder/lateral(\d)", renumbered("decoder.p{}.skip_conv", -1, 5)),
                *sequence_rules(
                    r"decoder/refine(\d)_(\d)", r"decoder.seg_blocks.\1.block.\2.block"
                ),
                Rule("head", "segmentation_head.0"),
            ]
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the finest that is decoded."""
        maps = [each for _, each in stages[-4:]][::-1]
        sizes = [size_of(each) for each in maps]
        x, levels = None, []
        for index, each in enumerate(maps):
            lateral = self.conv(self.pyramid_channels, 1, name=f"lateral{index}")(each)
            x = lateral if x is None else resize(x, sizes[index], "nearest") + lateral
            levels.append(x)
        refined = [self._refine(x, index, sizes, train) for index, x in enumerate(levels)]
        return spatial_dropout(self.dropout, train=train)(sum(refined))

    def _refine(self, x: Map, index: int, sizes: list[tuple[int, int]], train: bool) -> Map:
        """Convolves a map before each enlargement, and at least once."""
        larger = sizes[index + 1 :]
        for step in range(max(1, len(larger))):
            x = self.conv_norm(self.channels, 3, name=f"refine{index}_{step}")(x, train)
            if larger:
                x = resize(x, larger[step], align_corners=True)
        return x


@register_module
class PSPDecoder(Decoder, kw_only=True):
    """Appends to a map its averages over grids of 1x1, 2x2, 3x3 and 6x6 cells.

    Attributes:
        stride: Stride of the map; None takes the coarsest. The paper's backbone has
            `output_stride=8`.
        channels: Number of channels of the result.
        grids: Number of cells along a side of each grid.
        dropout: Probability that a channel of the result is dropped in training.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    stride: int | None = 8
    channels: int = 512
    grids: tuple[int, ...] = (1, 2, 3, 6)
    dropout: float = 0.2

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "smp": TorchNames(
            [
                *sequence_rules(r"decoder/grid(\d)", r"decoder.psp.blocks.\1.pool.1"),
                *sequence_rules(r"decoder/project", "decoder.conv"),
                Rule("head", "segmentation_head.0"),
            ]
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the one at `stride`."""
        maps = dict(stages)
        stride = [*maps][-1] if self.stride is None else self.stride
        if stride not in maps:
            raise ValueError(
                f"stride must be one of the backbone's, {', '.join(map(str, maps))}, or None, got "
                f"{self.stride}"
            )
        x = maps[stride]
        parts = []
        for index, cells in enumerate(self.grids):
            pooled = layers.adaptive_avg_pool(x, cells, cells)
            # One cell per image is too few for the statistics of a small batch.
            norm = None if cells == 1 else self.norm
            narrow = self.conv_norm(
                x.shape[-1] // len(self.grids), 1, norm=norm, name=f"grid{index}"
            )
            parts.append(resize(narrow(pooled, train), size_of(x), align_corners=True))
        y = self.conv_norm(self.channels, 1, name="project")(
            jnp.concatenate([*parts, x], axis=-1), train
        )
        return spatial_dropout(self.dropout, train=train)(y)
