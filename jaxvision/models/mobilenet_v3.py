"""MobileNetV3.

Reference: Howard et al., Searching for MobileNetV3, ICCV 2019, arXiv:1905.02244.
"""

from collections.abc import Mapping, Sequence
from typing import Unpack

import flax.linen as nn
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images
from jaxvision.models.inverted_residual import (
    BlockSpec,
    InvertedResidualNet,
    InvertedResidualOptions,
    check_width,
    make_divisible,
)
from jaxvision.models.inverted_residual_names import (
    TIMM_RULES,
    TIMM_SQUEEZE_EXCITE,
    block_number,
    torchvision_rules,
)
from jaxvision.models.registry import register
from jaxvision.models.weights.names import (
    DENSE_AS_CONV,
    Rule,
    TorchNames,
    conv_norm_rules,
    sequence_rules,
)

Row = tuple[int, int, int, bool, bool, int]
"""Kernel size, expanded channels, output channels, squeeze-and-excitation, h-swish, stride."""

# Table 1 of the paper; a stage begins where the output channels change.
LARGE: tuple[tuple[Row, ...], ...] = (
    ((3, 16, 16, False, False, 1),),
    ((3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1)),
    ((5, 72, 40, True, False, 2), *((5, 120, 40, True, False, 1),) * 2),
    (
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        *((3, 184, 80, False, True, 1),) * 2,
    ),
    ((3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1)),
    ((5, 672, 160, True, True, 2), *((5, 960, 160, True, True, 1),) * 2),
)
# Table 2 of the paper.
SMALL: tuple[tuple[Row, ...], ...] = (
    ((3, 16, 16, True, False, 2),),
    ((3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1)),
    ((5, 96, 40, True, True, 2), *((5, 240, 40, True, True, 1),) * 2),
    ((5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1)),
    ((5, 288, 96, True, True, 2), *((5, 576, 96, True, True, 1),) * 2),
)


class MobileNetV3(InvertedResidualNet, kw_only=True):
    """A MobileNetV3; its feature maps and other attributes are those of `InvertedResidualNet`.

    A dense layer, `hidden`, follows the average over space; `embed` is its output, before dropout.
    `activation` replaces h-swish; blocks that have ReLU in the paper keep it.

    `epsilon` is 1e-3 and `momentum` 0.99, as in torchvision and the paper's code. timm's weights
    (mobilenetv3_large_100, mobilenetv3_small_100) need `epsilon=1e-5`: `load_weights` warns of
    this, and `load_pretrained` sets it.

    Attributes:
        rows: Table 1 or 2 of the paper, by stages.
        hidden_channels: Length of the embedding, 1280 or 1024 in the paper.
        width_multiplier: Factor of the numbers of channels, which are then rounded to multiples of
            8, as in torchvision. (timm's variants of other widths differ in the expanded channels.)

    >>> mobilenet_v3_small(num_classes=10).hidden_channels
    1024
    """

    rows: tuple[tuple[Row, ...], ...]
    hidden_channels: int
    width_multiplier: float = 1.0
    activation: str = "hard_swish"
    epsilon: float = 1e-3
    momentum: float = 0.99

    def __post_init__(self) -> None:
        check_width(self.width_multiplier)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the layers; the dense ones start as in torchvision."""
        dense_init = layers.initializer("normal_0.01")
        self.define(
            stem_channels=make_divisible(16 * self.width_multiplier),
            last_channels=6 * self.stages()[-1][-1].features,
            head_init=dense_init,
            squeeze_gate="hard_sigmoid",
        )
        self.hidden = nn.Dense(
            make_divisible(self.hidden_channels * self.width_multiplier),
            dtype=self.dtype,
            kernel_init=dense_init,
        )

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Applies the hidden layer to the average of the last map."""
        average = super().embed(x, train)
        vector: Float[Array, "batch features"] = layers.activation(self.activation)(
            self.hidden(average)
        )
        return vector

    @nn.nowrap
    def stages(self) -> Sequence[Sequence[BlockSpec]]:
        """Lists the blocks of the table, with multiplied channels."""
        return [[self._spec(row) for row in rows] for rows in self.rows]

    @nn.nowrap
    def _spec(self, row: Row) -> BlockSpec:
        kernel_size, expanded, features, squeezes, swishes, stride = row
        expanded = make_divisible(expanded * self.width_multiplier)
        return BlockSpec(
            expanded=expanded,
            features=make_divisible(features * self.width_multiplier),
            kernel_size=kernel_size,
            stride=stride,
            squeezed=make_divisible(expanded // 4) if squeezes else 0,
            activation=self.activation if swishes else "relu",
        )

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm (mobilenetv3_large_100, mobilenetv3_small_100) have these models."""
        stages = self.stages()
        return {"torchvision": torchvision_names(stages), "timm": timm_names(len(stages))}


def torchvision_names(stages: Sequence[Sequence[BlockSpec]]) -> TorchNames:
    """Maps the parameters to torchvision's names, which number the blocks through all stages.

    >>> names = torchvision_names(mobilenet_v3_small().stages())
    >>> names.find("stage2_block1/project/norm/scale", 1)[0]
    'features.3.block.2.1.weight'
    """
    last = 1 + sum(len(specs) for specs in stages)
    return TorchNames(
        [
            *sequence_rules("stem", "features.0"),
            *torchvision_rules(stages, lambda match: f"features.{1 + block_number(stages, match)}"),
            *sequence_rules("last", f"features.{last}"),
            Rule(r"hidden", "classifier.0"),
            Rule(r"head", "classifier.3"),
        ],
        options={"epsilon": 1e-3},
    )


def timm_names(num_stages: int) -> TorchNames:
    """Maps the parameters to timm's names, in which the last convolution is a stage of its own.

    >>> timm_names(6).find("last/conv/kernel", 4)[0]
    'blocks.6.0.conv.weight'
    """
    return TorchNames(
        [
            *TIMM_RULES,
            *TIMM_SQUEEZE_EXCITE,
            *conv_norm_rules("last", f"blocks.{num_stages}.0.conv", f"blocks.{num_stages}.0.bn1"),
            Rule(r"hidden", "conv_head", DENSE_AS_CONV),
        ],
        options={"epsilon": 1e-5},
    )


class MobileNetV3Options(InvertedResidualOptions, total=False):
    """Options of a MobileNetV3; see `MobileNetV3`."""

    width_multiplier: float
    dropout: float
    epsilon: float
    momentum: float


@register
def mobilenet_v3_large(**options: Unpack[MobileNetV3Options]) -> MobileNetV3:
    """MobileNetV3-Large: 5,483,032 parameters for 1000 classes (Table 1 of the paper).

    >>> mobilenet_v3_large(num_classes=10).hidden_channels
    1280
    """
    return MobileNetV3(rows=LARGE, hidden_channels=1280, **options)


@register
def mobilenet_v3_small(**options: Unpack[MobileNetV3Options]) -> MobileNetV3:
    """MobileNetV3-Small: 2,542,856 parameters for 1000 classes (Table 2 of the paper)."""
    return MobileNetV3(rows=SMALL, hidden_channels=1024, **options)
