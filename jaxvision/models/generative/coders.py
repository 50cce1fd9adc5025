"""Encoders of images into vectors, and decoders of vectors into images, for autoencoders."""

import math
from typing import Any

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, canonical_dtype, check_images
from jaxvision.models.description import register_module
from jaxvision.ops import ConvTranspose

Vectors = Float[Array, "batch features"]
Maps = Float[Array, "batch height width features"]
Size = tuple[int, int]


class Coder(nn.Module, kw_only=True):
    """Base class of encoders and decoders.

    Attributes:
        norm: Normalization after each hidden layer; see `layers.norm`. None leaves it out.
        activation: Nonlinearity after the normalization; see `layers.activation`.
        axis_name, dtype: See `layers.norm`.
    """

    norm: str | None = None
    activation: str = "relu"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        self.dtype = canonical_dtype(self.dtype)
        layers.activation(self.activation)
        super().__post_init__()

    def finish(self, x: Array, name: str, train: bool) -> Array:
        """Applies the normalization and the nonlinearity of a hidden layer."""
        if self.norm is not None:
            options: dict[str, Any] = {
                "dtype": self.dtype,
                "axis_name": self.axis_name,
                "name": name,
            }
            x = layers.norm(self.norm, x.shape[-1], train=train, **options)(x)
        return layers.activation(self.activation)(x)

    def dense(self, features: int, name: str) -> nn.Module:
        """Makes a dense layer that `finish` follows."""
        return nn.Dense(
            features,
            use_bias=self.norm is None,
            kernel_init=layers.initializer("he_normal"),
            dtype=self.dtype,
            name=name,
        )


@register_module
class DenseEncoder(Coder, kw_only=True):
    """Dense layers on the flattened image; without layers, the flattened image itself.

    Attributes:
        hidden_sizes: Widths of the layers.
        norm, activation, axis_name, dtype: See `Coder`.

    >>> import jax, jax.numpy as jnp
    >>> encoder = DenseEncoder(hidden_sizes=(32, 16))
    >>> jax.eval_shape(encoder.init_with_output, jax.random.key(0), jnp.ones((5, 8, 8, 1)))[0].shape
    (5, 16)
    """

    hidden_sizes: tuple[int, ...] = (256, 128)

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Vectors:
        """Computes a vector per image."""
        y = layers.flatten(check_images(x))
        for index, size in enumerate(self.hidden_sizes):
            y = self.finish(self.dense(size, f"hidden{index}")(y), f"norm{index}", train)
        return y


@register_module
class ConvEncoder(Coder, kw_only=True):
    """3x3 convolutions, each of which halves the map; the last map is flattened.

    Attributes:
        channels: Number of channels of each convolution.
        local: Whether the last map is returned as it is. An autoencoder then computes a part of the
            code for each place of the map, from the features at that place.
        norm, activation, axis_name, dtype: See `Coder`.

    >>> import jax, jax.numpy as jnp
    >>> encoder = ConvEncoder(channels=(8, 16))
    >>> jax.eval_shape(encoder.init_with_output, jax.random.key(0), jnp.ones((5, 9, 8, 3)))[0].shape
    (5, 96)
    """

    channels: tuple[int, ...] = (32, 64)
    local: bool = False

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Vectors | Maps:
        """Computes a vector per image, or a map."""
        y = check_images(x)
        for index, features in enumerate(self.channels):
            layer = layers.conv(
                features,
                3,
                stride=2,
                use_bias=self.norm is None,
                kernel_init=layers.initializer("he_normal"),
                dtype=self.dtype,
                name=f"conv{index}",
            )
            y = self.finish(layer(y), f"norm{index}", train)
        return y if self.local else layers.flatten(y)


@register_module
class DenseDecoder(Coder, kw_only=True):
    """Dense layers, of which the last computes all values of the image.

    Attributes:
        shape: Height, width and channels of the output.
        hidden_sizes: Widths of the layers before the last.
        norm, activation, axis_name, dtype: See `Coder`.

    >>> import jax, jax.numpy as jnp
    >>> decoder = DenseDecoder(shape=(8, 8, 1), hidden_sizes=(16, 32))
    >>> jax.eval_shape(decoder.init_with_output, jax.random.key(0), jnp.ones((5, 2)))[0].shape
    (5, 8, 8, 1)
    """

    shape: tuple[int, int, int]
    hidden_sizes: tuple[int, ...] = (128, 256)

    @nn.compact
    def __call__(self, code: Vectors, train: bool = False) -> Images:
        """Computes an image per vector; its values have no bounds."""
        y = code
        for index, size in enumerate(self.hidden_sizes):
            y = self.finish(self.dense(size, f"hidden{index}")(y), f"norm{index}", train)
        y = nn.Dense(math.prod(self.shape), dtype=self.dtype, name="head")(y)
        return y.reshape(-1, *self.shape)


@register_module
class ConvDecoder(Coder, kw_only=True):
    """A dense layer for the coarsest map, and transposed 4x4 convolutions that double it.

    Attributes:
        shape: Height, width and channels of the output; doubled maps are cropped where sides are
            odd.
        channels: Numbers of channels of the coarsest map and of each larger one, except the output.
        local: Whether each place of the coarsest map is computed from a part of the code of its
            own, as long as the parts of other places; the dense layer is the same at all places.
        norm, activation, axis_name, dtype: See `Coder`.

    >>> import jax, jax.numpy as jnp
    >>> decoder = ConvDecoder(shape=(9, 8, 3), channels=(16, 8))
    >>> jax.eval_shape(decoder.init_with_output, jax.random.key(0), jnp.ones((5, 2)))[0].shape
    (5, 9, 8, 3)
    """

    shape: tuple[int, int, int]
    channels: tuple[int, ...] = (64, 32)
    local: bool = False

    def __post_init__(self) -> None:
        check_channels(self.channels, "DenseDecoder")
        super().__post_init__()

    @property
    def parts(self) -> Size | None:
        """Height and width of the coarsest map if `local`, otherwise None."""
        return self._sizes()[0] if self.local else None

    @nn.compact
    def __call__(self, code: Vectors, train: bool = False) -> Images:
        """Computes an image per vector; its values have no bounds."""
        coarsest, *larger = self._sizes()
        if self.local:
            y = self.dense(self.channels[0], "project")(split_code(code, coarsest))
        else:
            y = self.dense(math.prod(coarsest) * self.channels[0], "project")(code)
        y = self.finish(y.reshape(-1, *coarsest, self.channels[0]), "norm0", train)
        for index, (size, features) in enumerate(
            zip(larger, (*self.channels[1:], self.shape[2]), strict=True), start=1
        ):
            last = index == len(larger)
            y = ConvTranspose(
                features,
                (4, 4),
                strides=(2, 2),
                use_bias=last or self.norm is None,
                kernel_init=layers.initializer("lecun_normal" if last else "he_normal"),
                dtype=self.dtype,
                name="head" if last else f"enlarge{index}",
            )(y)
            y = layers.cut_to(y, size)
            if not last:
                y = self.finish(y, f"norm{index}", train)
        return y

    def _sizes(self) -> list[Size]:
        return doubled_sizes((self.shape[0], self.shape[1]), len(self.channels))


def split_code(code: Float[Array, "batch numbers"], size: Size) -> Maps:
    """Splits codes into parts of equal lengths, one for each place of a map of a size.

    Raises a `ValueError` if the length of a code is not a multiple of the number of places.

    >>> import jax.numpy as jnp
    >>> split_code(jnp.ones((5, 24)), (4, 3)).shape
    (5, 4, 3, 2)
    """
    check_parts(code.shape[-1], size)
    return code.reshape(-1, *size, code.shape[-1] // math.prod(size))


def check_parts(latent_size: int, size: Size) -> None:
    """Raises a `ValueError` if a code has no parts of equal lengths for the places of a map.

    >>> check_parts(24, (4, 3))
    """
    if latent_size % math.prod(size):
        height, width = size
        raise ValueError(
            f"latent_size must be a multiple of {height * width}, since each place of the map of "
            f"{height}x{width} has a part of the code of its own; got {latent_size}"
        )


def check_channels(channels: tuple[int, ...], instead: str) -> None:
    """Raises a `ValueError` if there are no channels; `instead` names a network without maps.

    >>> check_channels((8, 4), "DenseDecoder")
    """
    if not channels:
        raise ValueError(
            f"channels must be one number or more, got {channels!r}; {instead} has no maps"
        )


def doubled_sizes(size: Size, steps: int) -> list[Size]:
    """The sizes of maps, smallest first, that are doubled (and cropped) `steps` times up to `size`.

    >>> doubled_sizes((9, 8), 2)
    [(3, 2), (5, 4), (9, 8)]
    """
    sizes = [size]
    for _ in range(steps):
        height, width = sizes[0]
        sizes.insert(0, (-(-height // 2), -(-width // 2)))
    return sizes
