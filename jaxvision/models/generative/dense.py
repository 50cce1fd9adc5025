"""The first generative adversarial networks, which have dense layers only.

Reference: Goodfellow et al., Generative adversarial nets, NeurIPS 2014, arXiv:1406.2661.
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from jaxvision.models import layers
from jaxvision.models.base import Images, check_images
from jaxvision.models.description import register_module
from jaxvision.models.generative.networks import Critic, Generator, Labels, Numbers, Scores


@register_module
class DenseGenerator(Generator, kw_only=True):
    """Dense layers from noise to all values of an image.

    Points in the plane are images of one pixel with two channels.

    Attributes:
        shape: Height, width and channels of the images.
        noise_size: Length of the noise vector of an image.
        hidden_sizes: Widths of the layers before the last.
        norm: Normalization after each of these layers; see `layers.norm`. None leaves it out.
        num_classes, axis_name, dtype: See `Generator`.

    >>> import jax
    >>> generator = DenseGenerator(shape=(1, 1, 2), noise_size=2, hidden_sizes=(16, 16))
    >>> noise = jnp.zeros((5, 2))
    >>> jax.eval_shape(generator.init_with_output, jax.random.key(0), noise)[0].shape
    (5, 1, 1, 2)
    """

    hidden_sizes: tuple[int, ...] = (256, 256)
    norm: str | None = None

    @nn.compact
    def __call__(self, noise: Numbers, labels: Labels | None = None, train: bool = False) -> Images:
        """Makes images; see `Generator`."""
        y = self.with_classes(noise, labels)
        for index, size in enumerate(self.hidden_sizes):
            y = nn.Dense(
                size,
                use_bias=self.norm is None,
                kernel_init=layers.initializer("he_normal"),
                dtype=self.dtype,
                name=f"hidden{index}",
            )(y)
            y = nn.relu(self.normalize(y, f"norm{index}", train))
        y = nn.Dense(math.prod(self.shape), dtype=self.dtype, name="head")(y)
        return jnp.tanh(y.reshape(-1, *self.shape))


@register_module
class DenseCritic(Critic, kw_only=True):
    """Dense layers from all values of an image to its score.

    Attributes:
        hidden_sizes: Widths of the layers before the last.
        norm: Normalization after each of these layers; None leaves it out.
        num_classes, spectral, axis_name, dtype: See `Critic`.

    >>> import jax
    >>> critic = DenseCritic(hidden_sizes=(16, 16))
    >>> points = jnp.zeros((5, 1, 1, 2))
    >>> jax.eval_shape(critic.init_with_output, jax.random.key(0), points)[0].shape
    (5,)
    """

    hidden_sizes: tuple[int, ...] = (256, 256)

    @nn.compact
    def __call__(self, x: Images, labels: Labels | None = None, train: bool = False) -> Scores:
        """Computes a score per image; see `Critic`."""
        y = layers.flatten(check_images(x))
        for index, size in enumerate(self.hidden_sizes):
            layer = nn.Dense(
                size,
                use_bias=self.norm is None,
                kernel_init=layers.initializer("he_normal"),
                dtype=self.dtype,
                name=f"hidden{index}",
            )
            y = self.normalize(self.bounded(layer, y, train), f"norm{index}", train)
            y = nn.leaky_relu(y, 0.2)
        return self.judge(y, labels, train)
