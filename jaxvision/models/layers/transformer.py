"""Parts of transformers, and of the networks that borrow from them."""

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
    """Rates of stochastic depth that rise evenly from nothing at the first block.

    Args:
        last: The rate of the last block.
        num_blocks: How many blocks there are.

    Returns:
        A rate per block.

    >>> rising_rates(0.2, 5)
    (0.0, 0.05, 0.1, 0.15000000000000002, 0.2)
    """
    return tuple(last * i / max(1, num_blocks - 1) for i in range(num_blocks))


class MultiHeadAttention(nn.Module, kw_only=True):
    """Self-attention: each token becomes an average of all, weighed by how well they match it.

    Attributes:
        num_heads: How many averages, each of its own share of the channels, are taken.
        attention_dropout: The share of weights that training drops.
        dropout: The share of outputs that training drops.
        kernel_init: The kernels to start from: of `qkv`, which makes queries, keys and values, in
            this order, and of `out`.
        dtype: What to compute in; None promotes types. Weights are made in float32 or better.

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
        """Attends; `bias` is added to how well queries (rows) match keys (columns)."""
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
        hidden: The channels between the two layers, `dense1` and `dense2`.
        activation: The nonlinearity; see `layers.activation`.
        dropout: The share of the outputs of each that training drops.
        kernel_init: The kernels to start from.
        dtype: What to compute in; None promotes types.

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
        num_heads: See `layers.MultiHeadAttention`.
        hidden: The width between the dense layers.
        activation: See `layers.activation`.
        dropout: The share of both residuals that training drops, value by value.
        attention_dropout: The share of attention's weights that training drops.
        stochastic_depth: The share of residuals that training drops as a whole.
        epsilon: What is added to the variance in both normalizations.
        dtype: What to compute in; None promotes types.

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
    """Scales every channel of a residual by a parameter that starts small.

    Attributes:
        start: What `factor` starts from.
        dtype: What to compute in; None promotes types.

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
    """Cuts images into square patches, and makes a vector of each by a dense layer.

    That is a convolution, `conv`, with a kernel and a stride of the size of a patch.

    Attributes:
        features: The length of the vectors.
        patch_size: The height and width of a patch.
        pad: Whether zeros below and on the right complete the last patches, rather than what does
            not fill a patch being left out.
        norm: Whether `norm`, a layer normalization of the vectors, follows.
        epsilon: What is added to its variance.
        kernel_init: The kernel to start from.
        dtype: What to compute in; None promotes types.

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
        """Gives a vector per patch, in place."""
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
    """Adds rows and columns of zeros at the end, until both numbers are multiples of a size.

    Args:
        x: Images or feature maps.
        size: What height and width become multiples of.

    Returns:
        The same, perhaps larger.

    >>> pad_to_multiple(jnp.ones((1, 7, 8, 1)), 4).shape
    (1, 8, 8, 1)
    """
    below, right = -x.shape[1] % size, -x.shape[2] % size
    return jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0))) if below or right else x


def resize_grid(
    x: Float[Array, "height width channels"], height: int, width: int
) -> Float[Array, "new_height new_width channels"]:
    """Interpolates parameters of places, such as position embeddings, for another number of places.

    The interpolation is bicubic with antialiasing, as in timm (and in Pillow).

    Args:
        x: Parameters per place.
        height: How many rows there shall be.
        width: How many columns.

    Returns:
        Parameters per place of the new grid; the same where nothing changes.

    >>> resize_grid(jnp.ones((14, 14, 192)), 10, 13).shape
    (10, 13, 192)
    """
    if x.shape[:2] == (height, width):
        return x
    return jax.image.resize(x, (height, width, x.shape[-1]), "cubic")
