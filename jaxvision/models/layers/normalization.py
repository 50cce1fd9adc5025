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

# As in PyTorch; Flax has 0.99, and 1e-6 for all but BatchNorm.
NORM_MOMENTUM = 0.9
NORM_EPSILON = 1e-5


def check_norm(name: str) -> None:
    """Checks the name of a normalization.

    Args:
        name: "batch", "group", "instance" or "layer".

    Raises:
        ValueError: There is no such normalization.

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

    Statistics are taken in float32 or better. The defaults are PyTorch's.

    Args:
        kind: What shares a mean and a variance: "batch", a channel of the batch (Ioffe & Szegedy,
            ICML 2015, arXiv:1502.03167); "layer", the channels of a pixel (Ba et al., 2016,
            arXiv:1607.06450); "instance", a channel of an image (Ulyanov et al., 2016,
            arXiv:1607.08022); "group", a group of channels of an image, in 32 groups or the most
            that divide both 32 and the channels (Wu & He, ECCV 2018, arXiv:1803.08494).
        channels: The channels of what will be normalized.
        train: Whether "batch" takes the statistics of the batch, rather than the running ones. A
            batch without rows then has none: they become NaN.
        dtype: What to compute in; None promotes types.
        epsilon: What is added to the variance.
        momentum: What "batch" keeps of its running statistics per step (PyTorch names the rest).
        axis_name: A mapped axis (`jax.pmap`, `jax.vmap`) across which "batch" averages its
            statistics. The other kinds do not look beyond an image, and ignore it.
        scale_init: The scale to start from.
        name: The layer's name, in a compact method.

    Returns:
        The layer.

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
        window: How many channels are summed, an odd number, with the value's own in the middle.
        k: What is added to the scaled sum.
        alpha: What the sum of squares is multiplied by.
        beta: The power of the divisor.

    Returns:
        Maps of the same shape.

    Raises:
        ValueError: The window is even or less than 1.

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
    """A normalization and an activation: what comes before a convolution in some networks.

    Attributes:
        norm: See `norm`.
        activation: See `activation`.
        epsilon: See `norm`.
        momentum: See `norm`.
        axis_name: See `norm`.
        dtype: What to compute in; None promotes types.

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
        """Applies the two in turn."""
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
