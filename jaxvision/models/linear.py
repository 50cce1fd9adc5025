"""The linear classifier: one weight per pixel value and class."""

from typing import ClassVar

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models import layers
from jaxvision.models.base import FeatureMaps, Images, Model, check_images
from jaxvision.models.registry import register


class LinearClassifier(Model, kw_only=True):
    """A dense layer on the flattened image.

    On CIFAR it has 32 * 32 * 3 + 1 = 3073 parameters per class. The weights of a class have the
    shape of an image, and look like one (a template) once trained. `features` is the image itself
    (stride 1), and `embed` the flattened image. The model only takes images of the size it was
    initialized with.
    """

    default_image_size: ClassVar[int] = 32

    def setup(self) -> None:
        """Defines the only layer."""
        self.head = nn.Dense(
            self.num_classes, dtype=self.dtype, kernel_init=layers.initializer("normal_0.01")
        )

    def features(self, x: Images, train: bool = False) -> FeatureMaps:
        """Gives the image as the only map, at stride 1."""
        return {1: check_images(x, self.in_channels)}

    def embed(self, x: Images, train: bool = False) -> Float[Array, "batch features"]:
        """Flattens the image."""
        return layers.flatten(check_images(x, self.in_channels))


@register
def linear_classifier(
    *, num_classes: int = 1000, in_channels: int | None = None, dtype: DTypeLike | None = None
) -> LinearClassifier:
    """Builds a linear classifier.

    With `losses.cross_entropy` it is multinomial logistic regression; with a hinge loss, a
    multiclass support vector machine.

    Args:
        num_classes: Number of logits.
        in_channels: Number of image channels; None takes that of the images at initialization.
        dtype: Dtype of the computation; None promotes the dtypes of images and parameters.

    >>> import jax, jax.numpy as jnp
    >>> model = linear_classifier(num_classes=10)
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> sum(p.size for p in jax.tree.leaves(variables))
    30730
    """
    return LinearClassifier(num_classes=num_classes, in_channels=in_channels, dtype=dtype)
