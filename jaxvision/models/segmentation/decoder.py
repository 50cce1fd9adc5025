"""What decoders have in common."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.weights.names import TorchNames

Map = Float[Array, "batch _ _ _"]
Stages = Sequence[tuple[int, Map]]
"""Strides and maps of the stages of a backbone, finest first. Stages that dilate in place of a
stride have the stride of the stage before them."""


class Decoder(nn.Module, kw_only=True):
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
    norm: str = "batch"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    head_size: ClassVar[int] = 3
    """The kernel of the convolution that makes logits of the map."""

    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {}
    """The names of the decoder and the head, by the library that has them."""

    def conv_norm(self, features: int, kernel_size: int, **options: Any) -> layers.ConvNorm:
        """Makes a convolution with normalization and ReLU."""
        return layers.ConvNorm(
            features=features, kernel_size=kernel_size, **{**self.shared(), **options}
        )

    def options(self) -> dict[str, Any]:
        """Gives the options that parts of the decoder have too."""
        return {"norm": self.norm, "axis_name": self.axis_name, "dtype": self.dtype}

    def shared(self) -> dict[str, Any]:
        """Gives the options that all convolutions of the decoder have in common."""
        kernel_init = layers.initializer("he_uniform")
        return {"activation": "relu", "kernel_init": kernel_init, **self.options()}


def spatial_dropout(rate: float, *, train: bool) -> nn.Module:
    """Makes a layer that drops whole channels of a map.

    Reference: Tompson et al., Efficient object localization using convolutional networks, CVPR
    2015, arXiv:1411.4280.
    """
    return nn.Dropout(rate, broadcast_dims=(1, 2), deterministic=not train)


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
