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
from jaxvision.models.generative.coders import doubled_sizes
from jaxvision.models.generative.networks import Critic, Generator, Labels, Numbers, Scores
from jaxvision.ops import ConvTranspose

KERNEL_INIT = nn.initializers.normal(0.02)


@register_module
class DCGANGenerator(Generator, kw_only=True):
    """A dense layer for the coarsest map, and transposed 4x4 convolutions that double it.

    Images of 64x64 have the channels of the paper. Sizes that halving does not divide are cut from
    the next larger.

    Attributes:
        shape: Height, width and channels of the images.
        noise_size: How many numbers an image is made of.
        channels: The channels of the coarsest map, and of each after it but the image.
        num_classes: How many classes there are; None for images without a class.
        norm: The normalization after each layer but the last; see `layers.norm`. None leaves it
            out.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.

    >>> import jax
    >>> generator = DCGANGenerator(shape=(64, 64, 3))
    >>> noise = jnp.zeros((2, 100))
    >>> images, variables = jax.eval_shape(generator.init_with_output, jax.random.key(0), noise)
    >>> images.shape, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    ((2, 64, 64, 3), 12658435)
    """

    noise_size: int = 100
    channels: tuple[int, ...] = (1024, 512, 256, 128)

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
    """4x4 convolutions, each of which halves the map, and a number for the last map.

    The paper's discriminator has the default options with `norm="batch"`, which does not normalize
    the first layer. A critic whose slope is bounded has no BatchNorm, which mixes the examples.

    Attributes:
        channels: The channels of each convolution.
        num_classes: How many classes there are; see `Critic`.
        norm: The normalization after each convolution but the first; None leaves it out.
        spectral: Whether kernels are divided by their spectral norm.
        axis_name: See `layers.norm`.
        dtype: What to compute in; None promotes types.

    >>> import jax
    >>> critic = DCGANCritic(channels=(8, 16))
    >>> images = jnp.zeros((5, 32, 32, 3))
    >>> jax.eval_shape(critic.init_with_output, jax.random.key(0), images)[0].shape
    (5,)
    """

    channels: tuple[int, ...] = (128, 256, 512, 1024)

    @nn.compact
    def __call__(self, x: Images, labels: Labels | None = None, train: bool = False) -> Scores:
        """Computes a number for each image; see `Critic`."""
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
