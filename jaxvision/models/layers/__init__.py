"""Layers that architectures share: convolution, normalization, activation, pooling, attention."""

from jaxvision.models.layers.activations import (
    ACTIVATIONS,
    activation,
)
from jaxvision.models.layers.branches import (
    Branches,
    BranchItem,
    ConvStep,
)
from jaxvision.models.layers.channel_attention import (
    SqueezeExcite,
)
from jaxvision.models.layers.channels import (
    channel_shuffle,
)
from jaxvision.models.layers.convolution import (
    ConvNorm,
    DoubledConvNorm,
    Size,
    conv,
)
from jaxvision.models.layers.initializers import (
    INITIALIZERS,
    Initializer,
    initializer,
)
from jaxvision.models.layers.normalization import (
    NORM_EPSILON,
    NORM_MOMENTUM,
    NORMS,
    NormActivation,
    check_norm,
    local_response_norm,
    norm,
)
from jaxvision.models.layers.pooling import (
    adaptive_avg_pool,
    avg_pool,
    flatten,
    global_average_pool,
    max_pool,
)
from jaxvision.models.layers.regularization import (
    StochasticDepth,
    check_rates,
)
from jaxvision.models.layers.transformer import (
    EncoderBlock,
    LayerScale,
    MLPBlock,
    MultiHeadAttention,
    PatchEmbedding,
    pad_to_multiple,
    resize_grid,
    rising_rates,
)
from jaxvision.models.layers.upsampling import (
    UPSAMPLING,
    Upsample,
    UpsamplingMethod,
    cut_to,
)
from jaxvision.models.layers.windows import (
    far_apart,
    join_windows,
    relative_positions,
    split_windows,
)

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "NORMS",
    "NORM_EPSILON",
    "NORM_MOMENTUM",
    "UPSAMPLING",
    "BranchItem",
    "Branches",
    "ConvNorm",
    "ConvStep",
    "DoubledConvNorm",
    "EncoderBlock",
    "Initializer",
    "LayerScale",
    "MLPBlock",
    "MultiHeadAttention",
    "NormActivation",
    "PatchEmbedding",
    "Size",
    "SqueezeExcite",
    "StochasticDepth",
    "Upsample",
    "UpsamplingMethod",
    "activation",
    "adaptive_avg_pool",
    "avg_pool",
    "channel_shuffle",
    "check_norm",
    "check_rates",
    "conv",
    "cut_to",
    "far_apart",
    "flatten",
    "global_average_pool",
    "initializer",
    "join_windows",
    "local_response_norm",
    "max_pool",
    "norm",
    "pad_to_multiple",
    "relative_positions",
    "resize_grid",
    "rising_rates",
    "split_windows",
]
