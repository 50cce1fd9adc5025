"""Base classes and helpers of decoders."""

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
"""Strides and maps of the stages of a backbone, finest first. A stage that dilates in place of a
stride has the stride of the stage before it.
"""


class DecoderPart(nn.Module, kw_only=True):
    """A module of convolutions with normalization; for its fields, see `layers.norm`."""

    norm: str = "batch"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    def options(self) -> dict[str, Any]:
        """The options that this module passes on to its parts."""
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
        """Makes a `conv_norm` of maps that are doubled and concatenated with others."""
        return layers.DoubledConvNorm(**self._usual(features, kernel_size, options))

    def _usual(self, features: int, kernel_size: int, options: dict[str, Any]) -> dict[str, Any]:
        usual = {"activation": "relu", "kernel_init": KERNEL_INIT, **self.options(), **options}
        return {"features": features, "kernel_size": kernel_size, **usual}


class Decoder(DecoderPart, kw_only=True):
    """Base class of decoders, which combine the maps of a backbone for the head of a `Segmenter`.

    A subclass defines `__call__(stages, image_size, train)`, which returns a map of the size of the
    images or smaller.

    Attributes:
        align_corners: How logits are interpolated to the size of the images; see `ops.resize`.
        norm, axis_name, dtype: See `layers.norm`.
    """

    align_corners: bool = True

    head_size: ClassVar[int] = 3
    """The kernel size of the convolution that computes the logits."""

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {}
    """The names of the decoder and the head, by the library that has them."""


def plain_conv(
    network: Any, features: int, kernel_size: layers.Size, name: str, **options: Any
) -> layers.ConvNorm:
    """Makes a `ConvNorm` with ReLU and the `norm`, `axis_name` and `dtype` of `network`."""
    usual = {"activation": "relu", "kernel_init": layers.initializer("he_normal")}
    shared = {field: getattr(network, field) for field in ("norm", "axis_name", "dtype")}
    return layers.ConvNorm(
        features=features, kernel_size=kernel_size, name=name, **{**usual, **shared, **options}
    )


def make_head(
    num_classes: int, kernel_size: layers.Size, dtype: DTypeLike | None, name: str | None = None
) -> nn.Module:
    """Makes the convolution that computes the logits."""
    kernel_init = layers.initializer("glorot_uniform")
    return layers.conv(num_classes, kernel_size, kernel_init=kernel_init, dtype=dtype, name=name)


def spatial_dropout(rate: float, *, train: bool) -> nn.Module:
    """Makes a layer that drops whole channels of a map.

    Reference: Tompson et al., Efficient object localization using convolutional networks, CVPR
    2015, arXiv:1411.4280.
    """
    return nn.Dropout(rate, broadcast_dims=(1, 2), deterministic=not train)


class Doubling(NamedTuple):
    """A step to a map about twice as large; `skip` is the map of the backbone there, if any."""

    stride: int
    skip: Map | None
    size: tuple[int, int]


def doublings(
    stages: Stages, image_size: tuple[int, int], *, full_resolution: bool = False
) -> list[Doubling]:
    """Lists the steps from the coarsest map to the size of the images.

    With `full_resolution`, the last step has the map of stride 1, if the backbone has one.
    """
    maps = {stride: each for stride, each in stages if stride > 1 or full_resolution}
    steps = []
    for stride in strides_below(stages[-1][0]):
        skip = maps.get(stride)
        size = size_at(stride, image_size) if skip is None else size_of(skip)
        steps.append(Doubling(stride, skip, size))
    return steps


def widths(channels: tuple[int, ...] | None, strides: Sequence[int]) -> tuple[int, ...]:
    """The number of channels at each stride; None takes 16 times the stride.

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
    """The strides that repeated halving reaches, down to 1.

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
    """Height and width of a padded map at a stride.

    >>> size_at(4, (65, 64))
    (17, 16)
    """
    return -(-image_size[0] // stride), -(-image_size[1] // stride)
