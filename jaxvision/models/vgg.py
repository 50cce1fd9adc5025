"""VGG: 3x3 convolutions only.

Reference: Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition,
ICLR 2015, arXiv:1409.1556.
"""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Unpack

import flax.linen as nn
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, ModelOptions, check_images
from jaxvision.models.conv_model import ConvModel
from jaxvision.models.registry import register
from jaxvision.models.weights.names import (
    DENSE_AS_CONV,
    Rule,
    TorchNames,
    after_flatten,
    conv_norm_rules,
)

# Smaller images leave no pixels after the fifth pooling.
MIN_SIZE = 32

WIDTHS = (64, 128, 256, 512, 512)


class VGG(ConvModel, kw_only=True):
    """Five stages of 3x3 convolutions, each followed by a pooling, and dense layers.

    The layers are `stem`, `stage1_conv1`, `stage2_conv0`, ..., `dense1`, ..., `head`. The feature
    maps are the last of each stage before the pooling (strides 1 to 16) and the last pooling's
    (stride 32). Poolings drop an odd row and column, so maps may be smaller than the image divided
    by the stride. For images that are not 224x224, the last map is averaged to the 7x7 that the
    dense layers take, as in torchvision (timm applies the dense layers at each position of larger
    maps). `embed` is the last hidden layer's output, after dropout. For other attributes, see
    `ConvModel`.

    Attributes:
        stage_sizes: Number of convolutions in each stage.
        normalized: Whether a normalization follows each convolution, which keeps its bias.
        small_images: Whether the head takes the average of the last map, as is usual for images of
            about 32x32, whose last map is 1x1.
        hidden_sizes: Widths of the dense layers before the head; None is (4096, 4096), or () with
            `small_images`.
        dropout: Dropout rate of these layers' outputs.

    >>> import jax, jax.numpy as jnp
    >>> model = vgg11_bn(num_classes=10, small_images=True)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> sorted(variables["params"])[:3]
    ['head', 'stage2_conv0', 'stage3_conv0']
    """

    stage_sizes: tuple[int, ...]
    normalized: bool = False
    small_images: bool = False
    hidden_sizes: tuple[int, ...] | None = None
    dropout: float = 0.5

    drops_before_head: ClassVar[bool] = False

    def setup(self) -> None:
        """Defines the layers."""
        conv = partial(
            layers.ConvNorm,
            kernel_size=3,
            use_bias=True,
            kernel_init=layers.initializer("he_normal_fan_out"),
            **{**self.shared(), "norm": self.norm if self.normalized else None},
        )
        dense_init = layers.initializer("normal_0.01")
        for names, width in zip(self._stages(), WIDTHS, strict=True):
            for name in names:
                setattr(self, name, conv(features=width))
        for i, size in enumerate(self._hidden_sizes(), start=1):
            setattr(self, f"dense{i}", nn.Dense(size, kernel_init=dense_init, dtype=self.dtype))
        self.define_head(dense_init)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the maps at strides 1, 2, 4, 8, 16 and 32."""
        y = check_images(x, self.in_channels, MIN_SIZE)
        maps = {}
        for stage, names in enumerate(self._stages()):
            for name in names:
                y = getattr(self, name)(y, train)
            maps[2**stage] = y
            y = layers.max_pool(y, 2)
        maps[32] = y
        return maps

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the last hidden layer's output, or without any, the averaged last map."""
        activation = layers.activation(self.activation)
        side = 1 if self.small_images else 7
        y = layers.adaptive_avg_pool(self.features(x, train)[32], side, side)
        y = layers.flatten(y)
        for i in range(1, len(self._hidden_sizes()) + 1):
            y = activation(getattr(self, f"dense{i}")(y))
            y = self.drop(y, deterministic=not train)
        return y

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm number all layers; in timm, dense layers are convolutions."""
        rules: list[Rule] = []
        index = 0
        for names in self._stages():
            for name in names:
                rules += conv_norm_rules(name, f"features.{index}", f"features.{index + 1}")
                index += 3 if self.normalized else 2
            index += 1  # the pooling
        return {"torchvision": TorchNames(rules + TORCHVISION), "timm": TorchNames(rules + TIMM)}

    def _stages(self) -> list[list[str]]:
        """Lists the names of the convolutions of each stage."""
        stages = [
            [f"stage{stage}_conv{i}" for i in range(size)]
            for stage, size in enumerate(self.stage_sizes, start=1)
        ]
        stages[0][0] = "stem"
        return stages

    def _hidden_sizes(self) -> tuple[int, ...]:
        if self.hidden_sizes is not None:
            return tuple(self.hidden_sizes)
        return () if self.small_images else (4096, 4096)


# Rules for the layers after the convolutions.
TORCHVISION = [
    Rule(r"dense1", "classifier.0", after_flatten(7, 7)),
    Rule(r"dense2", "classifier.3"),
    Rule(r"head", "classifier.6"),
]
TIMM = [
    Rule(r"dense1", "pre_logits.fc1", after_flatten(7, 7, as_conv=True)),
    Rule(r"dense2", "pre_logits.fc2", DENSE_AS_CONV),
    Rule(r"head", "head.fc"),
]


class VGGOptions(ModelOptions, total=False):
    """Options of a VGG without normalization; see `VGG`."""

    small_images: bool
    hidden_sizes: tuple[int, ...] | None
    dropout: float
    activation: str


class NormalizedVGGOptions(VGGOptions, total=False):
    """Options of a VGG with normalization; see `VGG`."""

    norm: str
    axis_name: str | None


@register
def vgg11(**options: Unpack[VGGOptions]) -> VGG:
    """VGG-11: 132,863,336 parameters for 1000 classes (Table 1 of the paper, A).

    >>> vgg11(num_classes=10).stage_sizes
    (1, 1, 2, 2, 2)
    """
    return VGG(stage_sizes=(1, 1, 2, 2, 2), **options)


@register
def vgg11_bn(**options: Unpack[NormalizedVGGOptions]) -> VGG:
    """VGG-11 with BatchNorm: 132,868,840 parameters for 1000 classes (Table 1, A).

    The paper predates BatchNorm; the variants with BatchNorm are torchvision's.
    """
    return VGG(stage_sizes=(1, 1, 2, 2, 2), normalized=True, **options)


@register
def vgg13(**options: Unpack[VGGOptions]) -> VGG:
    """VGG-13: 133,047,848 parameters for 1000 classes (Table 1 of the paper, B)."""
    return VGG(stage_sizes=(2, 2, 2, 2, 2), **options)


@register
def vgg13_bn(**options: Unpack[NormalizedVGGOptions]) -> VGG:
    """VGG-13 with BatchNorm: 133,053,736 parameters for 1000 classes (Table 1, B)."""
    return VGG(stage_sizes=(2, 2, 2, 2, 2), normalized=True, **options)


@register
def vgg16(**options: Unpack[VGGOptions]) -> VGG:
    """VGG-16: 138,357,544 parameters for 1000 classes (Table 1 of the paper, D)."""
    return VGG(stage_sizes=(2, 2, 3, 3, 3), **options)


@register
def vgg16_bn(**options: Unpack[NormalizedVGGOptions]) -> VGG:
    """VGG-16 with BatchNorm: 138,365,992 parameters for 1000 classes (Table 1, D)."""
    return VGG(stage_sizes=(2, 2, 3, 3, 3), normalized=True, **options)


@register
def vgg19(**options: Unpack[VGGOptions]) -> VGG:
    """VGG-19: 143,667,240 parameters for 1000 classes (Table 1 of the paper, E)."""
    return VGG(stage_sizes=(2, 2, 4, 4, 4), **options)


@register
def vgg19_bn(**options: Unpack[NormalizedVGGOptions]) -> VGG:
    """VGG-19 with BatchNorm: 143,678,248 parameters for 1000 classes (Table 1, E)."""
    return VGG(stage_sizes=(2, 2, 4, 4, 4), normalized=True, **options)
