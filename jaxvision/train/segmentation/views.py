"""Test-time augmentation: what a segmenter says of an image seen from several sides."""

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

# Each row is one view: whether it swaps rows and columns, then flips vertically, horizontally.
_VIEWS: dict[str, list[tuple[int, int, int]]] = {
    "none": [(0, 0, 0)],
    "horizontal_flip": [(0, 0, 0), (0, 0, 1)],
    "flips": [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)],
    "dihedral": [(swap, down, across) for swap in (0, 1) for down in (0, 1) for across in (0, 1)],
}


def with_views(apply: Apply, views: Views = "none") -> Apply:
    """Averages the probabilities that a segmenter gives for flipped and rotated images.

    Every view of an image goes through `apply`, and its probabilities are turned back before they
    are averaged. The views are computed one after another, so that memory is that of one.

    Args:
        apply: `apply(variables, images) -> logits`, with the height and width of the images.
        views: `"none"` takes the image as it is; `"horizontal_flip"` adds its mirror image, with
            left and right exchanged; `"flips"` takes the 4 combinations of a horizontal and a
            vertical flip, among them the rotation by 180 degrees; `"dihedral"` takes the 8 flips
            and rotations of a square, and for images that are not square the 4 of `"flips"`.

    Returns:
        `(variables, images) -> logits`: the logarithm of the mean probability, float32, whose
        softmax is the mean probability itself.

    Raises:
        ValueError: `views` is unknown. What is returned raises it for volumes, and where the logits
            have not the height and width of the images, or are of fewer than 2 classes.

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
            raise ValueError(f"views are flips of images, and volumes have none: {images.shape}")
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
            f"apply must give logits of 2 classes or more, got {logits.shape[3]}; the logit of one "
            "class becomes two by a zero for the other"
        )
    return jax.nn.log_softmax(logits.astype(jnp.float32))


def _swap(maps: Array, swap: Bool[Array, ""]) -> Array:
    return jnp.where(swap, maps.swapaxes(1, 2), maps)


def _flip(maps: Array, down: Bool[Array, ""], across: Bool[Array, ""]) -> Array:
    maps = jnp.where(down, maps[:, ::-1], maps)
    return jnp.where(across, maps[:, :, ::-1], maps)
