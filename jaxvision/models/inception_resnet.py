"""Inception-ResNet-v1 and -v2: inception modules that are added to their input.

Reference: Szegedy et al., Inception-v4, Inception-ResNet and the impact of residual connections on
learning, AAAI 2017, arXiv:1602.07261.
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
from jaxvision.models.layers import ConvStep
from jaxvision.models.registry import register
from jaxvision.models.weights.names import Rule, TorchNames

# Smaller images leave no pixels after the second reduction.
MIN_SIZE = 75

# As in TensorFlow, where timm's weights come from.
EPSILON = 1e-3

# Factors of the residuals of modules A, B and C, from TensorFlow's code (0.1 to 0.3 in the paper).
SCALES = (0.17, 0.1, 0.2)

MAX_POOL = partial(layers.max_pool, window=3, stride=2)
AVG_POOL = partial(layers.avg_pool, window=3, stride=1, padding=1, count_include_pad=False)

Table = tuple[tuple[layers.BranchItem, ...], ...]


def row_and_column(kernel: int, alone: int, first: int, second: int, third: int) -> Table:
    """Lists the branches of modules B and C: a 1x1 convolution, and a large kernel in two factors.

    `alone` is the width of the first branch, `first`, `second` and `third` are those of the second.

    >>> len(row_and_column(7, 128, 128, 128, 128))
    2
    """
    steps = (ConvStep(first), ConvStep(second, (1, kernel)), ConvStep(third, (kernel, 1)))
    return ((ConvStep(alone),), steps)


def reduction_a(first: int, second: int, third: int) -> Table:
    """Lists the branches of the reduction between modules A and B; k, l and m in Figure 7.

    >>> len(reduction_a(192, 192, 256))
    3
    """
    steps = (ConvStep(first), ConvStep(second, 3), ConvStep(third, 3, 2, 0))
    return ((ConvStep(384, 3, 2, 0),), steps, (MAX_POOL,))


def reduction_b(second: int, third: int, fourth: int) -> Table:
    """Lists the branches of the reduction between modules B and C (Figures 12 and 18).

    `second` is the output width of the second branch; `third` and `fourth` are the inner and the
    output width of the third.

    >>> len(reduction_b(256, 256, 256))
    4
    """
    return (
        (ConvStep(256), ConvStep(384, 3, 2, 0)),
        (ConvStep(256), ConvStep(second, 3, 2, 0)),
        (ConvStep(256), ConvStep(third, 3), ConvStep(fourth, 3, 2, 0)),
        (MAX_POOL,),
    )


# Version 1: Figures 10, 7, 11, 12 and 13. Version 2 is TensorFlow's, whose widths differ from the
# paper's Figures 16 to 19.
STEM = {
    1: ((ConvStep(256, 3, 2, 0),),),
    2: (
        (ConvStep(96),),
        (ConvStep(48), ConvStep(64, 5)),
        (ConvStep(64), ConvStep(96, 3), ConvStep(96, 3)),
        (AVG_POOL, ConvStep(64)),
    ),
}
INCEPTION_A = {
    1: (
        (ConvStep(32),),
        (ConvStep(32), ConvStep(32, 3)),
        (ConvStep(32), ConvStep(32, 3), ConvStep(32, 3)),
    ),
    2: (
        (ConvStep(32),),
        (ConvStep(32), ConvStep(32, 3)),
        (ConvStep(32), ConvStep(48, 3), ConvStep(64, 3)),
    ),
}
REDUCTION_A = {1: reduction_a(192, 192, 256), 2: reduction_a(256, 256, 384)}
INCEPTION_B = {1: row_and_column(7, 128, 128, 128, 128), 2: row_and_column(7, 192, 128, 160, 192)}
REDUCTION_B = {1: reduction_b(256, 256, 256), 2: reduction_b(288, 288, 320)}
INCEPTION_C = {1: row_and_column(3, 192, 192, 192, 192), 2: row_and_column(3, 192, 192, 224, 256)}
STAGE_SIZES = {1: (5, 10, 5), 2: (10, 20, 10)}


class Residual(nn.Module, kw_only=True):
    """An inception module, `branches`, and a 1x1 convolution, `project`, added to their input.

    Attributes:
        table: Branches of the module; see `layers.Branches`.
        scale: Factor of the residual.
        activation: Nonlinearity after the addition; see `layers.activation`.
        options: Other fields of `layers.Branches`, including its `dtype`.
        dtype: Dtype of the computation of `project`; None promotes the dtypes of inputs and
            parameters.
    """

    table: Table
    scale: float
    activation: str
    options: Mapping[str, Any]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch height width channels"]:
        """Computes the activation of input plus scaled residual."""
        branches = layers.Branches(branches=self.table, **self.options, name="branches")
        project = layers.conv(
            x.shape[-1],
            1,
            kernel_init=self.options["kernel_init"],
            dtype=self.dtype,
            name="project",
        )
        return layers.activation(self.activation)(x + self.scale * project(branches(x, train)))


class InceptionResNet(ConvModel, kw_only=True):
    """An Inception-ResNet: `stem_conv1` to `stem_conv5`, `stem_mixed`, modules, `head`.

    The modules are `inception_a0`, ..., `reduction_a`, `inception_b0`, ..., `reduction_b`,
    `inception_c0`, ..., and in version 2 a last convolution, `last`. The feature maps are the last
    at each stride: those of the stem (strides 2 and 4) and of each kind of inception module
    (strides 8 to 32). Convolutions and poolings that reduce the size are not padded, so maps are
    smaller than the image divided by the stride, and images need at least 75x75 pixels. For other
    attributes, see `ConvModel`.

    Attributes:
        version: 1 or 2.
        stage_sizes: Number of inception modules of each kind; None is (5, 10, 5) in version 1 and
            (10, 20, 10) in version 2.
        dropout: Dropout rate of the averages before the head, in `embed`.

    >>> import jax, jax.numpy as jnp
    >>> model = inception_resnet_v1(num_classes=10, stage_sizes=(1, 1, 1))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 75, 75, 3)))
    >>> sorted(variables["params"]["inception_b0"])
    ['branches', 'project']
    """

    version: int
    stage_sizes: tuple[int, ...] | None = None
    dropout: float = 0.2

    default_image_size: ClassVar[int] = 299
    drops_before_head: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.version not in STAGE_SIZES:
            raise ValueError(f"version must be 1 or 2, got {self.version!r}")
        sizes = self.stage_sizes
        if sizes is not None and (len(sizes) != 3 or min(sizes) < 1):
            raise ValueError(f"stage_sizes must be three numbers from 1, got {sizes}")
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the modules and the head."""
        options = {
            **self.shared(),
            "epsilon": EPSILON,
            "kernel_init": layers.initializer("he_normal"),
        }
        version = self.version
        conv_norm = partial(layers.ConvNorm, kernel_size=3, padding=0, **options)
        branches = partial(layers.Branches, **options)
        self.stem_conv1 = conv_norm(features=32, stride=2)
        self.stem_conv2 = conv_norm(features=32)
        self.stem_conv3 = conv_norm(features=64, padding=1)
        self.stem_conv4 = conv_norm(features=80, kernel_size=1)
        self.stem_conv5 = conv_norm(features=192)
        self.stem_mixed = branches(branches=STEM[version])
        self.reduction_a = branches(branches=REDUCTION_A[version])
        self.reduction_b = branches(branches=REDUCTION_B[version])
        tables = (INCEPTION_A[version], INCEPTION_B[version], INCEPTION_C[version])
        names = self._names()
        for stage, table, scale in zip(names, tables, SCALES, strict=True):
            for name in stage:
                linear = version == 2 and name == names[-1][-1]
                module = Residual(
                    table=table,
                    scale=1.0 if linear else scale,
                    activation="identity" if linear else self.activation,
                    options=options,
                    dtype=self.dtype,
                )
                setattr(self, name, module)
        if version == 2:
            self.last = conv_norm(features=1536, kernel_size=1)
        self.define_head()

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        y = self.stem_conv1(check_images(x, self.in_channels, MIN_SIZE), train)
        stride2 = self.stem_conv3(self.stem_conv2(y, train), train)
        stride4 = self.stem_conv5(self.stem_conv4(MAX_POOL(stride2), train), train)
        maps = {2: stride2, 4: stride4}
        y = stride4 if self.version == 1 else MAX_POOL(stride4)
        reductions = (self.stem_mixed, self.reduction_a, self.reduction_b)
        for stride, reduction, names in zip((8, 16, 32), reductions, self._names(), strict=True):
            y = reduction(y, train)
            for name in names:
                y = getattr(self, name)(y, train)
            maps[stride] = y
        if self.version == 2:
            maps[32] = self.last(y, train)
        return maps

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the average of the last map."""
        return self.drop(super().embed(x, train), deterministic=not train)

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only timm has this model, and only version 2."""
        return {"timm": NAMES} if self.version == 2 else {}

    def _names(self) -> list[list[str]]:
        """Lists the names of the inception modules of each kind."""
        sizes = STAGE_SIZES[self.version] if self.stage_sizes is None else self.stage_sizes
        return [
            [f"inception_{kind}{i}" for i in range(size)]
            for kind, size in zip("abc", sizes, strict=True)
        ]


PARTS = {"conv": "conv", "norm": "bn"}
STEM_NAMES = ("1a", "2a", "2b", "3b", "4a")
REPEATS = {"a": "repeat", "b": "repeat_1", "c": "repeat_2"}


def _module(kind: str, index: str) -> str:
    """Names an inception module in timm, where the last one has a name of its own."""
    return "block8" if (kind, index) == ("c", "9") else f"{REPEATS[kind]}.{index}"


NAMES = TorchNames(
    [
        Rule(
            r"stem_conv(\d)/(conv|norm)",
            lambda m: f"conv2d_{STEM_NAMES[int(m[1]) - 1]}.{PARTS[m[2]]}",
        ),
        # In timm, the only convolution of a branch has no number.
        Rule(r"stem_mixed/branch0_conv0/(conv|norm)", lambda m: f"mixed_5b.branch0.{PARTS[m[1]]}"),
        Rule(r"reduction_a/branch0_conv0/(conv|norm)", lambda m: f"mixed_6a.branch0.{PARTS[m[1]]}"),
        Rule(
            r"inception_([abc])(\d+)/branches/branch0_conv0/(conv|norm)",
            lambda m: f"{_module(m[1], m[2])}.branch0.{PARTS[m[3]]}",
        ),
        Rule(
            r"stem_mixed/branch(\d)_conv(\d)/(conv|norm)",
            lambda m: f"mixed_5b.branch{m[1]}.{m[2]}.{PARTS[m[3]]}",
        ),
        Rule(
            r"reduction_([ab])/branch(\d)_conv(\d)/(conv|norm)",
            lambda m: f"mixed_{'6a' if m[1] == 'a' else '7a'}.branch{m[2]}.{m[3]}.{PARTS[m[4]]}",
        ),
        Rule(
            r"inception_([abc])(\d+)/branches/branch(\d)_conv(\d)/(conv|norm)",
            lambda m: f"{_module(m[1], m[2])}.branch{m[3]}.{m[4]}.{PARTS[m[5]]}",
        ),
        Rule(r"inception_([abc])(\d+)/project", lambda m: f"{_module(m[1], m[2])}.conv2d"),
        Rule(r"last/(conv|norm)", lambda m: f"conv2d_7b.{PARTS[m[1]]}"),
        Rule(r"head", "classif"),
    ]
)


class InceptionResNetOptions(ConvModelOptions, total=False):
    """Options of an Inception-ResNet; see `InceptionResNet`."""

    stage_sizes: tuple[int, ...] | None
    dropout: float


@register
def inception_resnet_v1(**options: Unpack[InceptionResNetOptions]) -> InceptionResNet:
    """Inception-ResNet-v1: 22,756,328 parameters for 1000 classes (Figures 7 and 10 to 15).

    It was designed for 299x299 images. As in the code of version 2, the 1x1 convolutions that end
    the residuals have biases but no normalization. FaceNet's code has a sixth module C, without
    activation (`stage_sizes=(5, 10, 6)` gives as many parameters), and another head. Neither
    torchvision nor timm has this model.

    >>> inception_resnet_v1(num_classes=10).version
    1
    """
    return InceptionResNet(version=1, **options)


@register
def inception_resnet_v2(**options: Unpack[InceptionResNetOptions]) -> InceptionResNet:
    """Inception-ResNet-v2: 55,843,464 parameters for 1000 classes.

    It is the network of TensorFlow, whose weights timm has, for 299x299 images. The paper's network
    (Figures 15 to 19) begins with the stem of Inception-v4, is wider, and has 5, 10 and 5 modules
    A, B and C rather than 10, 20 and 10. It lacks TensorFlow's last layers: a module without
    activation, whose residual is not scaled, and a 1x1 convolution.
    """
    return InceptionResNet(version=2, **options)
