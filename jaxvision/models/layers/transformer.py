"""Layers of transformers, some of which other networks use too."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models.layers.activations import activation
from jaxvision.models.layers.convolution import conv
from jaxvision.models.layers.initializers import INITIALIZERS, Initializer
from jaxvision.models.layers.normalization import NORM_EPSILON, norm
from jaxvision.models.layers.regularization import StochasticDepth


def rising_rates(last: float, num_blocks: int) -> tuple[float, ...]:
    """Makes one rate of stochastic depth per block, rising linearly from 0 to `last`.

    >>> rising_rates(0.2, 5)
    (0.0, 0.05, 0.1, 0.15000000000000002, 0.2)
    """
    return tuple(last * i / max(1, num_blocks - 1) for i in range(num_blocks))


class MultiHeadAttention(nn.Module, kw_only=True):
    """Self-attention: each token becomes an average of all, weighted by how well they match it.

    Attributes:
        num_heads: Number of averages; each is over its own share of the channels.
        attention_dropout: Dropout rate of the weights of the averages.
        dropout: Dropout rate of the outputs.
        kernel_init: Initializer of the kernels `qkv` (queries, keys and values, in this order) and
            `out`.
        dtype: Compute dtype; None promotes types. Weights are computed in float32 or better.

    Reference: Vaswani et al., Attention is all you need, NeurIPS 2017, arXiv:1706.03762, section
    3.2.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = MultiHeadAttention(num_heads=2)
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> jax.eval_shape(start, jax.random.key(0), jnp.ones((2, 5, 8)))[0].shape
    (2, 5, 8)
    """

    num_heads: int
    attention_dropout: float = 0.0
    dropout: float = 0.0
    kernel_init: Initializer = INITIALIZERS["glorot_uniform"]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch tokens channels"],
        train: bool,
        bias: Float[Array, "*some heads tokens tokens"] | None = None,
    ) -> Float[Array, "*batch tokens channels"]:
        """Attends; `bias` is added to the scores of queries (rows) for keys (columns)."""
        channels = x.shape[-1]
        if channels % self.num_heads:
            raise ValueError(
                f"the channels must divide into heads of one size, got {channels} channels and "
                f"{self.num_heads} heads"
            )
        dense = partial(nn.Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        qkv = dense(3 * channels, name="qkv")(x)
        per_head = channels // self.num_heads
        qkv = qkv.reshape(*x.shape[:-1], 3, self.num_heads, per_head)
        query, key, value = (qkv[..., i, :, :] for i in range(3))
        wide = jnp.promote_types(qkv.dtype, jnp.float32)
        scores = jnp.einsum(
            "...qhc,...khc->...hqk", query * per_head**-0.5, key, preferred_element_type=wide
        )
        if bias is not None:
            scores = scores + bias.astype(wide)
        weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
        weights = nn.Dropout(self.attention_dropout)(weights, deterministic=not train)
        y = jnp.einsum("...hqk,...khc->...qhc", weights, value).reshape(x.shape)
        y = dense(channels, name="out")(y)
        return nn.Dropout(self.dropout)(y, deterministic=not train)


class MLPBlock(nn.Module, kw_only=True):
    """Two dense layers with a nonlinearity between them, on the last axis.

    Attributes:
        hidden: Number of channels between the two layers, `dense1` and `dense2`.
        activation: Nonlinearity; see `layers.activation`.
        dropout: Dropout rate of the outputs of each layer.
        kernel_init: Initializer of both kernels.
        dtype: Compute dtype; None promotes types.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = MLPBlock(hidden=32)
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> jax.eval_shape(start, jax.random.key(0), jnp.ones((2, 5, 8)))[0].shape
    (2, 5, 8)
    """

    hidden: int
    activation: str = "gelu"
    dropout: float = 0.0
    kernel_init: Initializer = INITIALIZERS["glorot_uniform"]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch channels"], train: bool
    ) -> Float[Array, "*batch channels"]:
        """Applies the two layers."""
        dense = partial(nn.Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        y = activation(self.activation)(dense(self.hidden, name="dense1")(x))
        y = nn.Dropout(self.dropout)(y, deterministic=not train)
        y = dense(x.shape[-1], name="dense2")(y)
        return nn.Dropout(self.dropout)(y, deterministic=not train)


class EncoderBlock(nn.Module, kw_only=True):
    """Attention between tokens, then two dense layers per token, each added to its input.

    Attributes:
        num_heads, attention_dropout: See `layers.MultiHeadAttention`.
        hidden, activation: See `layers.MLPBlock`.
        dropout: Dropout rate of single values, in both residuals.
        stochastic_depth: Dropout rate of whole residuals; see `layers.StochasticDepth`.
        epsilon: Added to the variance in both layer normalizations.
        dtype: Compute dtype; None promotes types.

    Reference: Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021, arXiv:2010.11929,
    figure 1.

    >>> import functools, jax, jax.numpy as jnp
    >>> layer = EncoderBlock(num_heads=2, hidden=32)
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> jax.eval_shape(start, jax.random.key(0), jnp.ones((2, 5, 8)))[0].shape
    (2, 5, 8)
    """

    num_heads: int
    hidden: int
    activation: str = "gelu"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    epsilon: float = NORM_EPSILON
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens channels"], train: bool
    ) -> Float[Array, "batch tokens channels"]:
        """Adds both residuals."""
        attention = MultiHeadAttention(
            num_heads=self.num_heads,
            attention_dropout=self.attention_dropout,
            dropout=self.dropout,
            dtype=self.dtype,
            name="attention",
        )
        mlp = MLPBlock(
            hidden=self.hidden,
            activation=self.activation,
            dropout=self.dropout,
            dtype=self.dtype,
            name="mlp",
        )
        for i, residual in enumerate((attention, mlp), start=1):
            normalize = norm(
                "layer",
                x.shape[-1],
                train=train,
                dtype=self.dtype,
                epsilon=self.epsilon,
                name=f"norm{i}",
            )
            x = x + StochasticDepth(self.stochastic_depth)(residual(normalize(x), train), train)
        return x


class LayerScale(nn.Module, kw_only=True):
    """Scales each channel of a residual by a parameter that starts small.

    Attributes:
        start: Initial value of the parameter, `factor`.
        dtype: Compute dtype; None promotes types.

    Reference: Touvron et al., Going deeper with image transformers, ICCV 2021, arXiv:2103.17239.

    >>> import jax, jax.numpy as jnp
    >>> layer = LayerScale(start=0.5)
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((1, 3)))[0].tolist()
    [[0.5, 0.5, 0.5]]
    """

    start: float = 1e-6
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        """Scales the last axis."""
        factor = self.param(
            "factor", initializers.constant(self.start), (x.shape[-1],), jnp.float32
        )
        x, factor = nn.dtypes.promote_dtype(x, factor, dtype=self.dtype)
        return x * factor


class PatchEmbedding(nn.Module, kw_only=True):
    """Cuts images into square patches and maps each to a vector by a dense layer.

    The dense layer is a convolution, `conv`, whose kernel and stride have the size of a patch.

    Attributes:
        features: Length of the vectors.
        patch_size: Height and width of a patch.
        pad: Whether to complete the last patches by zeros below and on the right; otherwise, pixels
            that do not fill a patch are left out.
        norm: Whether a layer normalization of the vectors, `norm`, follows.
        epsilon: Added to the variance in `norm`.
        kernel_init: Initializer of the kernel.
        dtype: Compute dtype; None promotes types.

    >>> import jax, jax.numpy as jnp
    >>> layer = PatchEmbedding(features=8, patch_size=4, pad=True)
    >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((2, 9, 12, 3)))[0].shape
    (2, 3, 3, 8)
    """

    features: int
    patch_size: int
    pad: bool = False
    norm: bool = False
    epsilon: float = NORM_EPSILON
    kernel_init: Initializer = INITIALIZERS["lecun_normal"]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns features"]:
        """Computes a map with one vector per patch."""
        if self.pad:
            x = pad_to_multiple(x, self.patch_size)
        x = conv(
            self.features,
            self.patch_size,
            stride=self.patch_size,
            padding=0,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        if self.norm:
            x = norm(
                "layer",
                self.features,
                train=False,
                dtype=self.dtype,
                epsilon=self.epsilon,
                name="norm",
            )(x)
        return x


def pad_to_multiple(
    x: Float[Array, "batch height width channels"], size: int
) -> Float[Array, "batch padded_height padded_width channels"]:
    """Pads maps by zeros below and on the right, until both sides are multiples of `size`.

    >>> pad_to_multiple(jnp.ones((1, 7, 8, 1)), 4).shape
    (1, 8, 8, 1)
    """
    below, right = -x.shape[1] % size, -x.shape[2] % size
    return jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0))) if below or right else x


def resize_grid(
    x: Float[Array, "height width channels"], height: int, width: int
) -> Float[Array, "new_height new_width channels"]:
    """Resizes parameters that lie on a grid, such as position embeddings, to another grid.

    The interpolation is bicubic with antialiasing, as in timm and Pillow. A grid that already has
    the size is returned unchanged.

    >>> resize_grid(jnp.ones((14, 14, 192)), 10, 13).shape
    (10, 13, 192)
    """
    if x.shape[:2] == (height, width):
        return x
    return jax.image.resize(x, (height, width, x.shape[-1]), "cubic")
