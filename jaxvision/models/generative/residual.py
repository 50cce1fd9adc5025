"""Residual generators and critics.

Reference: Miyato et al., Spectral normalization for generative adversarial networks, ICLR 2018,
arXiv:1802.05957, table 4, after Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS
2017, arXiv:1704.00028.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import Images, check_images
from jaxvision.models.description import register_module
from jaxvision.models.generative.coders import check_channels, doubled_sizes
from jaxvision.models.generative.networks import Critic, Generator, Labels, Numbers, Scores
from jaxvision.models.segmentation.decoder import size_of
from jaxvision.ops import resize

KERNEL_INIT = layers.initializer("glorot_uniform")
Maps = Float[Array, "batch _ _ _"]


@register_module
class ResidualGenerator(Generator, kw_only=True):
    """A dense layer for the coarsest map, and residual blocks, each of which doubles it.

    Classes, if any, scale and shift the channels after each normalization in a block.

    Attributes:
        shape: Height, width and channels of the images.
        noise_size: Length of the noise vector of an image.
        channels: Numbers of channels of the coarsest map and of each larger one.
        norm: Normalization before each convolution of a block; None leaves it out.
        num_classes, axis_name, dtype: See `Generator`.

    >>> import jax
    >>> generator = ResidualGenerator(shape=(32, 32, 3))
    >>> noise = jnp.zeros((2, 128))
    >>> images, variables = jax.eval_shape(generator.init_with_output, jax.random.key(0), noise)
    >>> images.shape, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    ((2, 32, 32, 3), 4276739)
    """

    noise_size: int = 128
    channels: tuple[int, ...] = (256, 256, 256, 256)

    def __post_init__(self) -> None:
        check_channels(self.channels, "DenseGenerator")
        super().__post_init__()

    @nn.compact
    def __call__(self, noise: Numbers, labels: Labels | None = None, train: bool = False) -> Images:
        """Makes images; see `Generator`."""
        one_hot = self.one_hot(labels, noise.shape[0])
        height, width, last = self.shape
        first, *others = self.channels
        coarsest, *larger = doubled_sizes((height, width), len(others))
        y = nn.Dense(
            math.prod(coarsest) * first, kernel_init=KERNEL_INIT, dtype=self.dtype, name="project"
        )(noise)
        y = y.reshape(-1, *coarsest, first)
        for index, (size, features) in enumerate(zip(larger, others, strict=True)):
            y = self._block(y, features, size, one_hot, f"block{index}", train)
        y = nn.relu(self.normalize(y, "norm", train))
        return jnp.tanh(self._conv(last, 3, "head")(y))

    def _block(
        self,
        x: Maps,
        features: int,
        size: tuple[int, int],
        one_hot: Array | None,
        name: str,
        train: bool,
    ) -> Maps:
        y = nn.relu(self._of_class(self.normalize(x, f"{name}_norm1", train), one_hot, f"{name}_1"))
        y = self._conv(features, 3, f"{name}_conv1")(resize(y, size, "nearest"))
        y = nn.relu(self._of_class(self.normalize(y, f"{name}_norm2", train), one_hot, f"{name}_2"))
        y = self._conv(features, 3, f"{name}_conv2")(y)
        # A 1x1 convolution commutes with the doubling, and is cheaper before it.
        return y + resize(self._conv(features, 1, f"{name}_shortcut")(x), size, "nearest")

    def _of_class(self, x: Maps, one_hot: Array | None, name: str) -> Maps:
        if one_hot is None:
            return x
        zeros = nn.initializers.zeros
        both = nn.Dense(
            2 * x.shape[-1],
            use_bias=False,
            kernel_init=zeros,
            dtype=self.dtype,
            name=f"{name}_class",
        )(one_hot)
        scale, shift = jnp.split(both[:, None, None, :].astype(x.dtype), 2, axis=-1)
        return x * (1 + scale) + shift

    def _conv(self, features: int, kernel_size: int, name: str) -> nn.Module:
        return layers.conv(
            features, kernel_size, kernel_init=KERNEL_INIT, dtype=self.dtype, name=name
        )


@register_module
class ResidualCritic(Critic, kw_only=True):
    """Residual blocks, some of which halve the map, and a score from the sum of the last map.

    Attributes:
        channels: Number of channels of each block.
        halvings: Number of blocks, from the first on, that halve the map.
        norm: Normalization before each convolution but those of the first block; None leaves it
            out.
        num_classes, spectral, axis_name, dtype: See `Critic`.

    >>> import jax
    >>> critic = ResidualCritic()
    >>> images = jnp.zeros((2, 32, 32, 3))
    >>> numbers, variables = jax.eval_shape(critic.init_with_output, jax.random.key(0), images)
    >>> numbers.shape, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    ((2,), 1053825)
    """

    channels: tuple[int, ...] = (128, 128, 128, 128)
    halvings: int = 2

    @nn.compact
    def __call__(self, x: Images, labels: Labels | None = None, train: bool = False) -> Scores:
        """Computes a score per image; see `Critic`."""
        y = check_images(x)
        for index, features in enumerate(self.channels):
            y = self._block(y, features, index, train)
        return self.judge(nn.relu(y).sum(axis=(1, 2)), labels, train)

    def _block(self, x: Maps, features: int, index: int, train: bool) -> Maps:
        name, first, halves = f"block{index}", index == 0, index < self.halvings

        def conv(features: int, kernel_size: int, part: str, x: Maps) -> Maps:
            layer = layers.conv(
                features,
                kernel_size,
                kernel_init=KERNEL_INIT,
                dtype=self.dtype,
                name=f"{name}_{part}",
            )
            return self.bounded(layer, x, train)

        y = x if first else nn.relu(self.normalize(x, f"{name}_norm1", train))
        y = conv(features, 3, "conv1", y)
        y = y if first else self.normalize(y, f"{name}_norm2", train)
        y = conv(features, 3, "conv2", nn.relu(y))
        shortcut = x
        if halves:
            y, shortcut = _halved(y), _halved(x)
        if halves or x.shape[-1] != features:  # a 1x1 convolution and a mean commute
            shortcut = conv(features, 1, "shortcut", shortcut)
        return y + shortcut


def _halved(x: Maps) -> Maps:
    """Averages windows of 2x2 pixels; along an odd side, windows overlap and may have 3 pixels."""
    height, width = size_of(x)
    return layers.adaptive_avg_pool(x, -(-height // 2), -(-width // 2))
