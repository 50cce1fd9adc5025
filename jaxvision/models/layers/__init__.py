"""What architectures share: convolution, normalization, activation, initialization, pooling."""

from jaxvision.models.layers.activations import ACTIVATIONS, activation
from jaxvision.models.layers.attention import SqueezeExcite, StochasticDepth
from jaxvision.models.layers.convolution import ConvNorm, Size, conv
from jaxvision.models.layers.initializers import INITIALIZERS, Initializer, initializer
from jaxvision.models.layers.normalization import NORMS, NormActivation, check_norm, norm
from jaxvision.models.layers.pooling import avg_pool, flatten, global_average_pool, max_pool

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "NORMS",
    "ConvNorm",
    "Initializer",
    "NormActivation",
    "Size",
    "SqueezeExcite",
    "StochasticDepth",
    "activation",
    "avg_pool",
    "check_norm",
    "conv",
    "flatten",
    "global_average_pool",
    "initializer",
    "max_pool",
    "norm",
]
