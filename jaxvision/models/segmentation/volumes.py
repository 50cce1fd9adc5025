"""Networks that give a class to every voxel of a volume: 3D U-Net and DeepMedic.

References: Cicek et al., 3D U-Net: learning dense volumetric segmentation from sparse annotation,
MICCAI 2016, arXiv:1606.06650. Kamnitsas et al., Efficient multi-scale 3D CNN with fully connected
CRF for accurate brain lesion segmentation, Medical Image Analysis 2017, arXiv:1603.05959.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, canonical_dtype, check_images
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import make_head, plain_conv
from jaxvision.ops import ConvTranspose

Volume = Float[Array, "batch _ _ _ _"]
Logits = Float[Array, "batch _ _ _ classes"]

CUBE = (3, 3, 3)
POINT = (1, 1, 1)


@register_module
class UNet3D(nn.Module, kw_only=True):
    """3D U-Net: two 3x3x3 convolutions at each of four scales, down and up again.

    Channels double before a max pooling, rather than after it, and transposed convolutions keep
    them. The paper has three input channels, three classes and 19,069,955 parameters, which are
    those of this model with `norm=None`; "batch" adds 2,336, as the biases of 3x3x3 convolutions
    become twice as many scales and biases.

    Attributes:
        num_classes: The number of logits of each voxel.
        in_channels: The number of channels volumes must have; None takes what the first one has.
        channels: The channels of the two convolutions at each scale of the way down. The way up
            has twice those of the second.
        padded: Whether convolutions keep the size, so that the logits have that of the volume,
            which may be any. Without padding, as published, the logits are those of the middle:
            44x44x28 for 132x132x116.
        norm: The normalization after each 3x3x3 convolution; see `layers.norm`. None leaves it out.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.

    >>> import jax
    >>> volumes = jnp.zeros((1, 116, 132, 132, 3))
    >>> model = UNet3D(num_classes=3, padded=False, norm=None)
    >>> logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), volumes)
    >>> logits.shape, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    ((1, 28, 44, 44, 3), 19069955)
    """

    num_classes: int
    in_channels: int | None = None
    channels: tuple[tuple[int, int], ...] = ((32, 64), (64, 128), (128, 256), (256, 512))
    padded: bool = True
    norm: str | None = "batch"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        self.dtype = canonical_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Logits:
        """Computes the logits.

        Args:
            x: Volumes, (batch, depth, height, width, channels), floating point.
            train: Whether to normalize by the statistics of the batch.

        Returns:
            Logits, (batch, depth, height, width, num_classes), in at least float32; without
            padding they are of the voxels in the middle.
        """
        least = 1 if self.padded else _least_size(len(self.channels))
        y = check_images(x, self.in_channels, least, axes=3)
        skips: list[Volume] = []
        for scale, (first, second) in enumerate(self.channels):
            if scale > 0:
                skips.append(y)
                y = layers.max_pool(y, 2, ceil=self.padded)
            y = self._convolve(y, (first, second), f"down{scale}", train)
        border = 0
        for scale in reversed(range(len(skips))):
            features = self.channels[scale][1]
            y = ConvTranspose(
                y.shape[-1],
                (2, 2, 2),
                strides=(2, 2, 2),
                use_bias=False,
                kernel_init=layers.initializer("he_normal"),
                dtype=self.dtype,
                name=f"enlarge{scale}",
            )(y)
            # A coarse voxel is the place of two: what is cut off on the way doubles, too.
            border = 0 if self.padded else 2 * (border + _CUT)
            y = jnp.concatenate(_overlapping(skips[scale], y, border), axis=-1)
            y = self._convolve(y, (features, features), f"up{scale}", train)
            border = 0 if self.padded else border + _CUT
        return _logits(y, self.num_classes, self.dtype)

    def _convolve(self, x: Volume, features: tuple[int, int], name: str, train: bool) -> Volume:
        for index, channels in enumerate(features, 1):
            padding = None if self.padded else 0
            x = plain_conv(self, channels, CUBE, f"{name}_{index}", padding=padding)(x, train)
        return x


@register_module
class DeepMedic(nn.Module, kw_only=True):
    """DeepMedic: one pathway sees the volume, another the same three times coarser.

    Each has eight 3x3x3 convolutions without padding, so that a logit depends on 17x17x17 voxels
    around it, and on 51x51x51 by averages of 3x3x3. The second pathway's maps are repeated three
    times along each axis; two layers of 150 channels join the two. Activations are PReLU, with a
    slope for each channel.

    Attributes:
        num_classes: The number of logits of each voxel.
        in_channels: The number of channels volumes must have; None takes what the first one has.
        channels: The channels of the convolutions of either pathway.
        hidden_channels: The channels of the layers that join the pathways.
        padded: Whether to reflect the volume at its border as far as the second pathway sees, so
            that the logits have its size, which may be any. Without, as published, they are those
            of the middle: of each side of 48 + 3n voxels, 3n.
        norm: The normalization after each convolution but the last; see `layers.norm`. None leaves
            it out.
        dropout: The probability that a number of a joining layer is dropped in training.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.

    >>> import jax
    >>> model = DeepMedic(num_classes=3)
    >>> volumes = jnp.zeros((1, 20, 32, 33, 1))
    >>> logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), volumes)
    >>> logits.shape, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    ((1, 20, 32, 33, 3), 657993)
    """

    num_classes: int
    in_channels: int | None = None
    channels: tuple[int, ...] = (30, 30, 40, 40, 40, 40, 50, 50)
    hidden_channels: tuple[int, ...] = (150, 150)
    padded: bool = True
    norm: str | None = "batch"
    dropout: float = 0.5
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        self.dtype = canonical_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Logits:
        """Computes the logits.

        Args:
            x: Volumes, (batch, depth, height, width, channels), floating point.
            train: Whether to apply dropout and to normalize by the statistics of the batch.

        Returns:
            Logits, (batch, depth, height, width, num_classes), in at least float32; without
            padding they are of the voxels in the middle.
        """
        reach = len(self.channels)  # a convolution takes one voxel on each side
        border = _COARSER * reach
        volume = check_images(x, self.in_channels, axes=3)
        if self.padded:
            size = volume.shape[1:4]
            volume = _reflected(volume, border)
        else:
            size = tuple(length - 2 * border for length in volume.shape[1:4])
            if any(length < 1 or length % _COARSER for length in size):
                raise ValueError(
                    f"without padding, sides must be {2 * border} and a multiple of {_COARSER} "
                    f"voxels, got the shape {volume.shape}; cut it, or give padded=True"
                )
        near = _cut(volume, border - reach, tuple(length + 2 * reach for length in size))
        near = self._pathway(near, "near", train)
        far = self._pathway(layers.avg_pool(volume, _COARSER), "far", train)
        for axis in (1, 2, 3):
            far = jnp.repeat(far, _COARSER, axis)
        y = jnp.concatenate([near, _cut(far, 0, size)], axis=-1)
        for index, features in enumerate(self.hidden_channels, 1):
            y = self._layer(y, features, POINT, f"hidden{index}", train)
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
        return _logits(y, self.num_classes, self.dtype)

    def _pathway(self, x: Volume, name: str, train: bool) -> Volume:
        for index, features in enumerate(self.channels, 1):
            x = self._layer(x, features, CUBE, f"{name}{index}", train)
        return x

    def _layer(
        self, x: Volume, features: int, kernel_size: tuple[int, int, int], name: str, train: bool
    ) -> Volume:
        y = plain_conv(self, features, kernel_size, name, padding=0, activation="identity")(
            x, train
        )
        slopes = self.param(f"{name}_slopes", nn.initializers.constant(0.01), (features,))
        relu = layers.activation("relu")
        return relu(y) - slopes.astype(y.dtype) * relu(-y)


_CUT = 2
"""What two 3x3x3 convolutions without padding take on each side."""

_COARSER = 3
"""How many times coarser the second pathway's volume is."""


def _least_size(scales: int) -> int:
    """The least size of which a 3D U-Net without padding leaves a voxel.

    >>> _least_size(4)
    92
    """
    size = 1
    for _ in range(scales - 1):
        size = -(-(size + 2 * _CUT) // 2)
    size += 2 * _CUT
    for _ in range(scales - 1):
        size = 2 * size + 2 * _CUT
    return size


def _overlapping(skip: Volume, y: Volume, border: int) -> list[Volume]:
    """The parts of two volumes that have the same place, the second beginning further inside."""
    size = tuple(
        min(old - border, new) for old, new in zip(skip.shape[1:4], y.shape[1:4], strict=True)
    )
    return [_cut(skip, border, size), _cut(y, 0, size)]


def _cut(x: Volume, start: int, size: Sequence[int]) -> Volume:
    depth, height, width = (slice(start, start + length) for length in size)
    return x[:, depth, height, width]


def _reflected(x: Volume, border: int) -> Volume:
    """A volume with a reflected border, and more at the end where blocks of averages would not fit.

    The voxel at the border is not repeated, but for an axis of one.
    """
    for axis in (1, 2, 3):
        size = x.shape[axis]
        beyond = border + -size % _COARSER
        places = np.pad(np.arange(size), (border, beyond), mode="reflect")
        x = jnp.take(x, places, axis)
    return x


def _logits(y: Volume, num_classes: int, dtype: DTypeLike | None) -> Logits:
    logits = make_head(num_classes, POINT, dtype, "head")(y)
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
