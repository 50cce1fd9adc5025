"""Test-time augmentation: predictions averaged over flips and rotations of an image."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxvision.checks import check_name

PyTree = Any
Apply = Callable[
    [PyTree, Float[Array, "batch height width channels"]],
    Float[Array, "batch height width classes"],
]
"""`apply(variables, images) -> logits`: logits for every pixel of a batch of images."""

Views = Literal["none", "horizontal_flip", "flips", "dihedral"]

# A view is (transpose, vertical flip, horizontal flip), applied in this order.
_VIEWS: dict[str, list[tuple[int, int, int]]] = {
    "none": [(0, 0, 0)],
    "horizontal_flip": [(0, 0, 0), (0, 0, 1)],
    "flips": [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)],
    "dihedral": [(swap, down, across) for swap in (0, 1) for down in (0, 1) for across in (0, 1)],
}


def with_views(apply: Apply, views: Views = "none") -> Apply:
    """Averages the probabilities of a segmenter over flips and rotations of the images.

    `apply` computes each view in turn, so memory use is that of one view. Its probabilities are
    transformed back before they are averaged.

    Args:
        apply: `apply(variables, images) -> logits`, with the height and width of the images.
        views: `"none"` uses only the image; `"horizontal_flip"` adds its left-right mirror image;
            `"flips"` uses the 4 combinations of horizontal and vertical flips; `"dihedral"` uses
            the 8 flips and rotations of a square, or `"flips"` if the images are not square.

    Returns:
        `(variables, images) -> logits`: logarithms of the mean probabilities, float32. Their
        softmax is the mean probability.

    Raises:
        ValueError: `views` is unknown. The returned function raises it for volumes, for logits
            without the height and width of the images, and for fewer than 2 classes.

    Reference: Krizhevsky et al., ImageNet classification with deep convolutional neural networks,
    NeurIPS 2012, averages over views of an image at test time.

    >>> brightness = lambda variables, images: jnp.concatenate([images, -images], axis=-1)
    >>> images = jnp.arange(4.0).reshape(1, 2, 2, 1)
    >>> logits = jax.jit(with_views(brightness, "dihedral"))({}, images)
    >>> np.exp(logits[0, 0, 1]).round(4).tolist()  # brightness is the same from every side
    [0.8808000087738037, 0.11919999867677689]
    """
    check_name("views", views, _VIEWS)

    def averaged(
        variables: PyTree, images: Float[Array, "batch *space channels"]
    ) -> Float[Array, "batch height width classes"]:
        if images.ndim != 4:
            raise ValueError(f"views need images, not volumes of the shape {images.shape}")
        square = images.shape[1] == images.shape[2]
        chosen = _VIEWS["flips" if views == "dihedral" and not square else views]
        if len(chosen) == 1:
            return _log_probabilities(apply, variables, images)

        def add(total: Array, view: Bool[Array, "3"]) -> tuple[Array, None]:
            swap, down, across = view
            turned = _flip(_swap(images, swap) if square else images, down, across)
            seen = _flip(_log_probabilities(apply, variables, turned), down, across)
            return jnp.logaddexp(total, _swap(seen, swap) if square else seen), None

        shape = jax.eval_shape(lambda: _log_probabilities(apply, variables, images)).shape
        nothing = jnp.full(shape, -jnp.inf, jnp.float32)
        total, _ = jax.lax.scan(add, nothing, jnp.array(chosen, bool))
        return total - np.log(len(chosen))

    return averaged


def _log_probabilities(
    apply: Apply, variables: PyTree, images: Float[Array, "batch height width channels"]
) -> Float[Array, "batch height width classes"]:
    logits = apply(variables, images)
    if logits.ndim != 4 or logits.shape[:3] != images.shape[:3]:
        raise ValueError(
            f"apply must keep the batch, height and width of images: it gave logits of shape "
            f"{logits.shape} for images of shape {images.shape}"
        )
    if logits.shape[3] < 2:
        raise ValueError(
            f"apply must give logits of 2 classes or more, got {logits.shape[3]}; add a zero for "
            "the other class to a single logit"
        )
    return jax.nn.log_softmax(logits.astype(jnp.float32))


def _swap(maps: Array, swap: Bool[Array, ""]) -> Array:
    return jnp.where(swap, maps.swapaxes(1, 2), maps)


def _flip(maps: Array, down: Bool[Array, ""], across: Bool[Array, ""]) -> Array:
    maps = jnp.where(down, maps[:, ::-1], maps)
    return jnp.where(across, maps[:, :, ::-1], maps)
