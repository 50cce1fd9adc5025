"""DCGAN: a generator of transposed convolutions, and a critic of strided ones.

Reference: Radford et al., Unsupervised representation learning with deep convolutional generative
adversarial networks, ICLR 2016, arXiv:1511.06434.
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from jaxvision.models import layers
from jaxvision.models.base import Images, check_images
from jaxvision.models.description import register_module
from jaxvision.models.generative.coders import check_channels, doubled_sizes
from jaxvision.models.generative.networks import Critic, Generator, Labels, Numbers, Scores
from jaxvision.ops import ConvTranspose

KERNEL_INIT = nn.initializers.normal(0.02)


@register_module
class DCGANGenerator(Generator, kw_only=True):
    """A dense layer for the coarsest map, and transposed 4x4 convolutions that double it.

    With the default `channels`, images of 64x64 have the network of the paper. Where halving does
    not divide the sides of the image, doubled maps are cropped.

    Attributes:
        shape: Height, width and channels of the images.
        noise_size: Length of the noise vector of an image.
        channels: Numbers of channels of the coarsest map and of each larger one, except the image.
        norm: Normalization after each layer but the last; see `layers.norm`. None leaves it out.
        num_classes, axis_name, dtype: See `Generator`.

    >>> import jax
    >>> generator = DCGANGenerator(shape=(64, 64, 3))
    >>> noise = jnp.zeros((2, 100))
    >>> images, variables = jax.eval_shape(generator.init_with_output, jax.random.key(0), noise)
    >>> images.shape, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    ((2, 64, 64, 3), 12658435)
    """

    noise_size: int = 100
    channels: tuple[int, ...] = (1024, 512, 256, 128)

    def __post_init__(self) -> None:
        check_channels(self.channels, "DenseGenerator")
        super().__post_init__()

    @nn.compact
    def __call__(self, noise: Numbers, labels: Labels | None = None, train: bool = False) -> Images:
        """Makes images; see `Generator`."""
        noise = self.with_classes(noise, labels)
        height, width, last = self.shape
        coarsest, *larger = doubled_sizes((height, width), len(self.channels))
        y = nn.Dense(
            math.prod(coarsest) * self.channels[0],
            use_bias=self.norm is None,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name="project",
        )(noise)
        y = nn.relu(self.normalize(y.reshape(-1, *coarsest, self.channels[0]), "norm0", train))
        for index, (size, features) in enumerate(
            zip(larger, (*self.channels[1:], last), strict=True), start=1
        ):
            is_last = index == len(larger)
            y = ConvTranspose(
                features,
                (4, 4),
                strides=(2, 2),
                use_bias=is_last or self.norm is None,
                kernel_init=KERNEL_INIT,
                dtype=self.dtype,
                name="head" if is_last else f"enlarge{index}",
            )(y)
            y = layers.cut_to(y, size)
            if not is_last:
                y = nn.relu(self.normalize(y, f"norm{index}", train))
        return jnp.tanh(y)


@register_module
class DCGANCritic(Critic, kw_only=True):
    """4x4 convolutions, each of which halves the map, and a score from the last map.

    The paper's discriminator has the default options with `norm="batch"`, which skips the first
    layer. Where the slope of a critic must be bounded, do not use "batch", which mixes examples.

    Attributes:
        channels: Number of channels of each convolution.
        norm: Normalization after each convolution but the first; None leaves it out.
        num_classes, spectral, axis_name, dtype: See `Critic`.

    >>> import jax
    >>> critic = DCGANCritic(channels=(8, 16))
    >>> images = jnp.zeros((5, 32, 32, 3))
    >>> jax.eval_shape(critic.init_with_output, jax.random.key(0), images)[0].shape
    (5,)
    """

    channels: tuple[int, ...] = (128, 256, 512, 1024)

    @nn.compact
    def __call__(self, x: Images, labels: Labels | None = None, train: bool = False) -> Scores:
        """Computes a score per image; see `Critic`."""
        y = check_images(x)
        for index, features in enumerate(self.channels):
            normalized = index > 0 and self.norm is not None
            layer = layers.conv(
                features,
                4,
                stride=2,
                padding=1,
                use_bias=not normalized,
                kernel_init=KERNEL_INIT,
                dtype=self.dtype,
                name=f"conv{index}",
            )
            y = self.bounded(layer, y, train)
            if normalized:
                y = self.normalize(y, f"norm{index}", train)
            y = nn.leaky_relu(y, 0.2)
        return self.judge(layers.flatten(y), labels, train)
