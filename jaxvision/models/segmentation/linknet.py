"""LinkNet over any backbone.

Reference: Chaurasia & Culurciello, LinkNet: exploiting encoder representations for efficient
semantic segmentation, VCIP 2017, arXiv:1707.03718. Parameters are those of
segmentation_models_pytorch.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn

from jaxvision.models import layers
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import (
    KERNEL_INIT,
    Decoder,
    Map,
    Stages,
    doublings,
)
from jaxvision.models.weights.names import TRANSPOSED_CONV, Rule, TorchNames, sequence_rules
from jaxvision.ops import ConvTranspose


@register_module
class LinkNetDecoder(Decoder, kw_only=True):
    """Doubles the coarsest map up to the size of the images, and adds a map each time.

    Attributes:
        channels: Number of channels of the result.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    channels: int = 32

    head_size: ClassVar[int] = 1
    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "smp": TorchNames(
            [
                *sequence_rules(r"decoder/narrow(\d)", r"decoder.blocks.\1.block.0"),
                Rule(r"decoder/double(\d)", r"decoder.blocks.\1.block.1.0", TRANSPOSED_CONV),
                Rule(r"decoder/double_norm(\d)/norm", r"decoder.blocks.\1.block.1.1"),
                *sequence_rules(r"decoder/widen(\d)", r"decoder.blocks.\1.block.2"),
                Rule("head", "segmentation_head.0"),
            ]
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the images."""
        x = stages[-1][1]
        for index, (stride, skip, size) in enumerate(doublings(stages, image_size)):
            before = x.shape[-1]
            x = self._double(x, index, size, train)
            width = self.channels if stride == 1 else (before if skip is None else skip.shape[-1])
            x = self.conv_norm(width, 1, name=f"widen{index}")(x, train)
            x = x if skip is None else x + skip
        return x

    def _double(self, x: Map, index: int, size: tuple[int, int], train: bool) -> Map:
        """Makes a map with a quarter of the channels, twice as large, cropped to `size`."""
        width = x.shape[-1] // 4
        narrow = self.conv_norm(width, 1, name=f"narrow{index}")(x, train)
        double = ConvTranspose(
            width,
            (4, 4),
            strides=(2, 2),
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name=f"double{index}",
        )
        norm = layers.NormActivation(
            activation="relu", name=f"double_norm{index}", **self.options()
        )
        return norm(layers.cut_to(double(narrow), size), train)
