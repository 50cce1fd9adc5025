"""Encoders of images into vectors, and decoders back, for autoencoders of any kind."""

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
Size = tuple[int, int]


class Coder(nn.Module, kw_only=True):
    """What encoders and decoders have in common.

    Attributes:
        norm: The normalization after each hidden layer; see `layers.norm`. None leaves it out.
        activation: The nonlinearity after that; see `layers.activation`.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.
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
        """Normalizes the outputs of a hidden layer and applies the nonlinearity."""
        if self.norm is not None:
            options: dict[str, Any] = {
                "dtype": self.dtype,
                "axis_name": self.axis_name,
                "name": name,
            }
            x = layers.norm(self.norm, x.shape[-1], train=train, **options)(x)
        return layers.activation(self.activation)(x)

    def dense(self, features: int, name: str) -> nn.Module:
        """Makes a dense layer that an activation follows."""
        return nn.Dense(
            features,
            use_bias=self.norm is None,
            kernel_init=layers.initializer("he_normal"),
            dtype=self.dtype,
            name=name,
        )


@register_module
class DenseEncoder(Coder, kw_only=True):
    """Dense layers on the flattened image; without any, the flattened image.

    Attributes:
        hidden_sizes: The widths of the layers.
        norm: The normalization after each layer; None leaves it out.
        activation: The nonlinearity after that.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.

    >>> import jax, jax.numpy as jnp
    >>> encoder = DenseEncoder(hidden_sizes=(32, 16))
    >>> jax.eval_shape(encoder.init_with_output, jax.random.key(0), jnp.ones((5, 8, 8, 1)))[0].shape
    (5, 16)
    """

    hidden_sizes: tuple[int, ...] = (256, 128)

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Vectors:
        """Computes a vector of each image."""
        y = layers.flatten(check_images(x))
        for index, size in enumerate(self.hidden_sizes):
            y = self.finish(self.dense(size, f"hidden{index}")(y), f"norm{index}", train)
        return y


@register_module
class ConvEncoder(Coder, kw_only=True):
    """3x3 convolutions, each of which halves the map, and a vector of the last map.

    Attributes:
        channels: The channels of each convolution.
        norm: The normalization after each; None leaves it out.
        activation: The nonlinearity after that.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.

    >>> import jax, jax.numpy as jnp
    >>> encoder = ConvEncoder(channels=(8, 16))
    >>> jax.eval_shape(encoder.init_with_output, jax.random.key(0), jnp.ones((5, 9, 8, 3)))[0].shape
    (5, 96)
    """

    channels: tuple[int, ...] = (32, 64)

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Vectors:
        """Computes a vector of each image."""
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
        return layers.flatten(y)


@register_module
class DenseDecoder(Coder, kw_only=True):
    """Dense layers, and one that gives every value of the image.

    Attributes:
        shape: Height, width and channels of what is given.
        hidden_sizes: The widths of the layers before.
        norm: The normalization after each of those; None leaves it out.
        activation: The nonlinearity after that.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.

    >>> import jax, jax.numpy as jnp
    >>> decoder = DenseDecoder(shape=(8, 8, 1), hidden_sizes=(16, 32))
    >>> jax.eval_shape(decoder.init_with_output, jax.random.key(0), jnp.ones((5, 2)))[0].shape
    (5, 8, 8, 1)
    """

    shape: tuple[int, int, int]
    hidden_sizes: tuple[int, ...] = (128, 256)

    @nn.compact
    def __call__(self, code: Vectors, train: bool = False) -> Images:
        """Computes an image of each vector, of any values."""
        y = code
        for index, size in enumerate(self.hidden_sizes):
            y = self.finish(self.dense(size, f"hidden{index}")(y), f"norm{index}", train)
        y = nn.Dense(math.prod(self.shape), dtype=self.dtype, name="head")(y)
        return y.reshape(-1, *self.shape)


@register_module
class ConvDecoder(Coder, kw_only=True):
    """A dense layer for the coarsest map, and transposed 4x4 convolutions that double it.

    Attributes:
        shape: Height, width and channels of what is given; maps are cut where a doubled one is
            larger than half of the next.
        channels: The channels of the coarsest map, and of each after it but the last.
        norm: The normalization after each of those; None leaves it out.
        activation: The nonlinearity after that.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.

    >>> import jax, jax.numpy as jnp
    >>> decoder = ConvDecoder(shape=(9, 8, 3), channels=(16, 8))
    >>> jax.eval_shape(decoder.init_with_output, jax.random.key(0), jnp.ones((5, 2)))[0].shape
    (5, 9, 8, 3)
    """

    shape: tuple[int, int, int]
    channels: tuple[int, ...] = (64, 32)

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("channels must be one number or more; DenseDecoder has no maps")
        super().__post_init__()

    @nn.compact
    def __call__(self, code: Vectors, train: bool = False) -> Images:
        """Computes an image of each vector, of any values."""
        coarsest, *larger = doubled_sizes((self.shape[0], self.shape[1]), len(self.channels))
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


def doubled_sizes(size: Size, steps: int) -> list[Size]:
    """The sizes of maps that are doubled, and cut where they must be, until they have a size.

    Args:
        size: Height and width of the last.
        steps: How often they are doubled.

    Returns:
        Sizes, the smallest first.

    >>> doubled_sizes((9, 8), 2)
    [(3, 2), (5, 4), (9, 8)]
    """
    sizes = [size]
    for _ in range(steps):
        height, width = sizes[0]
        sizes.insert(0, (-(-height // 2), -(-width // 2)))
    return sizes
