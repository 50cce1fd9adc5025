"""Attention over channels."""

from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models.layers.activations import activation
from jaxvision.models.layers.initializers import INITIALIZERS, Initializer
from jaxvision.models.layers.pooling import global_average_pool


class SqueezeExcite(nn.Module, kw_only=True):
    """Scales each channel by a factor that two dense layers compute from the means of all channels.

    Attributes:
        reduced: Number of channels between the two layers, `reduce` and `expand`.
        activation: Nonlinearity between them; see `layers.activation`.
        gate: Nonlinearity after them, which gives the factors.
        kernel_init: Initializer of both kernels.
        dtype: Compute dtype; None promotes types.

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

    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """Multiplies the maps by `factors`."""
        return x * self.factors(x)

    @nn.compact
    def factors(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch 1 1 channels"]:
        """Computes the factor of each channel."""
        dense = partial(nn.Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        y = global_average_pool(x)
        y = activation(self.activation)(dense(self.reduced, name="reduce")(y))
        y = activation(self.gate)(dense(x.shape[-1], name="expand")(y))
        return y[:, None, None, :]
