"""EfficientNet.

Reference: Tan & Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML
2019, arXiv:1905.11946.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import flax.linen as nn
from jax.nn import initializers

from jaxvision.models import layers
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
    torchvision_rules,
)
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames, conv_norm_rules, sequence_rules

# Table 1 of the paper: expansion, kernel size, output channels, blocks, stride of the first block.
STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
# Uniform within 1 / sqrt(num_classes), as in the paper's code and in torchvision.
HEAD_INIT = initializers.variance_scaling(1 / 3, "fan_out", "uniform")


class EfficientNet(InvertedResidualNet, kw_only=True):
    """An EfficientNet: B0 with its channels, blocks and images scaled up.

    The paper's code (TensorFlow) has `epsilon=1e-3` and `momentum=0.99`, and its convolutions of
    stride 2 pad images of even size asymmetrically. torchvision has the same two numbers for B5 to
    B7, but 1e-5 and 0.9 for B0 to B4, whose weights came from timm; torchvision's numbers are the
    defaults here. timm has 1e-5 for all sizes, so its B5 needs `epsilon=1e-5`: `load_weights` warns
    of this, and `load_pretrained` sets it. Feature maps and other attributes are those of
    `InvertedResidualNet`.

    Attributes:
        width_multiplier: Factor of B0's channels, which are then rounded to multiples of 8.
        depth_multiplier: Factor of the number of blocks in B0's stages, which is then rounded up.
        default_image_size: Height and width of the images that the size was designed for.
        stochastic_depth: Share of residuals that training drops at the end of the network; it rises
            linearly from 0 at the first block (0.2 in the paper).

    >>> efficientnet_b0(num_classes=10, stochastic_depth=0.1).stochastic_depth
    0.1
    """

    width_multiplier: float
    depth_multiplier: float
    # A field rather than a class variable, because each size has its own.
    default_image_size: int  # type: ignore[misc]
    stochastic_depth: float = 0.2
    activation: str = "silu"

    def __post_init__(self) -> None:
        check_width(self.width_multiplier)
        layers.check_rates(stochastic_depth=self.stochastic_depth)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the blocks, the last convolution and the head."""
        self.define(
            stem_channels=self._scaled(32),
            last_channels=self._scaled(1280),
            head_init=HEAD_INIT,
            squeeze_activation=self.activation,
        )

    @nn.nowrap
    def stages(self) -> Sequence[Sequence[BlockSpec]]:
        """Lists the blocks of Table 1 of the paper, scaled."""
        sizes = [math.ceil(num_blocks * self.depth_multiplier) for *_, num_blocks, _ in STAGES]
        before, number = self._scaled(32), 0
        stages = []
        for (expansion, kernel_size, channels, _, stride), size in zip(STAGES, sizes, strict=True):
            specs = []
            for i in range(size):
                spec = BlockSpec(
                    expanded=expansion * before,
                    features=self._scaled(channels),
                    kernel_size=kernel_size,
                    stride=stride if i == 0 else 1,
                    squeezed=before // 4,
                    activation=self.activation,
                    drop_rate=self.stochastic_depth * number / sum(sizes),
                )
                specs.append(spec)
                before, number = spec.features, number + 1
            stages.append(specs)
        return stages

    @nn.nowrap
    def _scaled(self, channels: int) -> int:
        return make_divisible(channels * self.width_multiplier)

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm have this model, with different names."""
        torchvision = torchvision_names(
            self.stages(), 1e-3 if self.width_multiplier > 1.5 else 1e-5
        )
        return {"torchvision": torchvision, "timm": TIMM_NAMES}


def torchvision_names(stages: Sequence[Sequence[BlockSpec]], epsilon: float) -> TorchNames:
    """Maps the parameters to torchvision's names, for models that have this `epsilon` there.

    >>> names = torchvision_names(efficientnet_b0().stages(), 1e-5)
    >>> names.find("stage2_block1/project/norm/scale", 1)[0]
    'features.2.1.block.3.1.weight'
    """
    return TorchNames(
        [
            *sequence_rules("stem", "features.0"),
            *torchvision_rules(stages, lambda match: f"features.{match[1]}.{match[2]}"),
            *sequence_rules("last", "features.8"),
            Rule(r"head", "classifier.1"),
        ],
        options={"epsilon": epsilon},
    )


TIMM_NAMES = TorchNames(
    [*TIMM_RULES, *TIMM_SQUEEZE_EXCITE, *conv_norm_rules("last", "conv_head", "bn2")],
    options={"epsilon": 1e-5},
)


class LargeEfficientNetOptions(InvertedResidualOptions, total=False):
    """Options with the same default for all sizes; see `EfficientNet`."""

    stochastic_depth: float


class EfficientNetOptions(LargeEfficientNetOptions, total=False):
    """Options with the same default for B0 to B4; see `EfficientNet`."""

    epsilon: float
    momentum: float


def _make(width: float, depth: float, image_size: int, **options: Any) -> EfficientNet:
    return EfficientNet(
        width_multiplier=width, depth_multiplier=depth, default_image_size=image_size, **options
    )


@register
def efficientnet_b0(
    *, dropout: float = 0.2, **options: Unpack[EfficientNetOptions]
) -> EfficientNet:
    """EfficientNet-B0: 5,288,548 parameters for 1000 classes, made for 224x224 images.

    >>> efficientnet_b0(num_classes=10).default_image_size
    224
    """
    return _make(1.0, 1.0, 224, dropout=dropout, **options)


@register
def efficientnet_b1(
    *, dropout: float = 0.2, **options: Unpack[EfficientNetOptions]
) -> EfficientNet:
    """EfficientNet-B1: 7,794,184 parameters for 1000 classes, made for 240x240 images.

    It has the channels of B0 and 1.1 times its blocks (the paper's code; section 3.3).
    """
    return _make(1.0, 1.1, 240, dropout=dropout, **options)


@register
def efficientnet_b2(
    *, dropout: float = 0.3, **options: Unpack[EfficientNetOptions]
) -> EfficientNet:
    """EfficientNet-B2: 9,109,994 parameters for 1000 classes, made for 260x260 images.

    It has 1.1 times the channels and 1.2 times the blocks of B0 (the paper's code; section 3.3).
    """
    return _make(1.1, 1.2, 260, dropout=dropout, **options)


@register
def efficientnet_b3(
    *, dropout: float = 0.3, **options: Unpack[EfficientNetOptions]
) -> EfficientNet:
    """EfficientNet-B3: 12,233,232 parameters for 1000 classes, made for 300x300 images.

    It has 1.2 times the channels and 1.4 times the blocks of B0 (the paper's code; section 3.3).
    """
    return _make(1.2, 1.4, 300, dropout=dropout, **options)


@register
def efficientnet_b4(
    *, dropout: float = 0.4, **options: Unpack[EfficientNetOptions]
) -> EfficientNet:
    """EfficientNet-B4: 19,341,616 parameters for 1000 classes, made for 380x380 images.

    It has 1.4 times the channels and 1.8 times the blocks of B0 (the paper's code; section 3.3).
    """
    return _make(1.4, 1.8, 380, dropout=dropout, **options)


@register
def efficientnet_b5(
    *,
    dropout: float = 0.4,
    epsilon: float = 1e-3,
    momentum: float = 0.99,
    **options: Unpack[LargeEfficientNetOptions],
) -> EfficientNet:
    """EfficientNet-B5: 30,389,784 parameters for 1000 classes, made for 456x456 images.

    It has 1.6 times the channels and 2.2 times the blocks of B0 (the paper's code; section 3.3).
    """
    return _make(1.6, 2.2, 456, dropout=dropout, epsilon=epsilon, momentum=momentum, **options)


@register
def efficientnet_b6(
    *,
    dropout: float = 0.5,
    epsilon: float = 1e-3,
    momentum: float = 0.99,
    **options: Unpack[LargeEfficientNetOptions],
) -> EfficientNet:
    """EfficientNet-B6: 43,040,704 parameters for 1000 classes, made for 528x528 images.

    It has 1.8 times the channels and 2.6 times the blocks of B0 (the paper's code; section 3.3).
    """
    return _make(1.8, 2.6, 528, dropout=dropout, epsilon=epsilon, momentum=momentum, **options)


@register
def efficientnet_b7(
    *,
    dropout: float = 0.5,
    epsilon: float = 1e-3,
    momentum: float = 0.99,
    **options: Unpack[LargeEfficientNetOptions],
) -> EfficientNet:
    """EfficientNet-B7: 66,347,960 parameters for 1000 classes, made for 600x600 images.

    It has 2.0 times the channels and 3.1 times the blocks of B0 (the paper's code; section 3.3).
    """
    return _make(2.0, 3.1, 600, dropout=dropout, epsilon=epsilon, momentum=momentum, **options)
