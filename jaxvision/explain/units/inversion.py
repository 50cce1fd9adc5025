"""Feature inversion: what of an image its features still know."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from jaxvision.explain.units.canvas import Canvas, pixels
from jaxvision.explain.units.synthesis import Synthesis, synthesize
from jaxvision.metrics import total_variation


def invert_features(
    f: Any,
    features: Float[Array, "batch *shape"],
    image_shape: Sequence[int],
    key: Key[Array, ""],
    *,
    steps: int = 256,
    optimizer: optax.GradientTransformation | None = None,
    canvas: Canvas | None = None,
    smoothness: int | float = 0.0,
) -> Synthesis:
    """Makes images with given features.

    The loss is the squared distance to the features, relative to their squared length, plus the
    prior. What differs between the original and several such images is what the features have lost.

    Args:
        f: Function from images in [0, 1] to features.
        features: Features of the original images.
        image_shape: Height, width and channels of the images.
        key: Random key of the first images, which are almost gray.
        steps: Number of steps.
        optimizer: An optimizer of optax; None is L-BFGS.
        canvas: How images are parametrized; None is `pixels()`.
        smoothness: Weight of the prior: the total variation per pixel.

    Raises:
        ValueError: `f` gives features of another shape.

    Reference: Mahendran & Vedaldi, Understanding deep image representations by inverting them, CVPR
    2015, arXiv:1412.0035.

    >>> f = lambda images: images.mean(axis=3)
    >>> invert = lambda features, key: invert_features(f, features, (8, 8, 3), key)
    >>> jax.eval_shape(invert, jnp.ones((2, 8, 8)), jax.random.key(0)).images.shape
    (2, 8, 8, 3)
    """
    shape = (features.shape[0], *image_shape)
    given = jax.eval_shape(f, jax.ShapeDtypeStruct(shape, jnp.float32)).shape
    if given != features.shape:
        raise ValueError(
            f"features must be as f gives them for images of {shape}, {given}, got {features.shape}"
        )
    axes = tuple(range(1, features.ndim))
    length = (features**2).sum(axis=axes)

    def loss(images: Any) -> Float[Array, " batch"]:
        distance = ((f(images) - features) ** 2).sum(axis=axes)
        prior = total_variation(images) / (shape[1] * shape[2])
        return distance / jnp.where(length > 0, length, 1) + smoothness * prior

    canvas = pixels() if canvas is None else canvas
    return synthesize(
        loss,
        canvas.to_images(0.01 * jax.random.normal(key, shape)),
        steps=steps,
        optimizer=optax.lbfgs() if optimizer is None else optimizer,
        canvas=canvas,
    )
