"""SqueezeNet: few parameters, because narrow layers alternate with wide ones.

Reference: Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size, 2016, arXiv:1602.07360.
"""

from collections.abc import Mapping
from functools import partial
from typing import Unpack

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import (
    FeatureMaps,
    Images,
    Model,
    ModelOptions,
    check_images,
)
from jaxvision.models.registry import register
from jaxvision.models.weights.names import DENSE_AS_CONV, Rule, TorchNames

POOL = partial(layers.max_pool, window=3, stride=2, ceil=True)


class Fire(nn.Module, kw_only=True):
    """A narrowing 1x1 convolution, then a widening 1x1 and a widening 3x3 convolution in parallel.

    Attributes:
        narrow: Channels of `squeeze`; `expand1` and `expand3` have 4 times as many each.
        activation: Name of the nonlinearity; see `layers.activation`.
        dtype: Dtype of the computation; None promotes the dtypes of inputs and parameters.
    """

    narrow: int
    activation: str = "relu"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width out_channels"]:
        """Concatenates the channels of both widening convolutions."""
        conv = partial(layers.conv, kernel_init=layers.initializer("he_uniform"), dtype=self.dtype)
        activation = layers.activation(self.activation)
        x = activation(conv(self.narrow, 1, name="squeeze")(x))
        expand1 = conv(4 * self.narrow, 1, name="expand1")(x)
        expand3 = conv(4 * self.narrow, 3, name="expand3")(x)
        return activation(jnp.concatenate([expand1, expand3], axis=-1))


class SqueezeNet(Model, kw_only=True):
    """A SqueezeNet: `stem`, `fire2`, ..., `fire9`, `head`.

    The head (a 1x1 convolution in the paper) gives logits at every pixel of the last map. Negative
    ones become zero, and the image's logits are the averages over all pixels. So the logits do not
    depend on `embed`, the average of the last map, alone.

    The feature maps are the last at each stride, before the pooling (strides 2 to 16; with
    `small_images`, 1 to 4). The stem is not padded, so maps may be smaller than the image divided
    by the stride.

    Attributes:
        stem_size: Channels and kernel size of the stem.
        stages: Narrow widths of the fire modules, grouped by the poolings between them.
        min_size: Smallest height and width of images.
        small_images: Whether the stem is a 3x3 convolution that keeps the size, without a pooling
            after it, for images of about 32x32.
        bypass: Whether fire modules 3, 5, 7 and 9 are added to their inputs (section 6).
        dropout: Dropout rate of the last map.
        activation: Name of the nonlinearity; see `layers.activation`.

    >>> import jax, jax.numpy as jnp
    >>> model = squeezenet1_1(num_classes=10)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    >>> sorted(variables["params"]["fire2"])
    ['expand1', 'expand3', 'squeeze']
    """

    stem_size: tuple[int, int]
    stages: tuple[tuple[int, ...], ...]
    min_size: int
    small_images: bool = False
    bypass: bool = False
    dropout: float = 0.5
    activation: str = "relu"

    def __post_init__(self) -> None:
        layers.check_rates(dropout=self.dropout)
        layers.activation(self.activation)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the layers."""
        width, kernel = self.stem_size
        self.stem = layers.conv(
            width,
            3 if self.small_images else kernel,
            stride=1 if self.small_images else 2,
            padding=1 if self.small_images else 0,
            kernel_init=layers.initializer("he_uniform"),
            dtype=self.dtype,
        )
        widths = [narrow for stage in self.stages for narrow in stage]
        for i, narrow in enumerate(widths, start=2):
            fire = Fire(narrow=narrow, activation=self.activation, dtype=self.dtype)
            setattr(self, f"fire{i}", fire)
        self.drop = nn.Dropout(self.dropout)
        self.head = nn.Dense(
            self.num_classes, dtype=self.dtype, kernel_init=layers.initializer("normal_0.01")
        )

    def __call__(self, x: Images, train: bool = False) -> Float[Array, "batch classes"]:
        """Computes the logits."""
        last = list(self.features(x, train).values())[-1]
        logits = self.head(self.drop(last, deterministic=not train))
        return layers.global_average_pool(layers.activation(self.activation)(logits))

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Computes the map at each stride."""
        x = check_images(x, self.in_channels, 4 if self.small_images else self.min_size)
        y = layers.activation(self.activation)(self.stem(x))
        maps, stride = {}, 1
        if not self.small_images:
            maps, stride = {2: y}, 4
            y = POOL(y)
        fire = 2
        for i, stage in enumerate(self.stages):
            if i > 0:
                y = POOL(y)
                stride *= 2
            for _ in stage:
                residual = getattr(self, f"fire{fire}")(y)
                y = y + residual if self.bypass and fire % 2 else residual
                fire += 1
            maps[stride] = y
        return maps

    def torch_names(self) -> Mapping[str, TorchNames]:
        """Only torchvision has this model; it numbers all layers."""
        rules, index, fire = [Rule(r"stem", "features.0")], 2, 2
        for stage in self.stages:
            index += 1  # the pooling before it
            for _ in stage:
                rules += [
                    Rule(rf"fire{fire}/squeeze", f"features.{index}.squeeze"),
                    Rule(rf"fire{fire}/expand(\d)", rf"features.{index}.expand\1x\1"),
                ]
                index, fire = index + 1, fire + 1
        rules.append(Rule(r"head", "classifier.1", DENSE_AS_CONV))
        return {"torchvision": TorchNames(rules)}


class SqueezeNetOptions(ModelOptions, total=False):
    """Options of a SqueezeNet; see `SqueezeNet`."""

    small_images: bool
    bypass: bool
    dropout: float
    activation: str


@register
def squeezenet1_0(**options: Unpack[SqueezeNetOptions]) -> SqueezeNet:
    """SqueezeNet 1.0: 1,248,424 parameters for 1000 classes (Table 1 of the paper).

    >>> squeezenet1_0(num_classes=10).stem_size
    (96, 7)
    """
    stages = ((16, 16, 32), (32, 48, 48, 64), (64,))
    return SqueezeNet(stem_size=(96, 7), stages=stages, min_size=21, **options)


@register
def squeezenet1_1(**options: Unpack[SqueezeNetOptions]) -> SqueezeNet:
    """SqueezeNet 1.1: 1,235,496 parameters for 1000 classes, 2.4 times less computation than 1.0.

    It is the authors' later version (https://github.com/forresti/SqueezeNet), with a smaller stem
    and earlier poolings.
    """
    stages = ((16, 16), (32, 32), (48, 48, 64, 64))
    return SqueezeNet(stem_size=(64, 3), stages=stages, min_size=17, **options)
