"""Layers that weigh channels or examples."""

from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models.layers.activations import activation
from jaxvision.models.layers.initializers import INITIALIZERS, Initializer
from jaxvision.models.layers.pooling import global_average_pool


class SqueezeExcite(nn.Module, kw_only=True):
    """Scales every channel by what two dense layers make of the averages of all channels.

    Attributes:
        reduced: The channels between the two layers, `reduce` and `expand`.
        activation: The nonlinearity between them; see `layers.activation`.
        gate: What makes a factor of the result.
        kernel_init: The kernels to start from.
        dtype: What to compute in; None promotes types.

    Reference: Hu et al., Squeeze-and-excitation networks, CVPR 2018, arXiv:1709.01507, figure 2.

    >>> import jax, jax.numpy as jnp
    >>> layer = SqueezeExcite(reduced=4)
    >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((2, 8, 8, 16)))[0].shape
    (2, 8, 8, 16)
    """

    reduced: int
    activation: str = "relu"
    gate: str = "sigmoid"
    kernel_init: Initializer = INITIALIZERS["torch"]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """Computes the factors and applies them."""
        dense = partial(nn.Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        y = global_average_pool(x)
        y = activation(self.activation)(dense(self.reduced, name="reduce")(y))
        y = activation(self.gate)(dense(x.shape[-1], name="expand")(y))
        return x * y[:, None, None, :]


class StochasticDepth(nn.Module):
    """Drops a residual as a whole, by example, while training, and scales up those that stay.

    Attributes:
        rate: The share that is dropped.

    Reference: Huang et al., Deep networks with stochastic depth, ECCV 2016, arXiv:1603.09382.

    >>> import jax, jax.numpy as jnp
    >>> residuals = jnp.ones((1000, 2, 2, 3))
    >>> kept = StochasticDepth(0.2).apply(
    ...     {}, residuals, train=True, rngs={"dropout": jax.random.key(0)})
    >>> sorted(set(kept.ravel().tolist())), round(float(kept.mean()), 1)
    ([0.0, 1.25], 1.0)
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "batch *rest"], train: bool) -> Float[Array, "batch *rest"]:
        """Drops examples where `train` is True."""
        axes = tuple(range(1, x.ndim))
        return nn.Dropout(self.rate, broadcast_dims=axes)(x, deterministic=not train)


def check_rates(**rates: float) -> None:
    """Checks shares that training drops.

    Args:
        **rates: Shares by the names of the options.

    Raises:
        ValueError: One is not from 0 to below 1.

    >>> check_rates(dropout=0.1, stochastic_depth=0.0)
    """
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{name} must be in [0, 1), got {rate}")
