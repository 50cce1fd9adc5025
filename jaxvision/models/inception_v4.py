"""Inception-v4.

Reference: Szegedy et al., Inception-v4, Inception-ResNet and the impact of residual connections on
learning, AAAI 2017, arXiv:1602.07261.
"""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Unpack

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

MAX_POOL = partial(layers.max_pool, window=3, stride=2)
AVG_POOL = partial(layers.avg_pool, window=3, stride=1, padding=1, count_include_pad=False)

Table = tuple[tuple[layers.BranchItem, ...], ...]

# Figure 3: the modules with branches in the stem, unpadded except for the factorized 7x7 kernels.
STEM: Mapping[str, Table] = {
    "stem_mixed1": ((MAX_POOL,), (ConvStep(96, 3, 2, 0),)),
    "stem_mixed2": (
        (ConvStep(64), ConvStep(96, 3, 1, 0)),
        (ConvStep(64), ConvStep(64, (1, 7)), ConvStep(64, (7, 1)), ConvStep(96, 3, 1, 0)),
    ),
    "stem_mixed3": ((ConvStep(192, 3, 2, 0),), (MAX_POOL,)),
}
# Figure 4.
INCEPTION_A: Table = (
    (ConvStep(96),),
    (ConvStep(64), ConvStep(96, 3)),
    (ConvStep(64), ConvStep(96, 3), ConvStep(96, 3)),
    (AVG_POOL, ConvStep(96)),
)
# Figure 7, with the widths of Table 1.
REDUCTION_A: Table = (
    (ConvStep(384, 3, 2, 0),),
    (ConvStep(192), ConvStep(224, 3), ConvStep(256, 3, 2, 0)),
    (MAX_POOL,),
)
# Figure 5.
INCEPTION_B: Table = (
    (ConvStep(384),),
    (ConvStep(192), ConvStep(224, (1, 7)), ConvStep(256, (7, 1))),
    (
        ConvStep(192),
        ConvStep(192, (7, 1)),
        ConvStep(224, (1, 7)),
        ConvStep(224, (7, 1)),
        ConvStep(256, (1, 7)),
    ),
    (AVG_POOL, ConvStep(128)),
)
# Figure 8.
REDUCTION_B: Table = (
    (ConvStep(192), ConvStep(192, 3, 2, 0)),
    (ConvStep(256), ConvStep(256, (1, 7)), ConvStep(320, (7, 1)), ConvStep(320, 3, 2, 0)),
    (MAX_POOL,),
)
# Figure 6: two branches end in a row and a column kernel in parallel.
FORK = (ConvStep(256, (1, 3)), ConvStep(256, (3, 1)))
INCEPTION_C: Table = (
    (ConvStep(256),),
    (ConvStep(384), FORK),
    (ConvStep(384), ConvStep(448, (3, 1)), ConvStep(512, (1, 3)), FORK),
    (AVG_POOL, ConvStep(256)),
)


class InceptionV4(ConvModel, kw_only=True):
    """An Inception-v4: a stem, inception modules with two reductions between them, and `head`.

    The stem is `stem_conv1` to `stem_conv3` and `stem_mixed1` to `stem_mixed3`; the modules are
    `inception_a0`, ..., `reduction_a`, `inception_b0`, ..., `reduction_b`, `inception_c0`, ... The
    feature maps are the last at each stride: those of the stem (strides 2 and 4) and of each kind
    of inception module (strides 8 to 32). Convolutions and poolings that reduce the size are not
    padded, so maps are smaller than the image divided by the stride, and images need at least 75x75
    pixels. For other attributes, see `ConvModel`.

    Attributes:
        stage_sizes: Number of inception modules of each kind.
        dropout: Dropout rate of the averages before the head, in `embed`.

    >>> import jax, jax.numpy as jnp
    >>> model = inception_v4(num_classes=10, stage_sizes=(1, 1, 1))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 75, 75, 3)))
    >>> sorted(variables["params"])[:4]
    ['head', 'inception_a0', 'inception_b0', 'inception_c0']
    """

    stage_sizes: tuple[int, ...] = (4, 7, 3)
    dropout: float = 0.2

    default_image_size: ClassVar[int] = 299
    drops_before_head: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if len(self.stage_sizes) != 3 or min(self.stage_sizes) < 1:
            raise ValueError(f"stage_sizes must be three numbers from 1, got {self.stage_sizes}")
        super().__post_init__()

    def setup(self) -> None:
        """Defines the stem, the inception modules and the head."""
        options = {
            **self.shared(),
            "epsilon": EPSILON,
            "kernel_init": layers.initializer("he_normal"),
        }
        conv_norm = partial(layers.ConvNorm, kernel_size=3, **options)
        self.stem_conv1 = conv_norm(features=32, stride=2, padding=0)
        self.stem_conv2 = conv_norm(features=32, padding=0)
        self.stem_conv3 = conv_norm(features=64)
        for modules in (STEM, *self._modules()):
            for name, branches in modules.items():
                setattr(self, name, layers.Branches(branches=branches, **options))
        self.define_head()

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        y = self.stem_conv1(check_images(x, self.in_channels, MIN_SIZE), train)
        stride2 = self.stem_conv3(self.stem_conv2(y, train), train)
        stride4 = self.stem_mixed2(self.stem_mixed1(stride2, train), train)
        maps = {2: stride2, 4: stride4}
        y = self.stem_mixed3(stride4, train)
        for stride, modules in zip((8, 16, 32), self._modules(), strict=True):
            for name in modules:
                y = getattr(self, name)(y, train)
            maps[stride] = y
        return maps

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Computes the average of the last map."""
        return self.drop(super().embed(x, train), deterministic=not train)

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only timm has this model; it numbers all modules."""
        return {"timm": NAMES}

    def _modules(self) -> tuple[dict[str, Table], ...]:
        """Lists the modules at strides 8, 16 and 32."""
        num_a, num_b, num_c = self.stage_sizes
        a = {f"inception_a{i}": INCEPTION_A for i in range(num_a)}
        b = {f"inception_b{i}": INCEPTION_B for i in range(num_b)}
        c = {f"inception_c{i}": INCEPTION_C for i in range(num_c)}
        return a, {"reduction_a": REDUCTION_A, **b}, {"reduction_b": REDUCTION_B, **c}


PARTS = {"conv": "conv", "norm": "bn"}
# Numbers of modules in timm: for each kind an offset, to which a module's own number is added.
OFFSETS = {"stem_mixed": 2, "inception_a": 6, "inception_b": 11, "inception_c": 19}
REDUCTIONS = {"reduction_a": 10, "reduction_b": 18}

NAMES = TorchNames(
    [
        Rule(r"stem_conv(\d)/(conv|norm)", lambda m: f"features.{int(m[1]) - 1}.{PARTS[m[2]]}"),
        Rule(
            r"stem_mixed([13])/branch\d_conv0/(conv|norm)",
            lambda m: f"features.{int(m[1]) + 2}.conv.{PARTS[m[2]]}",
        ),
        # In timm, the only convolution of a branch has no number.
        Rule(
            r"(inception_[abc])(\d)/branch0_conv0/(conv|norm)",
            lambda m: f"features.{OFFSETS[m[1]] + int(m[2])}.branch0.{PARTS[m[3]]}",
        ),
        Rule(
            r"reduction_a/branch0_conv0/(conv|norm)", lambda m: f"features.10.branch0.{PARTS[m[1]]}"
        ),
        Rule(
            r"inception_c(\d)/branch([12])_conv(\d\w?)/(conv|norm)",
            lambda m: f"features.{19 + int(m[1])}.branch{m[2]}_{m[3]}.{PARTS[m[4]]}",
        ),
        Rule(
            r"(reduction_[ab])/branch(\d)_conv(\d)/(conv|norm)",
            lambda m: f"features.{REDUCTIONS[m[1]]}.branch{m[2]}.{m[3]}.{PARTS[m[4]]}",
        ),
        Rule(
            r"(stem_mixed|inception_[abc])(\d)/branch(\d)_conv(\d)/(conv|norm)",
            lambda m: f"features.{OFFSETS[m[1]] + int(m[2])}.branch{m[3]}.{m[4]}.{PARTS[m[5]]}",
        ),
        Rule(r"head", "last_linear"),
    ]
)


class InceptionV4Options(ConvModelOptions, total=False):
    """Options of an Inception-v4; see `InceptionV4`."""

    stage_sizes: tuple[int, ...]
    dropout: float


@register
def inception_v4(**options: Unpack[InceptionV4Options]) -> InceptionV4:
    """Inception-v4: 42,679,816 parameters for 1000 classes (Figures 3 to 9 of the paper).

    It was designed for 299x299 images.

    >>> inception_v4(num_classes=10).stage_sizes
    (4, 7, 3)
    """
    return InceptionV4(**options)
