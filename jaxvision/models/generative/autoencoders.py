"""Autoencoders, plain and variational: an encoder, a code, and a decoder."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxvision.checks import check_count
from jaxvision.models import layers
from jaxvision.models.base import Images
from jaxvision.models.description import register_module
from jaxvision.models.generative.coders import Coder, Size, check_parts, split_code
from jaxvision.models.generative.networks import one_hot_classes

Codes = Float[Array, "batch latents"]
Labels = Integer[Array, " batch"]

LEAST_LOG_VARIANCE, LARGEST_LOG_VARIANCE = -20.0, 20.0
"""Log-variances are clipped to this range, so that their exponentials stay finite and above 0."""


class _Coded(nn.Module, kw_only=True):
    """An encoder, a layer that computes codes, and a decoder."""

    encoder: Coder
    decoder: Coder
    latent_size: int

    def __post_init__(self) -> None:
        check_count("latent_size", self.latent_size)
        super().__post_init__()

    @nn.compact
    def _code_layer(self, features: Array, numbers: int) -> tuple[Codes, ...]:
        """Computes some numbers for each value of a code; for a map, at each place by itself."""
        size: Any = features.shape[1:-1]
        if size:
            check_parts(self.latent_size, size)
        outputs = numbers * self.latent_size // math.prod(size)
        y = nn.Dense(outputs, dtype=self.encoder.dtype, name="code")(features)
        return tuple(layers.flatten(each) for each in jnp.split(y, numbers, axis=-1))


@register_module
class Autoencoder(_Coded, kw_only=True):
    """Encodes an image as a short vector, the code, and decodes the code.

    Attributes:
        encoder: Module whose call `encoder(images, train)` returns a vector per image.
        decoder: Module whose call `decoder(codes, train)` returns an image per code.
        latent_size: Length of a code.
        code_activation: Activation of the code; see `layers.activation`. "sigmoid" gives numbers
            from 0 to 1, which the option `sparsity` of `train.autoencoding` needs.

    Reference: Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks,
    Science 313, 2006.

    >>> import jax
    >>> from jaxvision import models
    >>> encoder = models.DenseEncoder(hidden_sizes=(32,))
    >>> decoder = models.DenseDecoder(shape=(8, 8, 1), hidden_sizes=(32,))
    >>> model = Autoencoder(encoder=encoder, decoder=decoder, latent_size=2)
    >>> images = jnp.zeros((5, 8, 8, 1))
    >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
    (5, 8, 8, 1)
    """

    code_activation: str = "identity"

    def __post_init__(self) -> None:
        layers.activation(self.code_activation)
        super().__post_init__()

    def __call__(self, x: Images, train: bool = False) -> Images:
        """Encodes images and decodes their codes; the outputs have the shape of the images."""
        return self.decode(self.encode(x, train), train)

    def encode(self, x: Images, train: bool = False) -> Codes:
        """Computes the codes of images."""
        (codes,) = self._code_layer(self.encoder(x, train), 1)
        return layers.activation(self.code_activation)(codes)

    def decode(self, codes: Codes, train: bool = False) -> Images:
        """Computes images from codes."""
        images: Images = self.decoder(codes, train)
        return images


@register_module
class VariationalAutoencoder(_Coded, kw_only=True):
    """Encodes an image as a normal distribution of codes, and decodes codes.

    With `num_classes`, the encoder and the decoder also see the class of the image: the decoder
    makes images of a class, and the code need not contain the class.

    Attributes:
        encoder: Module whose call `encoder(images, train)` returns a vector per image.
        decoder: Module whose call `decoder(codes, train)` returns the parameters of a likelihood of
            `losses`, each with as many channels as the images.
        latent_size: Length of a code.
        num_classes: Number of classes; None for images without a class.

    References: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114.
    Sohn et al., Learning structured output representation using deep conditional generative models,
    NeurIPS 2015, for classes.

    >>> import jax
    >>> from jaxvision import models
    >>> encoder = models.DenseEncoder(hidden_sizes=(32,))
    >>> decoder = models.DenseDecoder(shape=(8, 8, 1), hidden_sizes=(32,))
    >>> model = VariationalAutoencoder(encoder=encoder, decoder=decoder, latent_size=2)
    >>> images = jnp.zeros((5, 8, 8, 1))
    >>> outputs, mean, log_variance = jax.eval_shape(
    ...     model.init_with_output, jax.random.key(0), images
    ... )[0]
    >>> outputs.shape, mean.shape, log_variance.shape
    ((5, 8, 8, 1), (5, 2), (5, 2))
    """

    num_classes: int | None = None

    def __call__(
        self, x: Images, labels: Labels | None = None, train: bool = False
    ) -> tuple[Images, Codes, Codes]:
        """Encodes images and decodes the means of their codes.

        `labels` are the classes of the images, for a model with classes.

        Returns:
            Outputs of the decoder, and the means and log-variances of the codes.
        """
        mean, log_variance = self.encode(x, labels, train)
        return self.decode(mean, labels, train), mean, log_variance

    def encode(
        self, x: Images, labels: Labels | None = None, train: bool = False
    ) -> tuple[Codes, Codes]:
        """Computes the means and log-variances of the codes of images, in float32 at least."""
        one_hot = one_hot_classes(self, labels, x.shape[0])
        if one_hot is not None:
            maps = jnp.broadcast_to(one_hot[:, None, None, :], (*x.shape[:3], self.num_classes))
            x = jnp.concatenate([x, maps.astype(x.dtype)], axis=-1)
        mean, log_variance = (
            each.astype(jnp.promote_types(each.dtype, jnp.float32))
            for each in self._code_layer(self.encoder(x, train), 2)
        )
        return mean, jnp.clip(log_variance, LEAST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)

    def decode(self, codes: Codes, labels: Labels | None = None, train: bool = False) -> Images:
        """Computes the outputs of the decoder for codes."""
        one_hot = one_hot_classes(self, labels, codes.shape[0])
        if one_hot is not None:
            parts = getattr(self.decoder, "parts", None)
            codes = _with_classes(codes, one_hot.astype(codes.dtype), parts)
        outputs: Images = self.decoder(codes, train)
        return outputs


def _with_classes(
    codes: Codes, classes: Float[Array, "batch classes"], parts: Size | None
) -> Float[Array, "batch numbers"]:
    """Appends the class to each code, or to each part of it."""
    if parts is None:
        return jnp.concatenate([codes, classes], axis=-1)
    maps = split_code(codes, parts)
    repeated = jnp.broadcast_to(classes[:, None, None], (*maps.shape[:3], classes.shape[-1]))
    return layers.flatten(jnp.concatenate([maps, repeated], axis=-1))
