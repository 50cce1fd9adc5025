"""Mask losses that are means over the pixels, each judged independently."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxvision.losses._masks import Masks, Reduce, read_masks
from jaxvision.losses.classification import cross_entropy, focal

ClassWeights = Real[Array, "_"] | Real[np.ndarray, "_"] | Sequence[int | float]
"""One number per class; for a single logit per pixel, for background and foreground."""


def pixel_cross_entropy(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    *,
    class_weights: ClassWeights | None = None,
    label_smoothing: int | float = 0.0,
    pixel_weight: Real[Array, "batch *space"] | None = None,
    reduce: Reduce = "sample",
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
) -> Float[Array, "..."]:
    """The mean cross-entropy of the pixels in nats, `sum_i v_i ce_i / sum_i v_i w_i`.

    Here v is the pixel's weight, w the class weight of its label, and ce the value of
    `cross_entropy`, which includes the class weights; with label smoothing, ce has a term for every
    class, each with that class's weight. With `reduce="batch"` this equals
    `torch.nn.CrossEntropyLoss`, for all combinations of options. A single logit per pixel is the
    log-odds of label 1 against 0.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel; 255 and negative are ignored, too large ones give NaN.
        class_weights: Factors of the terms of each class; two numbers for a single logit per pixel.
        label_smoothing: The share of the uniform distribution in the targets, from 0 to 1.
        pixel_weight: Weights of the pixels, not negative, such as `data.boundary_weights`.
        reduce: `"sample"` averages over each example, `"batch"` over all pixels of the batch.
        weight: With `reduce="batch"`, 0 for rows that pad the batch.

    Returns:
        One value per example or batch; it and its gradient are 0 where the weights sum to 0.

    Raises:
        ValueError: The shapes do not match, or `reduce` or `label_smoothing` is not allowed.

    Reference: Ronneberger et al., U-Net, MICCAI 2015, arXiv:1505.04597 (class and pixel weights).

    >>> import jax
    >>> logits, labels = jnp.array([[[0.0, 1.0], [2.0, 0.0]]]), jnp.array([[1, 0]])
    >>> print(f"{jax.jit(pixel_cross_entropy)(logits, labels)[0]:.4f}")
    0.2201
    """
    masks = read_masks(logits, labels, reduce, weight)
    two = _at_least_two(masks)
    by_class = _per_class("class_weights", class_weights, two)
    values = cross_entropy(
        two, masks.labels, label_smoothing=float(label_smoothing), class_weights=by_class
    )
    weights = masks.weights(pixel_weight)
    below = weights if by_class is None else weights * by_class[masks.labels]
    return masks.result(_ratio(weights, values, below))


def pixel_focal(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    *,
    gamma: int | float = 2.0,
    alpha: ClassWeights | None = None,
    pixel_weight: Real[Array, "batch *space"] | None = None,
    reduce: Reduce = "sample",
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
) -> Float[Array, "..."]:
    """The mean focal loss of the pixels, `sum_i v_i focal_i / sum_i v_i`.

    Here v is the pixel's weight and focal the value of `focal`, over a softmax of the classes.
    `alpha` multiplies that value and does not enter the denominator. A single logit per pixel is
    the log-odds of label 1 against 0. With several classes, the focal loss of
    segmentation_models_pytorch differs: it is the mean of `sigmoid_focal` over pixels and classes.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel; 255 and negative are ignored, too large ones give NaN.
        gamma: How fast the weight falls as a pixel's probability rises; not negative.
        alpha: Factors of the terms of each class; two numbers for a single logit per pixel.
        pixel_weight: Weights of the pixels, not negative.
        reduce: `"sample"` averages over each example, `"batch"` over all pixels of the batch.
        weight: With `reduce="batch"`, 0 for rows that pad the batch.

    Returns:
        One value per example or batch; it and its gradient are 0 where the weights sum to 0.

    Raises:
        ValueError: The shapes do not match, `reduce` is unknown, or `gamma` is negative.

    Reference: Lin et al., Focal loss for dense object detection, ICCV 2017, arXiv:1708.02002.

    >>> import jax
    >>> logits, labels = jnp.array([[[0.0, 1.0], [2.0, 0.0]]]), jnp.array([[1, 0]])
    >>> print(f"{jax.jit(pixel_focal)(logits, labels)[0]:.4f}")
    0.0122
    """
    masks = read_masks(logits, labels, reduce, weight)
    two = _at_least_two(masks)
    by_class = _per_class("alpha", alpha, two)
    values = focal(two, masks.labels, gamma=float(gamma), alpha=by_class)
    weights = masks.weights(pixel_weight)
    return masks.result(_ratio(weights, values, weights))


def _at_least_two(masks: Masks) -> Array:
    """The logits; a single logit becomes two whose softmax is its sigmoid."""
    if masks.num_classes > 1:
        return masks.logits
    return jnp.concatenate([jnp.zeros_like(masks.logits), masks.logits], axis=-1)


def _per_class(name: str, given: ClassWeights | None, logits: Array) -> Array | None:
    if given is None:
        return None
    numbers = jnp.asarray(given, logits.dtype)
    if numbers.shape != logits.shape[-1:]:
        raise ValueError(
            f"{name} must have one entry per class, and two for a single logit: shape "
            f"{logits.shape[-1:]}, got {numbers.shape}"
        )
    return numbers


def _ratio(weights: Array, values: Array, below: Array) -> Array:
    """The weighted sum of each row's values, divided by the sum of `below`; 0 where that is 0."""
    total = jnp.sum(jnp.where(weights == 0, 0, values) * weights, axis=1)
    divisor = jnp.sum(below, axis=1)
    return jnp.where(divisor == 0, 0, total / jnp.where(divisor == 0, 1, divisor))
