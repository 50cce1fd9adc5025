"""LeNet-5, in its modern form and as published.

Reference: LeCun et al., Gradient-based learning applied to document recognition, Proceedings of the
IEEE 86(11), 1998.
"""

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.checks import check_name
from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, Model, check_images
from jaxvision.models.registry import register

# Smaller images leave no pixels after two unpadded 5x5 convolutions, each followed by a pooling.
MIN_SIZE = 16

POOLINGS: dict[str, Callable[..., Array]] = {"max": layers.max_pool, "average": layers.avg_pool}

# Table I of the paper: for each of the sixteen maps of C3, the maps of S2 (0 to 5) that it takes.
C3_INPUTS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)


def scaled_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Computes the paper's activation 1.7159 tanh(2x / 3), which maps 1 to 1 (appendix A).

    >>> round(float(scaled_tanh(jnp.array(1.0))), 4)
    1.0
    """
    return 1.7159 * jnp.tanh(x * (2 / 3))


class SparseConv(nn.Module):
    """The unpadded 5x5 convolution C3, in which each map takes only some of the maps before it.

    It stores only the kernels listed in Table I, 60 of 96 possible ones, as (5, 5, 60).

    >>> layer = SparseConv()
    >>> variables = jax.eval_shape(layer.init, jax.random.key(0), jnp.ones((1, 14, 14, 6)))
    >>> sum(p.size for p in jax.tree.leaves(variables))
    1516
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width 6"]
    ) -> Float[Array, "batch out_height out_width 16"]:
        """Convolves with a dense kernel, whose missing connections are zero."""
        outputs = np.repeat(np.arange(16), [len(inputs) for inputs in C3_INPUTS])
        inputs = np.concatenate(C3_INPUTS)
        fan_in = 25 * np.bincount(outputs)[outputs]

        def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
            return jax.random.normal(key, shape, dtype) / np.sqrt(fan_in).astype(dtype)

        stored = self.param("kernel", init, (5, 5, len(inputs)), jnp.float32)
        bias = self.param("bias", initializers.zeros, (16,), jnp.float32)
        x, stored, bias = nn.dtypes.promote_dtype(x, stored, bias, dtype=self.dtype)
        kernel = jnp.zeros((5, 5, 6, 16), x.dtype).at[:, :, inputs, outputs].set(stored)
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=dimensions)
        return y + bias


class SubSampling(nn.Module):
    """The paper's pooling: per map, the sums of 2x2 windows times a coefficient, plus a bias.

    It starts as average pooling.

    >>> layer = SubSampling()
    >>> layer.init_with_output(jax.random.key(0), jnp.full((1, 2, 2, 1), 3.0))[0].item()
    3.0
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width channels"]:
        """Halves height and width."""
        channels = x.shape[-1:]
        coefficient = self.param("coefficient", initializers.constant(0.25), channels, jnp.float32)
        bias = self.param("bias", initializers.zeros, channels, jnp.float32)
        x, coefficient, bias = nn.dtypes.promote_dtype(x, coefficient, bias, dtype=self.dtype)
        return 4 * layers.avg_pool(x, 2) * coefficient + bias


class LeNet5(Model, kw_only=True):
    """LeNet-5, with the paper's layer names c1, s2, c3, s4, c5 and f6; the last layer is `head`.

    The convolutions are not padded: a 32x32 image gives maps of 14x14 (stride 2) and 5x5 (stride
    4). The model only takes images of the size it was initialized with, at least 16x16. `embed` is
    F6.

    Attributes:
        activation: Name of the nonlinearity; see `layers.activation`.
        pooling: "max" or "average".
        original: Whether to build the paper's network, with its own activation and pooling.
    """

    num_classes: int = 10
    activation: str = "relu"
    pooling: str = "max"
    original: bool = False

    default_image_size: ClassVar[int] = 32

    def __post_init__(self) -> None:
        layers.activation(self.activation)
        check_name("pooling", self.pooling, POOLINGS)
        if self.original and (self.activation, self.pooling) != ("relu", "max"):
            raise ValueError(
                "original=True has the paper's own activation and pooling; leave out "
                f"activation={self.activation!r} and pooling={self.pooling!r}"
            )
        super().__post_init__()

    def setup(self) -> None:
        """Defines the layers."""
        self.c1 = layers.conv(6, 5, padding=0, dtype=self.dtype)
        dense_c3 = layers.conv(16, 5, padding=0, dtype=self.dtype)
        self.c3 = SparseConv(dtype=self.dtype) if self.original else dense_c3
        if self.original:
            self.s2 = SubSampling(dtype=self.dtype)
            self.s4 = SubSampling(dtype=self.dtype)
        self.c5 = nn.Dense(120, dtype=self.dtype)
        self.f6 = nn.Dense(84, dtype=self.dtype)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes S2 (stride 2) and S4 (stride 4)."""
        x = check_images(
            x,
            self.in_channels,
            MIN_SIZE,
            remedy="pad or resize them (MNIST's 28x28 were padded to 32x32 in the paper)",
        )
        if self.original:
            s2 = scaled_tanh(self.s2(scaled_tanh(self.c1(x))))
            s4 = scaled_tanh(self.s4(scaled_tanh(self.c3(s2))))
        else:
            activation = layers.activation(self.activation)
            pool = POOLINGS[self.pooling]
            s2 = pool(activation(self.c1(x)), 2)
            s4 = pool(activation(self.c3(s2)), 2)
        return {2: s2, 4: s4}

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes F6, 84 values."""
        activation = scaled_tanh if self.original else layers.activation(self.activation)
        s4 = self.features(x, train)[4]
        # On the paper's 32x32 images, C5's 5x5 kernel covers all of S4, so C5 is a dense layer.
        c5 = activation(self.c5(layers.flatten(s4)))
        f6: Float[Array, "batch features"] = activation(self.f6(c5))
        return f6


@register
def lenet5(
    *,
    num_classes: int = 10,
    in_channels: int | None = None,
    dtype: DTypeLike | None = None,
    activation: str = "relu",
    pooling: str = "max",
    original: bool = False,
) -> LeNet5:
    """Builds LeNet-5: 61,706 parameters for 32x32 gray images, 60,850 as published.

    By default, it is the modern form: C3 takes all maps, pooling has no parameters, and ReLU and
    max-pooling replace tanh and averages because they train better. `original=True` builds the
    paper's network (section II.B): C3 is connected as in Table I, sub-sampling has trainable
    coefficients and biases, and the activation is a scaled tanh. The output differs from the
    paper's: a linear layer replaces distances to fixed codes. Kernels start with a variance of
    1/fan_in.

    Args:
        num_classes: Number of logits.
        in_channels: Number of image channels; None takes that of the images at initialization.
        dtype: Dtype of the computation; None promotes the dtypes of images and parameters.
        activation: Name of the nonlinearity; see `layers.activation`.
        pooling: "max" or "average".
        original: Whether to build the paper's network, with its own activation and pooling.

    Raises:
        ValueError: An option has a value that is not allowed, or `activation` or `pooling` is given
            together with `original`.

    >>> model = lenet5(original=True)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    >>> sum(p.size for p in jax.tree.leaves(variables))
    60850
    """
    return LeNet5(
        num_classes=num_classes,
        in_channels=in_channels,
        dtype=dtype,
        activation=activation,
        pooling=pooling,
        original=original,
    )
