"""What decoders have in common."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.weights.names import TorchNames

KERNEL_INIT = layers.initializer("he_uniform")

Map = Float[Array, "batch _ _ _"]
Stages = Sequence[tuple[int, Map]]
"""Strides and maps of the stages of a backbone, finest first. Stages that dilate in place of a
stride have the stride of the stage before them."""


class DecoderPart(nn.Module, kw_only=True):
    """A module with normalized convolutions.

    Attributes:
        norm: See `layers.norm`.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.
    """

    norm: str = "batch"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    def options(self) -> dict[str, Any]:
        """Gives the options that parts of this module have too."""
        return {"norm": self.norm, "axis_name": self.axis_name, "dtype": self.dtype}

    def conv(self, features: int, kernel_size: int, **options: Any) -> nn.Module:
        """Makes a convolution."""
        return layers.conv(
            features, kernel_size, kernel_init=KERNEL_INIT, dtype=self.dtype, **options
        )

    def conv_norm(self, features: int, kernel_size: int, **options: Any) -> layers.ConvNorm:
        """Makes a convolution with normalization and ReLU."""
        return layers.ConvNorm(**self._usual(features, kernel_size, options))

    def doubled_conv_norm(
        self, features: int, kernel_size: int, **options: Any
    ) -> layers.DoubledConvNorm:
        """Makes the same of doubled maps, and of others that are appended to them."""
        return layers.DoubledConvNorm(**self._usual(features, kernel_size, options))

    def _usual(self, features: int, kernel_size: int, options: dict[str, Any]) -> dict[str, Any]:
        usual = {"activation": "relu", "kernel_init": KERNEL_INIT, **self.options(), **options}
        return {"features": features, "kernel_size": kernel_size, **usual}


class Decoder(DecoderPart, kw_only=True):
    """Makes one map of the maps of a backbone, for the head of a `Segmenter`.

    A subclass defines `__call__(stages, image_size, train)`, which gives a map of the images' size
    or smaller.

    Attributes:
        align_corners: How logits are interpolated to the size of the images; see `ops.resize`.
        norm: See `layers.norm`.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.
    """

    align_corners: bool = True

    head_size: ClassVar[int] = 3
    """The kernel of the convolution that makes logits of the map."""

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {}
    """The names of the decoder and the head, by the library that has them."""


def plain_conv(
    network: Any, features: int, kernel_size: layers.Size, name: str, **options: Any
) -> layers.ConvNorm:
    """Makes a convolution with the normalization of a network without a backbone, and ReLU.

    Args:
        network: It has the fields `norm`, `axis_name` and `dtype`.
        features: The output channels.
        kernel_size: The size of the kernel.
        name: The layer's name.
        **options: Other fields of `ConvNorm`.

    Returns:
        The layer.
    """
    usual = {"activation": "relu", "kernel_init": layers.initializer("he_normal")}
    shared = {field: getattr(network, field) for field in ("norm", "axis_name", "dtype")}
    return layers.ConvNorm(
        features=features, kernel_size=kernel_size, name=name, **{**usual, **shared, **options}
    )


def make_head(
    num_classes: int, kernel_size: layers.Size, dtype: DTypeLike | None, name: str | None = None
) -> nn.Module:
    """Makes the convolution that gives the logits."""
    kernel_init = layers.initializer("glorot_uniform")
    return layers.conv(num_classes, kernel_size, kernel_init=kernel_init, dtype=dtype, name=name)


def spatial_dropout(rate: float, *, train: bool) -> nn.Module:
    """Makes a layer that drops whole channels of a map.

    Reference: Tompson et al., Efficient object localization using convolutional networks, CVPR
    2015, arXiv:1411.4280.
    """
    return nn.Dropout(rate, broadcast_dims=(1, 2), deterministic=not train)


class Doubling(NamedTuple):
    """A step of a decoder to a map about twice as large.

    Attributes:
        stride: The stride of the larger map.
        skip: The map of the backbone at that stride; None if there is none.
        size: Height and width of the larger map.
    """

    stride: int
    skip: Map | None
    size: tuple[int, int]


def doublings(
    stages: Stages, image_size: tuple[int, int], *, full_resolution: bool = False
) -> list[Doubling]:
    """Lists the steps from the coarsest map to the size of the images.

    Args:
        stages: The maps of the backbone.
        image_size: Height and width of the images.
        full_resolution: Whether the last step has the map of stride 1, if the backbone has one.

    Returns:
        The steps, coarsest first.
    """
    maps = {stride: each for stride, each in stages if stride > 1 or full_resolution}
    steps = []
    for stride in strides_below(stages[-1][0]):
        skip = maps.get(stride)
        size = size_at(stride, image_size) if skip is None else size_of(skip)
        steps.append(Doubling(stride, skip, size))
    return steps


def widths(channels: tuple[int, ...] | None, strides: Sequence[int]) -> tuple[int, ...]:
    """The channels at each stride; None takes 16 times the stride.

    >>> widths(None, [4, 2, 1])
    (64, 32, 16)
    """
    if channels is None:
        return tuple(16 * stride for stride in strides)
    if len(channels) != len(strides):
        raise ValueError(
            f"channels must be one number for each of the strides {', '.join(map(str, strides))}, "
            f"got {channels}"
        )
    return channels


def strides_below(stride: int) -> list[int]:
    """The strides that halving reaches, down to 1.

    >>> strides_below(32)
    [16, 8, 4, 2, 1]
    """
    strides = []
    while stride > 1:
        stride //= 2
        strides.append(stride)
    return strides


def size_of(x: Map) -> tuple[int, int]:
    """Height and width of a map."""
    return x.shape[1], x.shape[2]


def size_at(stride: int, image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a padded map.

    >>> size_at(4, (65, 64))
    (17, 16)
    """
    return -(-image_size[0] // stride), -(-image_size[1] // stride)
