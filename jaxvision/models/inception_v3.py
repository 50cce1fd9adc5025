"""Inception-v3.

Reference: Szegedy et al., Rethinking the Inception architecture for computer vision, CVPR 2016,
arXiv:1512.00567.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Unpack

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, check_images
from jaxvision.models.conv_model import ConvModel, ConvModelOptions
from jaxvision.models.layers import ConvStep
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames

# Smaller images leave no pixels after the second reduction.
MIN_SIZE = 75

# As in TensorFlow, where torchvision's weights come from.
EPSILON = 1e-3

MAX_POOL = partial(layers.max_pool, window=3, stride=2)
AVG_POOL = partial(layers.avg_pool, window=3, stride=1, padding=1)

Table = tuple[tuple[layers.BranchItem, ...], ...]


def inception_a(pooled: int) -> Table:
    """Lists the branches of a module with 5x5 and 3x3 kernels (Figure 5).

    `pooled` is the width of the branch with a pooling.

    >>> len(inception_a(32))
    4
    """
    return (
        (ConvStep(64),),
        (ConvStep(48), ConvStep(64, 5)),
        (ConvStep(64), ConvStep(96, 3), ConvStep(96, 3)),
        (AVG_POOL, ConvStep(pooled)),
    )


def inception_b(narrow: int) -> Table:
    """Lists the branches of a module with factorized 7x7 kernels (Figure 6).

    `narrow` is the width inside the branches.

    >>> len(inception_b(128))
    4
    """
    row, column = partial(ConvStep, kernel_size=(1, 7)), partial(ConvStep, kernel_size=(7, 1))
    return (
        (ConvStep(192),),
        (ConvStep(narrow), row(narrow), column(192)),
        (ConvStep(narrow), column(narrow), row(narrow), column(narrow), row(192)),
        (AVG_POOL, ConvStep(192)),
    )


# Figure 10, unpadded.
REDUCTION_A: Table = (
    (ConvStep(384, 3, 2, 0),),
    (ConvStep(64), ConvStep(96, 3), ConvStep(96, 3, 2, 0)),
    (MAX_POOL,),
)
REDUCTION_B: Table = (
    (ConvStep(192), ConvStep(320, 3, 2, 0)),
    (ConvStep(192), ConvStep(192, (1, 7)), ConvStep(192, (7, 1)), ConvStep(192, 3, 2, 0)),
    (MAX_POOL,),
)

# Figure 7: the branches with 3x3 kernels end in a row and a column kernel in parallel.
FORK = (ConvStep(384, (1, 3)), ConvStep(384, (3, 1)))
INCEPTION_C: Table = (
    (ConvStep(320),),
    (ConvStep(384), FORK),
    (ConvStep(448), ConvStep(384, 3), FORK),
    (AVG_POOL, ConvStep(192)),
)


class AuxiliaryHead(nn.Module, kw_only=True):
    """A classifier of the last map at stride 16: averages, two convolutions and `head`.

    Maps of at least 17x17, the size for 299x299 images, are averaged over 5x5 windows with a stride
    of 3, and then convolved with an unpadded 5x5 kernel. Smaller maps, which torchvision refuses,
    are averaged to 5x5.

    Attributes:
        num_classes: Number of logits.
        options: Fields of the `ConvNorm`, including its `dtype`.
        dtype: Dtype of the head's computation; None promotes the dtypes of inputs and parameters.
    """

    num_classes: int
    options: Mapping[str, Any]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        if min(x.shape[1:3]) < 17:
            height, width = (max(5, (size - 2) // 3) for size in x.shape[1:3])
            x = layers.adaptive_avg_pool(x, height, width)
        else:
            x = layers.avg_pool(x, 5, stride=3)
        conv_norm = partial(layers.ConvNorm, **self.options)
        x = conv_norm(features=128, kernel_size=1, name="conv1")(x, train)
        x = conv_norm(features=768, kernel_size=5, padding=0, name="conv2")(x, train)
        head = nn.Dense(
            self.num_classes,
            dtype=self.dtype,
            kernel_init=layers.initializer("torch"),
            name="head",
        )
        return head(layers.global_average_pool(x))


class InceptionV3(ConvModel, kw_only=True):
    """An Inception-v3: `stem_conv1` to `stem_conv5`, inception modules, `head`.

    The modules are `inception_a0`, ..., `reduction_a`, `inception_b0`, ..., `reduction_b`,
    `inception_c0` and `inception_c1`. The feature maps are the last at each stride: those of the
    stem (strides 2 and 4) and of each kind of inception module (strides 8 to 32). Convolutions and
    poolings that reduce the size are not padded, so maps are smaller than the image divided by the
    stride, and images need at least 75x75 pixels. For other attributes, see `ConvModel`.

    Attributes:
        pooled_widths: Channels of the branch with a pooling, for each inception module A.
        narrow_widths: Channels inside the branches, for each inception module B.
        auxiliary_heads: Whether there is another head, for training (`with_auxiliary`); other calls
            do not compute it.
        dropout: Dropout rate of the averages before the head, in `embed`.

    >>> import jax, jax.numpy as jnp
    >>> model = InceptionV3(num_classes=10, pooled_widths=(32,), narrow_widths=(128,))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 75, 75, 3)))
    >>> sorted(variables["params"]["auxiliary"])
    ['conv1', 'conv2', 'head']
    """

    pooled_widths: tuple[int, ...] = (32, 64, 64)
    narrow_widths: tuple[int, ...] = (128, 160, 160, 192)
    auxiliary_heads: bool = True
    dropout: float = 0.5

    default_image_size: ClassVar[int] = 299
    drops_before_head: ClassVar[bool] = False
    # As in TensorFlow's training script; the paper does not give it.
    auxiliary_weight: ClassVar[float] = 0.4

    def setup(self) -> None:
        """Defines the stem, the inception modules and the heads."""
        options = {
            **self.shared(),
            "epsilon": EPSILON,
            "kernel_init": layers.initializer("he_normal"),
        }
        conv_norm = partial(layers.ConvNorm, kernel_size=3, padding=0, **options)
        self.stem_conv1 = conv_norm(features=32, stride=2)
        self.stem_conv2 = conv_norm(features=32)
        self.stem_conv3 = conv_norm(features=64, padding=1)
        self.stem_conv4 = conv_norm(features=80, kernel_size=1)
        self.stem_conv5 = conv_norm(features=192)
        for modules in self._modules():
            for name, branches in modules.items():
                setattr(self, name, layers.Branches(branches=branches, **options))
        if self.auxiliary_heads:
            self.auxiliary = AuxiliaryHead(
                num_classes=self.num_classes, options=options, dtype=self.dtype
            )
        self.define_head()

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        if self.is_initializing():  # the auxiliary head needs parameters
            return self.with_auxiliary(x, train)[0]
        return super().__call__(x, train)

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        y = self.stem_conv1(check_images(x, self.in_channels, MIN_SIZE), train)
        stride2 = self.stem_conv3(self.stem_conv2(y, train), train)
        stride4 = self.stem_conv5(self.stem_conv4(MAX_POOL(stride2), train), train)
        maps = {2: stride2, 4: stride4}
        y = MAX_POOL(stride4)
        for stride, modules in zip((8, 16, 32), self._modules(), strict=True):
            for name in modules:
                y = getattr(self, name)(y, train)
            maps[stride] = y
        return maps

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the average of the last map."""
        return self._vector(self.features(x, train), train)

    def with_auxiliary(
        self, x: Images, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], tuple[Float[Array, "batch classes"], ...]]:
        """Computes the logits of the head and those of the auxiliary head, if there is one."""
        maps = self.features(x, train)
        logits = self.head(self._vector(maps, train))
        if not self.auxiliary_heads:
            return logits, ()
        return logits, (self.auxiliary(maps[16], train),)

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Torchvision and timm use the same names."""
        return {"torchvision": NAMES, "timm": NAMES}

    def _modules(self) -> tuple[dict[str, Table], ...]:
        """Lists the modules at strides 8, 16 and 32."""
        a = {f"inception_a{i}": inception_a(pooled) for i, pooled in enumerate(self.pooled_widths)}
        b = {f"inception_b{i}": inception_b(narrow) for i, narrow in enumerate(self.narrow_widths)}
        c = {"inception_c0": INCEPTION_C, "inception_c1": INCEPTION_C}
        return a, {"reduction_a": REDUCTION_A, **b}, {"reduction_b": REDUCTION_B, **c}

    def _vector(self, maps: FeatureMaps, train: bool) -> Array:
        average = layers.global_average_pool(maps[32])
        return self.drop(average, deterministic=not train)


STEM = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")
PARTS = {"conv": "conv", "norm": "bn"}
FIRST = {"inception_a": ("5", "b"), "inception_b": ("6", "b"), "inception_c": ("7", "b")}
REDUCTIONS = {"reduction_a": "6a", "reduction_b": "7a"}
# Names of the branches in torchvision and timm, by the kind of module.
BRANCHES = {
    "inception_a": ("branch1x1", "branch5x5_", "branch3x3dbl_", "branch_pool"),
    "reduction_a": ("branch3x3", "branch3x3dbl_"),
    "inception_b": ("branch1x1", "branch7x7_", "branch7x7dbl_", "branch_pool"),
    "reduction_b": ("branch3x3_", "branch7x7x3_"),
    "inception_c": ("branch1x1", "branch3x3_", "branch3x3dbl_", "branch_pool"),
}


def _module(match: re.Match[str]) -> str:
    """Names a convolution or a norm of a module in torchvision and timm."""
    kind, index, branch, step, fork, part = match.groups()
    if index:
        number, letter = FIRST[kind]
        module = f"{number}{chr(ord(letter) + int(index))}"
    else:
        module = REDUCTIONS[kind]
    name = BRANCHES[kind][int(branch)]
    if name.endswith("_"):
        name += f"{int(step) + 1}{fork}"
    return f"Mixed_{module}.{name}.{PARTS[part]}"


NAMES = TorchNames(
    [
        Rule(
            r"stem_conv(\d)/(conv|norm)",
            lambda m: f"Conv2d_{STEM[int(m[1]) - 1]}.{PARTS[m[2]]}",
        ),
        Rule(r"(\w+_[abc])(\d*)/branch(\d)_conv(\d)(\w?)/(conv|norm)", _module),
        Rule(
            r"auxiliary/conv(\d)/(conv|norm)",
            lambda m: f"AuxLogits.conv{int(m[1]) - 1}.{PARTS[m[2]]}",
        ),
        Rule(r"auxiliary/head", "AuxLogits.fc"),
        Rule(r"head", "fc"),
    ],
    unused={r"AuxLogits\..*": "the auxiliary heads"},
)


class InceptionV3Options(ConvModelOptions, total=False):
    """Options of an Inception-v3; see `InceptionV3`."""

    pooled_widths: tuple[int, ...]
    narrow_widths: tuple[int, ...]
    auxiliary_heads: bool
    dropout: float


@register
def inception_v3(**options: Unpack[InceptionV3Options]) -> InceptionV3:
    """Inception-v3: 23,834,568 parameters for 1000 classes, 27,161,264 with its auxiliary head.

    It is Table 1 of the paper as TensorFlow, torchvision and timm implement it, for 299x299 images:
    its stem ends with a 1x1 convolution, a 3x3 convolution and a pooling, where the table has three
    3x3 convolutions. The dropout of 0.5 before the head is torchvision's. torchvision's weights
    need images normalized by a mean and a standard deviation of 0.5 per channel (its
    `transform_input`), which the model does not do.

    >>> inception_v3(num_classes=10).default_image_size
    299
    """
    return InceptionV3(**options)
