"""The filters of a first layer, as images."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.checks import check_name


def filter_images(
    kernel: Float[Array, "height width channels features"],
    scale: Literal["each", "all"] = "each",
) -> Float[Array, "features height width channels"]:
    """Shows the filters of a first layer as images: a weight of 0 is gray.

    Args:
        kernel: Kernel of a convolution on images, such as `variables["params"]["stem"]["kernel"]`;
            kernels of later layers have no colors, and `strongest_patches` and `maximize` show what
            their units see.
        scale: What is divided by its largest absolute weight: "each" filter, so that the patterns
            of weak filters are seen, or "all" together, so that filters can be compared.

    Returns:
        One image per filter, in [0, 1]; for `plots.image_grid`.

    Raises:
        ValueError: The kernel has other than 1 or 3 channels, or the scale is unknown.

    >>> filter_images(jnp.array([1.0, -1.0, 0.0]).reshape(3, 1, 1, 1)).ravel().tolist()
    [1.0, 0.0, 0.5]
    """
    check_name("scale", scale, ("each", "all"))
    if kernel.ndim != 4 or kernel.shape[2] not in (1, 3):
        raise ValueError(
            "kernel must be (height, width, channels, features) with 1 or 3 channels, got "
            f"{kernel.shape}"
        )
    filters = jnp.moveaxis(kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32)), 3, 0)
    largest = jnp.abs(filters).max(axis=(1, 2, 3) if scale == "each" else None, keepdims=True)
    return 0.5 + 0.5 * filters / jnp.where(largest > 0, largest, 1)
