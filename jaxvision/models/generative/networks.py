"""Base classes of generators and critics."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from jaxvision.checks import check_count
from jaxvision.models import layers
from jaxvision.models.base import Images, canonical_dtype

Labels = Integer[Array, " batch"]
Numbers = Float[Array, "batch numbers"]
Scores = Float[Array, " batch"]


def one_hot_classes(
    model: Any, labels: Labels | None, rows: Any
) -> Float[Array, "batch classes"] | None:
    """Converts labels to one-hot vectors; None for a model whose `num_classes` is None.

    Labels may be missing while parameters are initialized; then there are `rows` vectors. Raises a
    `ValueError` if labels are missing otherwise, or are given to a model without classes.
    """
    if model.num_classes is None:
        if labels is not None:
            raise ValueError("this model was made without num_classes, and takes no labels")
        return None
    if labels is None:
        if not model.is_initializing():
            raise ValueError(f"labels are missing: this model has {model.num_classes} classes")
        labels = jnp.zeros(rows, jnp.int32)
    return jax.nn.one_hot(labels, model.num_classes)


class AdversarialNetwork(nn.Module, kw_only=True):
    """A network with optional classes and an optional normalization."""

    num_classes: int | None = None
    norm: str | None = None
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        if self.norm is not None:
            layers.check_norm(self.norm)
        self.dtype = canonical_dtype(self.dtype)
        super().__post_init__()

    def normalize(self, x: Array, name: str, train: bool) -> Array:
        """Normalizes the outputs of a layer, if there is a `norm`."""
        if self.norm is None:
            return x
        options: dict[str, Any] = {"dtype": self.dtype, "axis_name": self.axis_name, "name": name}
        return layers.norm(self.norm, x.shape[-1], train=train, **options)(x)

    def one_hot(self, labels: Labels | None, rows: Any) -> Float[Array, "batch classes"] | None:
        """Converts labels to one-hot vectors; see `one_hot_classes`."""
        return one_hot_classes(self, labels, rows)


class Generator(AdversarialNetwork, kw_only=True):
    """Base class of networks that make images from noise: `generator(noise, labels, train)`.

    Attributes:
        shape: Height, width and channels of the images.
        noise_size: Length of the noise vector of an image.
        num_classes: Number of classes; None for images without a class.
        norm: Normalization after each layer but the last; None leaves it out.
        axis_name, dtype: See `layers.norm`.
    """

    shape: tuple[int, int, int]
    noise_size: int
    norm: str | None = "batch"

    def __post_init__(self) -> None:
        check_count("noise_size", self.noise_size)
        super().__post_init__()

    def __call__(self, noise: Numbers, labels: Labels | None = None, train: bool = False) -> Images:
        """Makes images with values from -1 to 1 from standard normal noise, and labels if any."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__")

    def with_classes(self, noise: Numbers, labels: Labels | None) -> Float[Array, "batch inputs"]:
        """Appends the classes, as one-hot vectors, to the noise, if there are classes."""
        one_hot = self.one_hot(labels, noise.shape[0])
        if one_hot is None:
            return noise
        return jnp.concatenate([noise, one_hot.astype(noise.dtype)], axis=-1)


class Critic(AdversarialNetwork, kw_only=True):
    """Base class of networks that score images: `critic(images, labels, train)`.

    With classes, the score is that without classes plus the product of the last vector with a
    vector of the class (Miyato and Koyama, cGANs with projection discriminator, ICLR 2018,
    arXiv:1802.05637).

    Attributes:
        num_classes: Number of classes; None for images without a class.
        norm: See `layers.norm`; None leaves it out.
        spectral: Whether kernels are divided by their spectral norm, so that no layer is steeper
            than 1 (Miyato et al., Spectral normalization for generative adversarial networks, ICLR
            2018, arXiv:1802.05957). One step of power iteration per training step estimates the
            norm.
        axis_name, dtype: See `layers.norm`.
    """

    spectral: bool = False

    def __call__(self, x: Images, labels: Labels | None = None, train: bool = False) -> Scores:
        """Computes a score per image, higher for real ones, in float32 at least.

        `train` turns on the statistics of the batch, and updates the estimates of spectral norms.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__")

    def bounded(self, layer: nn.Module, x: Array, train: bool) -> Array:
        """Applies a layer, with its kernel divided by its spectral norm if `spectral`."""
        if not self.spectral:
            return layer(x)
        return nn.SpectralNorm(layer, name=f"{layer.name}_spectral")(x, update_stats=train)

    def judge(
        self, vectors: Float[Array, "batch features"], labels: Labels | None, train: bool
    ) -> Scores:
        """Computes the scores of images from their last vectors and classes."""
        score = self.bounded(nn.Dense(1, dtype=self.dtype, name="head"), vectors, train)[:, 0]
        one_hot = self.one_hot(labels, vectors.shape[0])
        if one_hot is not None:
            embed = nn.Dense(
                vectors.shape[-1], use_bias=False, dtype=self.dtype, name="class_vectors"
            )
            score += (self.bounded(embed, one_hot.astype(vectors.dtype), train) * vectors).sum(-1)
        return score.astype(jnp.promote_types(score.dtype, jnp.float32))
