"""What architectures share: convolution, normalization, activation, initialization, pooling."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision._suggest import unknown

Initializer = Callable[..., Array]  # of key, shape and dtype

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "elu": jax.nn.elu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "identity": lambda x: x,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}

INITIALIZERS: Mapping[str, Initializer] = {
    "glorot_normal": initializers.glorot_normal(),
    "glorot_uniform": initializers.glorot_uniform(),
    "he_normal": initializers.he_normal(),
    # Keeps the variance of gradients rather than of activations; not truncated, as in PyTorch.
    "he_normal_fan_out": initializers.variance_scaling(2.0, "fan_out", "normal"),
    "he_uniform": initializers.he_uniform(),
    "lecun_normal": initializers.lecun_normal(),
    "normal_0.01": initializers.normal(0.01),
    "orthogonal": initializers.orthogonal(),
    # Uniform within 1 / sqrt(fan_in): what torch.nn.Linear and torch.nn.Conv2d start from.
    "torch": initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}

NORMS = ("batch", "group", "instance", "layer")

# As in PyTorch; Flax has 0.99, and 1e-6 for all but BatchNorm.
NORM_MOMENTUM = 0.9
NORM_EPSILON = 1e-5


def activation(name: str) -> Callable[[Array], Array]:
    """Looks up an elementwise nonlinearity.

    Args:
        name: "elu", "gelu" (exact, by the error function), "identity", "leaky_relu" (slope 0.01),
            "relu" (gradient 0 at 0), "sigmoid", "silu" or "tanh".

    Returns:
        A function of an array.

    Raises:
        ValueError: There is no such activation.

    >>> activation("relu")(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if name not in ACTIVATIONS:
        raise ValueError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]


def initializer(name: str) -> Initializer:
    """Looks up an initializer for the kernels of dense and convolution layers.

    The names shared with `jax.nn.initializers` are those: its normal distributions are truncated at
    two standard deviations and rescaled to the variance of the formula. Biases start from zero.

    Args:
        name: "he_normal" and "he_uniform" (variance 2 / fan_in: He et al., Delving deep into
            rectifiers, ICCV 2015, arXiv:1502.01852), "he_normal_fan_out", "glorot_normal" and
            "glorot_uniform" (2 / (fan_in + fan_out): Glorot & Bengio, AISTATS 2010), "lecun_normal"
            (1 / fan_in), "orthogonal" (Saxe et al., ICLR 2014, arXiv:1312.6120), "torch" (uniform,
            1 / (3 fan_in)) or "normal_0.01" (standard deviation 0.01).

    Returns:
        A function of key, shape and dtype.

    Raises:
        ValueError: There is no such initializer.

    >>> initializer("he_normal")(jax.random.key(0), (3, 3, 16, 32)).shape
    (3, 3, 16, 32)
    """
    if name not in INITIALIZERS:
        raise ValueError(unknown("initializer", name, INITIALIZERS))
    return INITIALIZERS[name]


def check_norm(name: str) -> None:
    """Checks the name of a normalization.

    Args:
        name: "batch", "group", "instance" or "layer".

    Raises:
        ValueError: There is no such normalization.

    >>> check_norm("batch")
    """
    if name not in NORMS:
        raise ValueError(unknown("norm", name, NORMS))


def norm(
    kind: str,
    channels: int,
    *,
    train: bool,
    dtype: DTypeLike | None = None,
    axis_name: str | None = None,
    scale_init: Initializer = initializers.ones,
    name: str | None = None,
) -> nn.Module:
    """Makes a normalization layer with a scale and a bias per channel.

    Statistics are taken in float32 or better. epsilon is 1e-5, and BatchNorm keeps 0.9 of its
    running statistics per step, as in PyTorch (whose "momentum" is the other 0.1).

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
        axis_name: A mapped axis (`jax.pmap`, `jax.vmap`) across which "batch" averages its
            statistics. The other kinds do not look beyond an image, and ignore it.
        scale_init: The scale to start from.
        name: The layer's name, in a compact method.

    Returns:
        The layer.

    Raises:
        ValueError: There is no such kind.

    >>> layer = norm("group", 64, train=False)
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 8, 8, 64)))[0].shape
    (2, 8, 8, 64)
    """
    check_norm(kind)
    if kind == "batch":
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=NORM_MOMENTUM,
            epsilon=NORM_EPSILON,
            dtype=dtype,
            axis_name=axis_name,
            scale_init=scale_init,
            name=name,
        )
    shared: dict[str, Any] = {
        "epsilon": NORM_EPSILON,
        "dtype": dtype,
        "scale_init": scale_init,
        "name": name,
    }
    if kind == "group":
        return nn.GroupNorm(num_groups=math.gcd(32, channels), **shared)
    return nn.LayerNorm(**shared) if kind == "layer" else nn.InstanceNorm(**shared)


def conv(
    features: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    use_bias: bool = True,
    kernel_init: Initializer = INITIALIZERS["lecun_normal"],
    dtype: DTypeLike | None = None,
    name: str | None = None,
) -> nn.Module:
    """Makes a 2-d convolution layer (as everywhere in deep learning, a cross-correlation).

    Padding is the same on both sides. ("SAME" is not when the stride is 2: it pads an even image
    after its last row only, so that weights trained with symmetric padding see shifted images.)

    Args:
        features: The output channels.
        kernel_size: The height and width of the kernel.
        stride: The step between outputs.
        padding: Zeros on each side; None takes what keeps the size at stride 1.
        dilation: The step between the taps of the kernel.
        groups: In how many groups channels are convolved apart.
        use_bias: Whether to add a bias; a normalization that follows makes it redundant.
        kernel_init: The kernel to start from; the bias starts from zero.
        dtype: What to compute in; None promotes types.
        name: The layer's name, in a compact method.

    Returns:
        The layer, with `kernel` (height, width, channels / groups, features) and `bias`.

    Raises:
        ValueError: No symmetric padding keeps the size, and none was given.

    >>> layer = conv(16, 3, stride=2)
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 9, 9, 3)))[0].shape
    (2, 5, 5, 16)
    """
    if padding is None:
        padding, odd = divmod(dilation * (kernel_size - 1), 2)
        if odd:
            raise ValueError(
                f"a kernel of size {kernel_size} with dilation {dilation} needs different padding "
                "on its two sides to keep the size; use an odd size, or give the padding"
            )
    return nn.Conv(
        features,
        (kernel_size, kernel_size),
        strides=stride,
        padding=padding,
        kernel_dilation=dilation,
        feature_group_count=groups,
        use_bias=use_bias,
        kernel_init=kernel_init,
        dtype=dtype,
        name=name,
    )


class ConvNorm(nn.Module, kw_only=True):
    """A convolution without bias, a normalization and an activation.

    Attributes:
        features: The output channels.
        kernel_size: The height and width of the kernel.
        stride: The step between outputs; the padding is what would keep the size at stride 1.
        norm: See `norm`.
        activation: See `activation`.
        kernel_init: The kernel to start from.
        scale_init: The normalization's scale to start from.
        axis_name: See `norm`.
        dtype: What to compute in; None promotes types.

    >>> layer = ConvNorm(features=8, kernel_size=3)
    >>> variables = layer.init(jax.random.key(0), jnp.ones((2, 9, 9, 3)), train=False)
    >>> sorted(variables["params"])
    ['conv', 'norm']
    """

    features: int
    kernel_size: int
    stride: int = 1
    norm: str = "batch"
    activation: str = "identity"
    kernel_init: Initializer = INITIALIZERS["lecun_normal"]
    scale_init: Initializer = initializers.ones
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width features"]:
        """Applies the three in turn."""
        x = conv(
            self.features,
            self.kernel_size,
            stride=self.stride,
            use_bias=False,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        x = norm(
            self.norm,
            self.features,
            train=train,
            dtype=self.dtype,
            axis_name=self.axis_name,
            scale_init=self.scale_init,
            name="norm",
        )(x)
        return activation(self.activation)(x)


def max_pool(
    x: Float[Array, "batch height width channels"],
    window: int,
    *,
    stride: int | None = None,
    padding: int = 0,
) -> Float[Array, "batch out_height out_width channels"]:
    """Takes the maximum of each window. Where several are equal, the first gets the gradient.

    Args:
        x: Feature maps.
        window: The height and width of a window.
        stride: The step between windows; None for windows side by side.
        padding: How far windows reach over each edge, at most half a window; what lies beyond is
            never the maximum. A window that does not fit is left out.

    Returns:
        The maxima.

    Raises:
        ValueError: The padding is negative or more than half a window.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    _check_pool(window, padding)
    stride = window if stride is None else stride
    edges = ((padding, padding), (padding, padding))
    return nn.max_pool(x, (window, window), (stride, stride), edges)


def avg_pool(
    x: Float[Array, "batch height width channels"],
    window: int,
    *,
    stride: int | None = None,
    padding: int = 0,
    count_include_pad: bool = True,
) -> Float[Array, "batch out_height out_width channels"]:
    """Takes the average of each window, summed in float32 or better.

    Args:
        x: Feature maps.
        window: The height and width of a window.
        stride: The step between windows; None for windows side by side.
        padding: Zeros on each side, at most half a window. A window that does not fit is left out.
        count_include_pad: Whether those zeros count, as they do by default in PyTorch.

    Returns:
        The averages.

    Raises:
        ValueError: The padding is negative or more than half a window.

    >>> avg_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    _check_pool(window, padding)
    stride = window if stride is None else stride
    edges = ((padding, padding), (padding, padding))
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    averages = nn.avg_pool(wide, (window, window), (stride, stride), edges, count_include_pad)
    return averages.astype(x.dtype)


def global_average_pool(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch channels"]:
    """Averages over space, summed in float32 or better.

    Args:
        x: Feature maps.

    Returns:
        One vector per image, in the dtype of the maps.

    Reference: Lin et al., Network in network, ICLR 2014, arXiv:1312.4400.

    >>> global_average_pool(jnp.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[3.0, 4.0]]
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return x.mean(axis=(1, 2), dtype=wide).astype(x.dtype)


def flatten(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch features"]:
    """Makes one vector of each image or stack of feature maps.

    Args:
        x: Images or feature maps.

    Returns:
        The same values, (batch, height * width * channels).

    >>> flatten(jnp.ones((0, 4, 4, 3))).shape
    (0, 48)
    """
    # A size of -1 could not be inferred for a batch without rows.
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _check_pool(window: int, padding: int) -> None:
    if not 0 <= 2 * padding <= window:
        raise ValueError(
            f"padding must be from 0 to half the window, here {window // 2}, got {padding}"
        )
