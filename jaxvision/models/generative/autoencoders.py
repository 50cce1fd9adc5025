"""Autoencoders, plain and variational: an encoder, a code, and a decoder."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxvision.checks import check_count
from jaxvision.models import layers
from jaxvision.models.base import Images
from jaxvision.models.description import register_module
from jaxvision.models.generative.coders import Coder
from jaxvision.models.generative.networks import one_hot_classes

Codes = Float[Array, "batch latents"]
Labels = Integer[Array, " batch"]

LEAST_LOG_VARIANCE, LARGEST_LOG_VARIANCE = -20.0, 20.0
"""Log-variances are clipped to this range, so that their exponentials stay finite and above 0."""


@register_module
class Autoencoder(nn.Module, kw_only=True):
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

    encoder: Coder
    decoder: Coder
    latent_size: int
    code_activation: str = "identity"

    def __post_init__(self) -> None:
        check_count("latent_size", self.latent_size)
        layers.activation(self.code_activation)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the layer of the code."""
        self.code = nn.Dense(self.latent_size, dtype=self.encoder.dtype)

    def __call__(self, x: Images, train: bool = False) -> Images:
        """Encodes images and decodes their codes; the outputs have the shape of the images."""
        return self.decode(self.encode(x, train), train)

    def encode(self, x: Images, train: bool = False) -> Codes:
        """Computes the codes of images."""
        return layers.activation(self.code_activation)(self.code(self.encoder(x, train)))

    def decode(self, codes: Codes, train: bool = False) -> Images:
        """Computes images from codes."""
        images: Images = self.decoder(codes, train)
        return images


@register_module
class VariationalAutoencoder(nn.Module, kw_only=True):
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

    encoder: Coder
    decoder: Coder
    latent_size: int
    num_classes: int | None = None

    def __post_init__(self) -> None:
        check_count("latent_size", self.latent_size)
        super().__post_init__()

    def setup(self) -> None:
        """Defines the layer of the means and the log-variances."""
        self.code = nn.Dense(2 * self.latent_size, dtype=self.encoder.dtype)

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
        numbers = self.code(self.encoder(x, train))
        wide = numbers.astype(jnp.promote_types(numbers.dtype, jnp.float32))
        mean, log_variance = jnp.split(wide, 2, axis=-1)
        return mean, jnp.clip(log_variance, LEAST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)

    def decode(self, codes: Codes, labels: Labels | None = None, train: bool = False) -> Images:
        """Computes the outputs of the decoder for codes."""
        one_hot = one_hot_classes(self, labels, codes.shape[0])
        if one_hot is not None:
            codes = jnp.concatenate([codes, one_hot.astype(codes.dtype)], axis=-1)
        outputs: Images = self.decoder(codes, train)
        return outputs
