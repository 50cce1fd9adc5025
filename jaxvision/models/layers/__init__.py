"""What architectures share: convolution, normalization, activation, initialization, pooling."""

from jaxvision.models.layers.activations import (
    ACTIVATIONS,
    activation,
)
from jaxvision.models.layers.attention import (
    SqueezeExcite,
    StochasticDepth,
)
from jaxvision.models.layers.branches import (
    Branches,
    ConvStep,
    Step,
)
from jaxvision.models.layers.convolution import (
    ConvNorm,
    Size,
    conv,
)
from jaxvision.models.layers.initializers import (
    INITIALIZERS,
    Initializer,
    initializer,
)
from jaxvision.models.layers.normalization import (
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

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "NORMS",
    "Branches",
    "ConvNorm",
    "ConvStep",
    "Initializer",
    "NormActivation",
    "Size",
    "SqueezeExcite",
    "Step",
    "StochasticDepth",
    "activation",
    "adaptive_avg_pool",
    "avg_pool",
    "check_norm",
    "conv",
    "flatten",
    "global_average_pool",
    "initializer",
    "local_response_norm",
    "max_pool",
    "norm",
]
