"""Networks that classify every voxel of a volume: 3D U-Net and DeepMedic.

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

    Channels double before a max pooling rather than after it, and transposed convolutions keep
    them. With `norm=None`, three input channels and three classes, it has the 19,069,955 parameters
    of the paper; "batch" adds 2,336, because each bias of a 3x3x3 convolution becomes a scale and a
    bias.

    Attributes:
        num_classes: Number of logits per voxel.
        in_channels: Number of channels of volumes; None takes that of the first volume.
        channels: Numbers of channels of the two convolutions at each scale of the way down. On the
            way up, both convolutions have the second number.
        padded: Whether convolutions keep the size, so that volumes may have any size and the logits
            have the same. Without padding, as published, the logits are those of the middle:
            44x44x28 for 132x132x116.
        norm: Normalization after each 3x3x3 convolution; see `layers.norm`. None leaves it out.
        axis_name, dtype: See `layers.norm`.

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
        """Computes logits, (batch, depth, height, width, num_classes), in at least float32."""
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
            # One coarse voxel covers two: the border that is cut off doubles, too.
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
    """DeepMedic: one pathway sees the volume, another sees it at a third of the resolution.

    Each pathway has eight 3x3x3 convolutions without padding, so that a logit depends on 17x17x17
    voxels around it, and on 51x51x51 by averages of 3x3x3. The maps of the second pathway are
    repeated three times along each axis; two layers of 150 channels join both. Activations are
    PReLU, with a slope per channel.

    Attributes:
        num_classes: Number of logits per voxel.
        in_channels: Number of channels of volumes; None takes that of the first volume.
        channels: Number of channels of each convolution of a pathway.
        hidden_channels: Number of channels of each layer that joins the pathways.
        padded: Whether to reflect the volume at its border as far as the second pathway sees, so
            that volumes may have any size and the logits have the same. Without padding, as
            published, the logits of a side of 48 + 3n voxels are those of the 3n in the middle.
        norm: Normalization after each convolution but the last; see `layers.norm`. None leaves it
            out.
        dropout: Dropout rate of the layers that join the pathways.
        axis_name, dtype: See `layers.norm`.

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
        """Computes logits, (batch, depth, height, width, num_classes), in at least float32."""
        reach = len(self.channels)  # a convolution removes one voxel per side
        border = _COARSER * reach
        volume = check_images(x, self.in_channels, axes=3)
        if self.padded:
            size = volume.shape[1:4]
            volume = _reflected(volume, border)
        else:
            size = tuple(length - 2 * border for length in volume.shape[1:4])
            if any(length < 1 or length % _COARSER for length in size):
                raise ValueError(
                    f"without padding, sides must be {2 * border} plus a multiple of {_COARSER} "
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
"""The number of voxels per side that two 3x3x3 convolutions without padding remove."""

_COARSER = 3
"""The factor by which the second pathway's volume is coarser."""


def _least_size(scales: int) -> int:
    """The smallest side from which a 3D U-Net without padding computes a voxel.

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
    """Crops two volumes to their common part; the second begins `border` voxels further inside."""
    size = tuple(
        min(old - border, new) for old, new in zip(skip.shape[1:4], y.shape[1:4], strict=True)
    )
    return [_cut(skip, border, size), _cut(y, 0, size)]


def _cut(x: Volume, start: int, size: Sequence[int]) -> Volume:
    depth, height, width = (slice(start, start + length) for length in size)
    return x[:, depth, height, width]


def _reflected(x: Volume, border: int) -> Volume:
    """Reflects a volume at its border, and further at the end to fill the blocks of averages.

    The voxel at the border is not repeated, except along an axis of length 1.
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
