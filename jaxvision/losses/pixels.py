"""Losses for masks that judge each pixel by itself: means over the pixels of an example."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxvision.losses._masks import Masks, Reduce, read_masks
from jaxvision.losses.classification import cross_entropy, focal

ClassWeights = Real[Array, "_"] | Real[np.ndarray, "_"] | Sequence[int | float]
"""One number per class; for a single logit per pixel, of the background and the foreground."""


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

    Here v is the weight of the pixel, w the class weight of its label, and ce the value of
    `cross_entropy`, of which w is a factor; with label smoothing ce has a term for every class,
    each with the weight of that class. With `reduce="batch"` this is `torch.nn.CrossEntropyLoss`,
    all options together. A single logit per pixel is the log-odds of the label 1 against 0.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel; pixels with 255 or a negative label do not count. A label
            beyond the classes gives NaN.
        class_weights: What the terms of each class are multiplied by, one number per class; two
            where there is a single logit per pixel.
        label_smoothing: The share of the uniform distribution in the targets, from 0 to 1.
        pixel_weight: What each pixel is weighed by, not negative, such as
            `data.boundary_weights`; None is 1.
        reduce: `"sample"` takes the mean over each example, `"batch"` over all pixels of the batch.
        weight: With `reduce="batch"`, 0 for rows that pad the batch.

    Returns:
        One value per example, or with `reduce="batch"` a single one; float32 at least. It is 0,
        with a gradient of 0, where the weights sum to 0.

    Raises:
        ValueError: Shapes do not fit, or a value is not allowed.

    Reference: Ronneberger et al., U-Net: convolutional networks for biomedical image segmentation,
    MICCAI 2015, arXiv:1505.04597, weigh classes and pixels so.

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

    Here v is the weight of the pixel and focal the value of `focal`, over a softmax of the classes.
    `alpha` multiplies that value, and does not enter the sum below. A single logit per pixel is the
    log-odds of the label 1 against 0. With several classes, segmentation_models_pytorch takes
    something else by the same name, the mean over pixels and classes of `sigmoid_focal`.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel; pixels with 255 or a negative label do not count. A label
            beyond the classes gives NaN.
        gamma: How fast the weight falls as a pixel's probability rises; not negative.
        alpha: What the pixels of each class are multiplied by, one number per class; two where
            there is a single logit per pixel.
        pixel_weight: What each pixel is weighed by, not negative; None is 1.
        reduce: `"sample"` takes the mean over each example, `"batch"` over all pixels of the batch.
        weight: With `reduce="batch"`, 0 for rows that pad the batch.

    Returns:
        One value per example, or with `reduce="batch"` a single one; float32 at least. It is 0,
        with a gradient of 0, where the weights sum to 0.

    Raises:
        ValueError: Shapes do not fit, or a value is not allowed.

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
    """The logits; of a single one those of two classes, whose softmax is its sigmoid."""
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
    """The weighted sum of the values of each row, divided by another; 0 where that is 0."""
    total = jnp.sum(jnp.where(weights == 0, 0, values) * weights, axis=1)
    divisor = jnp.sum(below, axis=1)
    return jnp.where(divisor == 0, 0, total / jnp.where(divisor == 0, 1, divisor))
