"""GoogLeNet, or Inception-v1.

Reference: Szegedy et al., Going deeper with convolutions, CVPR 2015, arXiv:1409.4842.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Unpack

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvModel, ConvModelOptions
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames, after_flatten

# As in TensorFlow, where torchvision's weights come from.
EPSILON = 1e-3

POOL = partial(layers.max_pool, window=3, stride=2, ceil=True)
POOL_OF_BRANCH = partial(layers.max_pool, window=3, stride=1, padding=1)

# Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
INCEPTIONS = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}

# Auxiliary heads by the module whose output they take (section 5).
AUXILIARY = {"inception4a": "auxiliary1", "inception4d": "auxiliary2"}


def branches_of(
    widths: tuple[int, ...], *, large: int
) -> tuple[tuple[layers.BranchItem, ...], ...]:
    """Lists the branches of an inception module (Figure 2b), for `layers.Branches`.

    `widths` is a row of Table 1, and `large` the kernel size of the paper's 5x5 convolution.

    >>> [len(steps) for steps in branches_of(INCEPTIONS["inception3a"], large=5)]
    [1, 2, 2, 2]
    """
    conv = layers.ConvStep
    return (
        (conv(widths[0]),),
        (conv(widths[1]), conv(widths[2], 3)),
        (conv(widths[3]), conv(widths[4], large)),
        (POOL_OF_BRANCH, conv(widths[5])),
    )


class AuxiliaryHead(nn.Module, kw_only=True):
    """A classifier of an early map: 4x4 averages, a 1x1 convolution, a dense layer and `head`.

    Attributes:
        num_classes: Number of logits.
        dropout: Dropout rate of the dense layer's output.
        options: Fields of the `ConvNorm`, including its `dtype`.
        dtype: Dtype of the dense layers' computation; None promotes the dtypes of inputs and
            parameters.
    """

    num_classes: int
    dropout: float
    options: Mapping[str, Any]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        conv_norm = partial(layers.ConvNorm, **self.options)
        dense = partial(nn.Dense, dtype=self.dtype, kernel_init=self.options["kernel_init"])
        activation = layers.activation(self.options["activation"])
        x = layers.adaptive_avg_pool(x, 4, 4)
        x = conv_norm(features=128, kernel_size=1, name="conv")(x, train)
        x = activation(dense(1024, name="dense")(layers.flatten(x)))
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
        return dense(self.num_classes, name="head")(x)


class GoogLeNet(ConvModel, kw_only=True):
    """A GoogLeNet: `stem_conv1` to `stem_conv3`, `inception3a` to `inception5b`, `head`.

    The feature maps are those of the stem's first convolution (stride 2) and its last (stride 4),
    and of the last inception module at each later stride (8 to 32). With `small_images`, there are
    only those of the inception modules (strides 1 to 4). Poolings may make maps smaller than the
    image divided by the stride. For other attributes, see `ConvModel`.

    Attributes:
        auxiliary_heads: Whether there are two more heads, for training (`with_auxiliary`); other
            calls do not compute them.
        original: Whether to build the paper's network: without normalization (which came later),
            with biases and local response normalization, with 5x5 rather than 3x3 kernels in the
            third branches, and with a last pooling of 3x3 rather than 2x2.
        small_images: Whether the stem is one 3x3 convolution that keeps the size, for images of
            about 32x32.
        dropout: Dropout rate of the averages before the head, in `embed`.
        auxiliary_dropout: Dropout rate in the auxiliary heads.

    >>> list(GoogLeNet(num_classes=10).torch_names()), list(GoogLeNet(original=True).torch_names())
    (['torchvision'], [])
    """

    auxiliary_heads: bool = True
    original: bool = False
    small_images: bool = False
    dropout: float = 0.2
    auxiliary_dropout: float = 0.7

    auxiliary_weight: ClassVar[float] = 0.3
    drops_before_head: ClassVar[bool] = False

    def __post_init__(self) -> None:
        layers.check_rates(auxiliary_dropout=self.auxiliary_dropout)
        if self.original and (self.norm, self.small_images) != ("batch", False):
            raise ValueError(
                "original=True has no normalization layers and the paper's stem; leave out "
                f"norm={self.norm!r} and small_images={self.small_images}"
            )
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the inception modules and the heads."""
        options = {
            **self.shared(),
            "norm": None if self.original else self.norm,
            "epsilon": EPSILON,
            "kernel_init": layers.initializer("glorot_uniform" if self.original else "he_normal"),
        }
        conv_norm = partial(layers.ConvNorm, **options)
        if self.small_images:
            self.stem_conv1 = conv_norm(features=192, kernel_size=3)
        else:
            self.stem_conv1 = conv_norm(features=64, kernel_size=7, stride=2)
            self.stem_conv2 = conv_norm(features=64, kernel_size=1)
            self.stem_conv3 = conv_norm(features=192, kernel_size=3)
        for name, widths in INCEPTIONS.items():
            branches = branches_of(widths, large=5 if self.original else 3)
            setattr(self, name, layers.Branches(branches=branches, **options))
        if self.auxiliary_heads:
            for name in AUXILIARY.values():
                auxiliary = AuxiliaryHead(
                    num_classes=self.num_classes,
                    dropout=self.auxiliary_dropout,
                    options=options,
                    dtype=self.dtype,
                )
                setattr(self, name, auxiliary)
        self.define_head(layers.initializer("normal_0.01"))

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        if self.is_initializing():  # the auxiliary heads need parameters
            return self.with_auxiliary(x, train)[0]
        return super().__call__(x, train)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        return self._maps(x, train)[0]

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the average of the last map."""
        return self._vector(self.features(x, train), train)

    def with_auxiliary(
        self, x: Images, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], tuple[Float[Array, "batch classes"], ...]]:
        """Computes the logits of the head and those of its auxiliary heads, if there are any."""
        maps, early = self._maps(x, train)
        logits = self.head(self._vector(maps, train))
        if not self.auxiliary_heads:
            return logits, ()
        return logits, tuple(getattr(self, name)(y, train) for name, y in early.items())

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only torchvision has this model, and without `original`."""
        return {} if self.original else {"torchvision": NAMES}

    def _maps(self, x: Images, train: bool) -> tuple[FeatureMaps, dict[str, Array]]:
        """Computes the maps by stride, and the inputs of the auxiliary heads by name."""
        # Smaller images leave no pixels after the last pooling.
        y = check_images(x, self.in_channels, 31 if self.original else 15)
        y = self.stem_conv1(y, train)
        maps, early, stride = {}, {}, 1
        if not self.small_images:
            maps[2] = y
            y = self._normalize(POOL(y))
            y = self.stem_conv3(self.stem_conv2(y, train), train)
            maps[4] = y
            y, stride = POOL(self._normalize(y)), 8
        for name in INCEPTIONS:
            if name == "inception4a":
                y, stride = POOL(y), 2 * stride
            elif name == "inception5a":
                y, stride = POOL(y, window=3 if self.original else 2), 2 * stride
            y = getattr(self, name)(y, train)
            maps[stride] = y
            if name in AUXILIARY:
                early[AUXILIARY[name]] = y
        return maps, early

    def _normalize(self, x: Array) -> Array:
        return layers.local_response_norm(x) if self.original else x

    def _vector(self, maps: FeatureMaps, train: bool) -> Array:
        average = layers.global_average_pool(list(maps.values())[-1])
        return self.drop(average, deterministic=not train)


PARTS = {"conv": "conv", "norm": "bn"}

NAMES = TorchNames(
    [
        Rule(r"stem_conv(\d)/(conv|norm)", lambda m: f"conv{m[1]}.{PARTS[m[2]]}"),
        Rule(
            r"(inception\w\w)/branch0_conv0/(conv|norm)",
            lambda m: f"{m[1]}.branch1.{PARTS[m[2]]}",
        ),
        Rule(
            r"(inception\w\w)/branch(\d)_conv(\d)/(conv|norm)",
            lambda m: f"{m[1]}.branch{int(m[2]) + 1}.{m[3]}.{PARTS[m[4]]}",
        ),
        Rule(r"auxiliary(\d)/conv/(conv|norm)", lambda m: f"aux{m[1]}.conv.{PARTS[m[2]]}"),
        Rule(r"auxiliary(\d)/dense", r"aux\1.fc1", after_flatten(4, 4)),
        Rule(r"auxiliary(\d)/head", r"aux\1.fc2"),
        Rule(r"head", "fc"),
    ],
    unused={r"aux\d\..*": "the auxiliary heads"},
)


class GoogLeNetOptions(ConvModelOptions, total=False):
    """Options of a GoogLeNet; see `GoogLeNet`."""

    auxiliary_heads: bool
    original: bool
    small_images: bool
    dropout: float
    auxiliary_dropout: float


@register
def googlenet(**options: Unpack[GoogLeNetOptions]) -> GoogLeNet:
    """GoogLeNet: 6,624,904 parameters for 1000 classes, 13,004,888 with its auxiliary heads.

    By default it is torchvision's network, which has BatchNorm and, by a mistake that its weights
    keep, 3x3 kernels where Table 1 of the paper has 5x5. `original=True` builds the paper's:
    6,998,552 parameters without auxiliary heads. Both have torchvision's auxiliary heads, which
    average maps of any size to 4x4 (the paper averages 5x5 windows with a stride of 3), and its
    dropout of 0.2 before the head (0.4 in the paper). torchvision's weights need images normalized
    by a mean and a standard deviation of 0.5 per channel (its `transform_input`), which the model
    does not do.

    >>> googlenet(num_classes=10, auxiliary_heads=False).auxiliary_heads
    False
    """
    return GoogLeNet(**options)
