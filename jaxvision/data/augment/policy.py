"""RandAugment: a few random operations of fourteen, all of one magnitude."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.data.augment._common import Image, Matrix, RandomKey
from jaxvision.data.augment.chaining import chain
from jaxvision.data.augment.color import adjust_brightness, adjust_contrast, adjust_saturation
from jaxvision.data.augment.filters import adjust_sharpness
from jaxvision.data.augment.geometry import (
    centered,
    rotation_matrix,
    shear_matrix,
    translation_matrix,
)
from jaxvision.data.augment.link import Link
from jaxvision.data.augment.tone import autocontrast, equalize, posterize, solarize
from jaxvision.data.augment.transform import Transform
from jaxvision.data.augment.warp import NEAREST, Sampling, compose

NUM_GEOMETRIC = 5
NUM_OPERATIONS = 14


def rand_augment(
    num_ops: int = 2,
    magnitude: int = 9,
    *,
    num_bins: int = 31,
    sampling: Sampling = NEAREST,
) -> Transform:
    """Applies `num_ops` operations to every image, drawn uniformly with replacement from fourteen.

    The operations and their greatest magnitudes are torchvision's: identity; shears along x and y
    about the upper left corner by 0.3 pixels per pixel; translations along x and y by 150/331 of
    the side, in whole pixels; rotation by 30 degrees; brightness, color (saturation), contrast and
    sharpness by a factor of 1 +- 0.9; posterize to 4 bits; solarize from 0 on; autocontrast and
    equalize, which have no magnitude. The direction of an operation is random. At magnitude 0,
    solarize still inverts values of exactly 1. Masks follow the geometric operations.

    Each of the `num_ops` steps is one warp, by the matrix of the operation that was drawn, and one
    switch between photometric operations, of which a batch computes every branch.

    Args:
        num_ops: Number of operations, applied one after another.
        magnitude: Strength of the operations, from 0 to `num_bins` - 1.
        num_bins: Number of magnitudes.
        sampling: Sampling between pixels and beyond the border.

    Returns:
        A transform for images of 1 or 3 channels.

    Raises:
        ValueError: `num_ops` is negative, `num_bins` below 2, or `magnitude` out of range.

    Reference: Cubuk et al., RandAugment: Practical automated data augmentation with a reduced
    search space, NeurIPS 2020, arXiv:1909.13719

    >>> augment = rand_augment()
    >>> jax.eval_shape(augment, jax.random.key(0), jnp.zeros((16, 32, 32, 3))).shape
    (16, 32, 32, 3)
    """
    if num_ops < 0:
        raise ValueError(f"num_ops must be at least 0, not {num_ops}")
    if num_bins < 2 or not 0 <= magnitude < num_bins:
        raise ValueError(
            f"magnitude must lie from 0 to num_bins - 1, and num_bins be at least 2; got "
            f"magnitude={magnitude} and num_bins={num_bins}"
        )
    strength = magnitude / (num_bins - 1)

    def geometry(key: RandomKey, height: int, width: int) -> Matrix:
        index, sign = _draw(key)
        matrices = _matrices(strength, sign, height, width)
        chosen = jnp.stack(matrices)[jnp.minimum(index, NUM_GEOMETRIC - 1)]
        return jnp.where(index < NUM_GEOMETRIC, chosen, jnp.eye(3))

    def photometry(key: RandomKey, image: Image) -> Image:
        index, sign = _draw(key)
        factor = 1 + 0.9 * strength * sign
        branches = [
            lambda image: image,  # a geometric operation was drawn, or the identity
            lambda image: adjust_brightness(image, factor),
            lambda image: adjust_saturation(image, factor),
            lambda image: adjust_contrast(image, factor),
            lambda image: adjust_sharpness(image, factor),
            lambda image: posterize(image, 8 - round(4 * strength)),
            lambda image: solarize(image, 1 - strength),
            autocontrast,
            equalize,
        ]
        return jax.lax.switch(jnp.maximum(index - NUM_GEOMETRIC, 0), branches, image)

    link = Link(geometry=geometry, photometry=photometry, sampling=sampling)
    return chain(*[Transform((link,))] * num_ops)


def _draw(key: RandomKey) -> tuple[Int[Array, ""], Float[Array, ""]]:
    """Draws an operation's index (first geometric ones, then the identity) and a sign, -1 or 1."""
    index_key, sign_key = jax.random.split(key)
    sign = jnp.where(jax.random.bernoulli(sign_key), 1.0, -1.0).astype(jnp.float32)
    return jax.random.randint(index_key, (), 0, NUM_OPERATIONS), sign


def _matrices(
    strength: float, sign: Float[Array, ""], height: int, width: int
) -> tuple[Matrix, Matrix, Matrix, Matrix, Matrix]:
    """Returns the matrices of the geometric operations."""
    lean = 0.3 * strength * sign
    slant = jnp.rad2deg(jnp.arctan(lean))
    most = 150 / 331 * strength
    return (
        # The corner of the image stays in place, half a pixel from the center of pixel (0, 0).
        compose(translation_matrix(-lean / 2, 0.0), shear_matrix(slant, 0.0)),
        compose(translation_matrix(0.0, -lean / 2), shear_matrix(0.0, slant)),
        translation_matrix(int(most * width) * sign, 0.0),
        translation_matrix(0.0, int(most * height) * sign),
        centered(rotation_matrix(30 * strength * sign), height, width),
    )
