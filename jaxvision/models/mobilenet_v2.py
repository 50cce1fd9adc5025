"""MobileNetV2.

Reference: Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018,
arXiv:1801.04381.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

import flax.linen as nn

from jaxvision.models import layers
from jaxvision.models.inverted_residual import (
    BlockSpec,
    InvertedResidualNet,
    InvertedResidualOptions,
    check_width,
    make_divisible,
)
from jaxvision.models.inverted_residual_names import BLOCK, TIMM_RULES, block_number, part_number
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames, conv_norm_rules, sequence_rules

# Table 2 of the paper: expansion, output channels, number of blocks, stride of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(InvertedResidualNet, kw_only=True):
    """A MobileNetV2; its feature maps and other attributes are those of `InvertedResidualNet`.

    `epsilon` is 1e-5, as in torchvision and timm. In the paper's code (TensorFlow) it is 1e-3, and
    convolutions of stride 2 pad images of even size only after the last row and column.

    Attributes:
        width_multiplier: Factor of the numbers of channels (0.35 to 1.4 in the paper), which are
            then rounded to multiples of 8. The last convolution never has fewer than 1280.

    >>> mobilenet_v2(num_classes=10).width_multiplier
    1.0
    """

    width_multiplier: float = 1.0

    def __post_init__(self) -> None:
        check_width(self.width_multiplier)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the layers."""
        self.define(
            stem_channels=make_divisible(32 * self.width_multiplier),
            last_channels=make_divisible(1280 * max(1.0, self.width_multiplier)),
            head_init=layers.initializer("normal_0.01"),
        )

    @nn.nowrap
    def stages(self) -> Sequence[Sequence[BlockSpec]]:
        """Lists the blocks of Table 2 of the paper."""
        before = make_divisible(32 * self.width_multiplier)
        stages = []
        for expansion, channels, num_blocks, stride in STAGES:
            features = make_divisible(channels * self.width_multiplier)
            inputs = [before] + [features] * (num_blocks - 1)
            stages.append(
                [
                    BlockSpec(
                        expanded=expansion * width,
                        features=features,
                        stride=stride if i == 0 else 1,
                        activation=self.activation,
                    )
                    for i, width in enumerate(inputs)
                ]
            )
            before = features
        return stages

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm have this model; timm calls it mobilenetv2_100."""
        return {"torchvision": torchvision_names(self.stages()), "timm": TIMM_NAMES}


def torchvision_names(stages: Sequence[Sequence[BlockSpec]]) -> TorchNames:
    """Maps the parameters to torchvision's names, which number the blocks through all stages.

    >>> names = torchvision_names(mobilenet_v2().stages())
    >>> names.find("stage2_block1/project/norm/scale", 1)[0]
    'features.3.conv.3.weight'
    """

    def name(offset: int, end: str = "") -> Callable[[re.Match[str]], str]:
        def fill(match: re.Match[str]) -> str:
            block, part = block_number(stages, match) + 1, part_number(stages, match) + offset
            return f"features.{block}.conv.{part}{end}"

        return fill

    last = 1 + sum(len(specs) for specs in stages)
    return TorchNames(
        [
            *sequence_rules("stem", "features.0"),
            *conv_norm_rules(f"{BLOCK}/(project)", name(0), name(1)),
            *conv_norm_rules(rf"{BLOCK}/(\w+)", name(0, ".0"), name(0, ".1")),
            *sequence_rules("last", f"features.{last}"),
            Rule(r"head", "classifier.1"),
        ]
    )


TIMM_NAMES = TorchNames([*TIMM_RULES, *conv_norm_rules("last", "conv_head", "bn2")])


class MobileNetV2Options(InvertedResidualOptions, total=False):
    """Options of a MobileNetV2; see `MobileNetV2`."""

    width_multiplier: float
    dropout: float
    epsilon: float
    momentum: float


@register
def mobilenet_v2(**options: Unpack[MobileNetV2Options]) -> MobileNetV2:
    """MobileNetV2: 3,504,872 parameters for 1000 classes (Table 2 of the paper).

    >>> mobilenet_v2(num_classes=10, width_multiplier=1.4).width_multiplier
    1.4
    """
    return MobileNetV2(**options)
