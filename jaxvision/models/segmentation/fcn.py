"""Fully convolutional networks, and dilated convolutions that refine their scores.

References: Long et al., Fully convolutional networks for semantic segmentation, CVPR 2015,
arXiv:1411.4038. Yu & Koltun, Multi-scale context aggregation by dilated convolutions, ICLR 2016,
arXiv:1511.07122.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, Model, check_images
from jaxvision.models.description import register_module
from jaxvision.models.segmentation.decoder import (
    Decoder,
    Map,
    Stages,
    size_of,
    spatial_dropout,
)
from jaxvision.models.weights.names import Rule, TorchNames, sequence_rules
from jaxvision.ops import ConvTranspose, resize


@register_module
class FCNDecoder(Decoder, kw_only=True):
    """A 3x3 convolution on the coarsest map: torchvision's FCN, for a backbone that dilates.

    Attributes:
        channels: Number of channels of the result; None takes a quarter of the map's.
        dropout: Dropout rate of the result.
        align_corners, norm, axis_name, dtype: See `Decoder`.
    """

    channels: int | None = None
    dropout: float = 0.1
    align_corners: bool = False

    head_size: ClassVar[int] = 1
    names_in_torch: ClassVar[Mapping[str, TorchNames]] = {
        "torchvision": TorchNames(
            [
                *sequence_rules("decoder/conv", "classifier"),
                Rule("head", "classifier.4"),
            ],
            unused={r"aux_classifier\..*": "the auxiliary classifier"},
            options={"decoder.align_corners": False},
        )
    }

    @nn.compact
    def __call__(self, stages: Stages, image_size: tuple[int, int], train: bool = False) -> Map:
        """Computes a map of the size of the coarsest."""
        x = stages[-1][1]
        features = x.shape[-1] // 4 if self.channels is None else self.channels
        y = self.conv_norm(features, 3, name="conv")(x, train)
        return nn.Dropout(self.dropout, deterministic=not train)(y)


@register_module
class SkipFCN(nn.Module, kw_only=True):
    """FCN-32s, FCN-16s and FCN-8s: adds the scores of finer maps to those of the coarsest map.

    Scores are doubled by learned transposed convolutions, which start as bilinear interpolation;
    the last scores are interpolated to the size of the images.

    Attributes:
        backbone: Model whose maps are scored; its own head is not created.
        num_classes: Number of logits per pixel.
        finest: Stride of the finest map that is scored: 32, 16 or 8 in the paper.
        hidden_channels: Number of channels of a 7x7 and a 1x1 convolution before the coarsest
            scores (4096 in the paper, those of VGG); None leaves them out.
        dropout: Probability that a channel of those two layers is dropped in training.

    >>> from jaxvision import models
    >>> model = SkipFCN(backbone=models.create_model("vgg11"), num_classes=21)
    >>> images = jnp.zeros((1, 96, 131, 3))
    >>> logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    >>> logits.shape, [name for name in variables["params"] if "head" in name]
    ((1, 96, 131, 21), ['head16', 'head32', 'head8'])
    """

    backbone: Model
    num_classes: int
    finest: int = 8
    hidden_channels: int | None = None
    dropout: float = 0.5

    @property
    def in_channels(self) -> int | None:
        """The number of channels that images must have; None stands for any."""
        return self.backbone.in_channels

    @property
    def dtype(self) -> DTypeLike | None:
        """The compute dtype, which is that of the backbone."""
        return self.backbone.dtype

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch _ _ classes"]:
        """Computes logits, (batch, height, width, num_classes)."""
        images = check_images(x, self.in_channels)
        maps = self.backbone.features(images, train)
        strides = sorted((stride for stride in maps if stride >= self.finest), reverse=True)
        if not strides:
            raise ValueError(
                f"finest must be at most the coarsest stride of the backbone, {max(maps)}, got "
                f"{self.finest}"
            )
        coarsest, *finer = strides
        scores = self._score(self._hidden(maps[coarsest], train), coarsest)
        for stride in finer:
            doubled = ConvTranspose(
                self.num_classes,
                (4, 4),
                strides=(2, 2),
                use_bias=False,
                kernel_init=bilinear,
                dtype=self.dtype,
                name=f"enlarge{stride}",
            )(scores)
            cut = layers.cut_to(doubled, size_of(maps[stride]))
            scores = cut + self._score(maps[stride], stride)
        return resize(scores, size_of(images))

    def _score(self, x: Map, stride: int) -> Map:
        zeros = jax.nn.initializers.zeros
        return layers.conv(
            self.num_classes, 1, kernel_init=zeros, dtype=self.dtype, name=f"head{stride}"
        )(x)

    def _hidden(self, x: Map, train: bool) -> Map:
        if self.hidden_channels is None:
            return x
        for name, kernel_size in (("hidden1", 7), ("hidden2", 1)):
            x = layers.conv(
                self.hidden_channels,
                kernel_size,
                kernel_init=layers.initializer("he_normal"),
                dtype=self.dtype,
                name=name,
            )(x)
            x = spatial_dropout(self.dropout, train=train)(nn.relu(x))
        return x


@register_module
class ContextModule(nn.Module, kw_only=True):
    """Refines scores by dilated 3x3 convolutions, without pooling: each pixel sees 67x67.

    It starts as the identity. (Yu & Koltun, table 1.)

    Attributes:
        widths: Number of channels of each layer as a multiple of the number of classes; the paper's
            large module has (2, 2, 4, 8, 16, 32, 32).
        dilations: Dilation of each layer.
        dtype: Compute dtype; None promotes types.

    >>> scores = jnp.ones((1, 20, 30, 5))
    >>> module = ContextModule()
    >>> jax.eval_shape(module.init_with_output, jax.random.key(0), scores)[0].shape
    (1, 20, 30, 5)
    """

    widths: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1)
    dilations: tuple[int, ...] = (1, 1, 2, 4, 8, 16, 1)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, scores: Map) -> Map:
        """Refines probabilities or positive scores; ReLUs between the layers cut negative ones."""
        classes = scores.shape[-1]
        x = scores
        for index, (width, dilation) in enumerate(zip(self.widths, self.dilations, strict=True)):
            layer = layers.conv(
                classes * width,
                3,
                dilation=dilation,
                kernel_init=_identity,
                dtype=self.dtype,
                name=f"layer{index}",
            )
            x = nn.relu(layer(x))
        return layers.conv(classes, 1, kernel_init=_identity, dtype=self.dtype, name="last")(x)


def bilinear(key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """An initializer of transposed convolutions that interpolate each channel by itself."""
    del key
    sides = []
    for size in shape[:2]:
        factor = (size + 1) // 2
        center = factor - 1 if size % 2 else factor - 0.5
        sides.append(1 - np.abs(np.arange(size) - center) / factor)
    kernel = np.zeros(shape)
    same = np.arange(min(shape[2:]))
    kernel[:, :, same, same] = np.outer(*sides)[..., None]
    return jnp.asarray(kernel, dtype)


def _identity(key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """An initializer: the middle tap of each output averages the inputs of its class."""
    del key
    height, width, old, new = shape
    classes = np.gcd(old, new)
    kernel = np.zeros(shape)
    same = np.arange(old)[:, None] % classes == np.arange(new) % classes
    kernel[height // 2, width // 2] = same * (classes / old)
    return jnp.asarray(kernel, dtype)
