"""U-Net and SegNet as they were published, without a separate backbone, and a linear baseline.

References: Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation,
MICCAI 2015, arXiv:1505.04597. Badrinarayanan et al., SegNet: a deep convolutional encoder-decoder
architecture for image segmentation, PAMI 2017, arXiv:1511.00561.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, canonical_dtype, check_images
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import Map, make_head, plain_conv, size_of
from jaxvision.ops import ConvTranspose, center_crop, max_pool_with_indices, max_unpool, resize

Logits = Float[Array, "batch _ _ classes"]


@register_module
class ClassicUNet(nn.Module, kw_only=True):
    """U-Net: two convolutions at each of five scales, down and up again.

    Without padding, as published, the logits are smaller than the images (388x388 for 572x572), and
    the maps of the way down are cropped to those of the way up. With padding, images may have any
    size, and the logits have the same.

    Attributes:
        num_classes: Number of logits per pixel.
        in_channels: Number of channels of images; None takes that of the first image.
        channels: Number of channels at each scale.
        padded: Whether convolutions keep the size.
        norm: Normalization after each convolution, which the paper does not have; see
            `layers.norm`. None leaves it out.
        dropout: Dropout rate of the coarsest map.
        auxiliary: Whether each coarser scale has logits of its own in training, so that coarse maps
            learn the classes sooner (Lee et al., Deeply-supervised nets, AISTATS 2015,
            arXiv:1409.5185); needs `padded`.
        axis_name, dtype: See `layers.norm`.

    Raises:
        ValueError: `auxiliary` is True and `padded` is not.

    >>> import jax
    >>> images = jnp.zeros((1, 572, 572, 1))
    >>> model = ClassicUNet(num_classes=2)
    >>> logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    >>> logits.shape, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    ((1, 388, 388, 2), 31030658)
    """

    num_classes: int
    in_channels: int | None = None
    channels: tuple[int, ...] = (64, 128, 256, 512, 1024)
    padded: bool = False
    norm: str | None = None
    dropout: float = 0.5
    auxiliary: bool = False
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        if self.auxiliary and not self.padded:
            raise ValueError("auxiliary=True needs padded=True, so that scales see the same pixels")
        self.dtype = canonical_dtype(self.dtype)
        super().__post_init__()

    def __call__(self, x: Images, train: bool = False) -> Logits:
        """Computes logits, (batch, height, width, num_classes); without padding, of the middle.

        `train` turns on dropout and normalization by the statistics of the batch.
        """
        return self.with_auxiliary(x, train)[0]

    @nn.compact
    def with_auxiliary(self, x: Images, train: bool = False) -> tuple[Logits, tuple[Logits, ...]]:
        """Computes the logits and, with `auxiliary`, those of coarser scales, coarsest first."""
        coarse: list[Logits] = []
        y = check_images(x, self.in_channels, min_size=2 ** (len(self.channels) - 1))
        skips: list[Map] = []
        for scale, features in enumerate(self.channels):
            if scale > 0:
                skips.append(y)
                y = layers.max_pool(y, 2)
            y = self._convolve(y, features, f"down{scale}", train)
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        for scale in reversed(range(len(skips))):
            features, skip = self.channels[scale], skips[scale]
            if self.auxiliary:
                coarse.append(make_head(self.num_classes, 1, self.dtype, f"head{scale + 1}")(y))
            y = ConvTranspose(
                features,
                (2, 2),
                strides=(2, 2),
                kernel_init=layers.initializer("he_normal"),
                dtype=self.dtype,
                name=f"enlarge{scale}",
            )(y)
            if self.padded:
                y = resize(y, size_of(skip), "nearest")
            y = jnp.concatenate([center_crop(skip, size_of(y)), y], axis=-1)
            y = self._convolve(y, features, f"up{scale}", train)
        return make_head(self.num_classes, 1, self.dtype, "head")(y), tuple(coarse)

    def _convolve(self, x: Map, features: int, name: str, train: bool) -> Map:
        for index in (1, 2):
            padding = None if self.padded else 0
            x = plain_conv(self, features, 3, f"{name}_{index}", padding=padding)(x, train)
        return x


@register_module
class SegNet(nn.Module, kw_only=True):
    """SegNet: its decoder puts each max-pooled value back in its place, and then convolves.

    The way down is VGG-16 with batch normalization, and the way up its mirror image.

    Attributes:
        num_classes: Number of logits per pixel.
        in_channels: Number of channels of images; None takes that of the first image.
        channels: Number of channels at each scale.
        depths: Number of convolutions at each scale.
        norm: Normalization after each convolution; see `layers.norm`.
        axis_name, dtype: See `layers.norm`.

    >>> import jax
    >>> model = SegNet(num_classes=12)
    >>> images = jnp.zeros((1, 100, 77, 3))
    >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
    (1, 100, 77, 12)
    """

    num_classes: int
    in_channels: int | None = None
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    norm: str = "batch"
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.depths):
            raise ValueError(
                f"channels and depths must have one number for each scale, got {self.channels} and "
                f"{self.depths}"
            )
        self.dtype = canonical_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Logits:
        """Computes logits, (batch, height, width, num_classes)."""
        y = check_images(x, self.in_channels, min_size=2 ** len(self.channels))
        places: list[tuple[Any, tuple[int, int]]] = []
        for scale, (features, depth) in enumerate(zip(self.channels, self.depths, strict=True)):
            for index in range(depth):
                y = plain_conv(self, features, 3, f"down{scale}_{index}")(y, train)
            size = size_of(y)
            y, indices = max_pool_with_indices(y, 2)
            places.append((indices, size))
        for scale in reversed(range(len(self.channels))):
            indices, size = places[scale]
            y = max_unpool(y, indices, 2, size=size)
            widths = [self.channels[scale]] * (self.depths[scale] - 1)
            widths += self.channels[scale - 1 : scale]  # none at the finest scale: the head follows
            for index, features in enumerate(widths):
                y = plain_conv(self, features, 3, f"up{scale}_{index}")(y, train)
        return make_head(self.num_classes, 3, self.dtype, "head")(y)


@register_module
class PixelClassifier(nn.Module, kw_only=True):
    """Computes logits linearly from the pixels around each pixel: a baseline for networks.

    Attributes:
        num_classes: Number of logits per pixel.
        in_channels: Number of channels of images; None takes that of the first image.
        kernel_size: Height and width of the window around a pixel; 1 is the pixel alone.
        dtype: Compute dtype; None promotes types.

    >>> import jax
    >>> model = PixelClassifier(num_classes=4, kernel_size=3)
    >>> images = jnp.zeros((1, 20, 30, 3))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    112
    """

    num_classes: int
    in_channels: int | None = None
    kernel_size: int = 1
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        self.dtype = canonical_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Logits:
        """Computes logits, (batch, height, width, num_classes); `train` has no effect."""
        del train
        images = check_images(x, self.in_channels)
        return make_head(self.num_classes, self.kernel_size, self.dtype, "head")(images)
