"""Normalization layers by name."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.checks import check_name
from jaxvision.models.layers.activations import activation
from jaxvision.models.layers.initializers import Initializer

NORMS = ("batch", "group", "instance", "layer")

# The defaults of PyTorch. Flax has 0.99, and 1e-6 except in BatchNorm.
NORM_MOMENTUM = 0.9
NORM_EPSILON = 1e-5


def check_norm(name: str) -> None:
    """Raises a `ValueError` unless the name is in `NORMS`.

    >>> check_norm("batch")
    """
    check_name("norm", name, NORMS)


def norm(
    kind: str,
    channels: int,
    *,
    train: bool,
    dtype: DTypeLike | None = None,
    epsilon: float = NORM_EPSILON,
    momentum: float = NORM_MOMENTUM,
    axis_name: str | None = None,
    scale_init: Initializer = initializers.ones,
    name: str | None = None,
) -> nn.Module:
    """Makes a normalization layer with a scale and a bias per channel.

    Statistics are computed in float32 or better. The defaults are PyTorch's.

    Args:
        kind: Which values share a mean and a variance: "batch", a channel of the batch (Ioffe &
            Szegedy, ICML 2015, arXiv:1502.03167); "layer", the channels of a pixel (Ba et al.,
            2016, arXiv:1607.06450); "instance", a channel of an image (Ulyanov et al., 2016,
            arXiv:1607.08022); "group", a group of channels of an image, in 32 groups or the most
            that divide both 32 and the channels (Wu & He, ECCV 2018, arXiv:1803.08494).
        channels: Number of channels of the input.
        train: Whether "batch" uses the statistics of the batch rather than the running ones. Those
            of an empty batch are NaN.
        dtype: Compute dtype; None promotes types.
        epsilon: Added to the variance.
        momentum: Share of the running statistics that "batch" keeps per step (1 minus PyTorch's).
        axis_name: Mapped axis (`jax.pmap`, `jax.vmap`) across which "batch" averages its
            statistics. The other kinds normalize each image by itself and ignore it.
        scale_init: Initializer of the scale.
        name: Name of the layer, in a compact method.

    Raises:
        ValueError: There is no such kind.

    >>> import jax, jax.numpy as jnp
    >>> layer = norm("group", 64, train=False)
    >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((2, 8, 8, 64)))[0].shape
    (2, 8, 8, 64)
    """
    check_norm(kind)
    if kind == "batch":
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=momentum,
            epsilon=epsilon,
            dtype=dtype,
            axis_name=axis_name,
            scale_init=scale_init,
            name=name,
        )
    shared: dict[str, Any] = {
        "epsilon": epsilon,
        "dtype": dtype,
        "scale_init": scale_init,
        "name": name,
    }
    if kind == "group":
        return nn.GroupNorm(num_groups=math.gcd(32, channels), **shared)
    return nn.LayerNorm(**shared) if kind == "layer" else nn.InstanceNorm(**shared)


def local_response_norm(
    x: Float[Array, "*rest channels"],
    window: int = 5,
    *,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
) -> Float[Array, "*rest channels"]:
    """Divides each value by (k + alpha s)^beta, where s sums the squares of neighboring channels.

    It has no parameters. (PyTorch and Caffe divide their alpha by the window.)

    Args:
        x: Feature maps.
        window: Number of channels that are summed, odd, with the value's own in the middle.
        k: Constant added to the scaled sum.
        alpha: Factor of the sum of squares.
        beta: Exponent of the divisor.

    Raises:
        ValueError: `window` is even or less than 1.

    Reference: Krizhevsky et al., ImageNet classification with deep convolutional neural networks,
    NIPS 2012, section 3.3, whose constants are the defaults.

    >>> local_response_norm(jnp.array([1.0, 1.0]), alpha=1.0, beta=0.5).tolist()
    [0.5, 0.5]
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and 1 or more, got {window}")
    channels = x.shape[-1]
    squares = jnp.square(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
    edges = [(0, 0)] * (x.ndim - 1) + [(window // 2, window // 2)]
    padded = jnp.pad(squares, edges)
    sums = sum(padded[..., i : i + channels] for i in range(window))
    return (x * (k + alpha * sums) ** -beta).astype(x.dtype)


class NormActivation(nn.Module, kw_only=True):
    """A normalization and an activation, which precede a convolution in some networks.

    Attributes:
        norm, epsilon, momentum, axis_name, dtype: See `layers.norm`.
        activation: See `layers.activation`.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = NormActivation(activation="relu")
    >>> init = functools.partial(layer.init, train=False)
    >>> variables = jax.eval_shape(init, jax.random.key(0), jnp.ones((2, 9, 9, 3)))
    >>> sorted(variables["params"])
    ['norm']
    """

    norm: str = "batch"
    activation: str = "identity"
    epsilon: float = NORM_EPSILON
    momentum: float = NORM_MOMENTUM
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch height width channels"]:
        """Applies the normalization and the activation."""
        x = norm(
            self.norm,
            x.shape[-1],
            train=train,
            dtype=self.dtype,
            epsilon=self.epsilon,
            momentum=self.momentum,
            axis_name=self.axis_name,
            name="norm",
        )(x)
        return activation(self.activation)(x)
