"""Losses for masks that look at all pixels of a class together: overlaps.

Losses of single pixels are those of `losses.classification`, which take maps too:
`cross_entropy(logits, labels)` has one value per pixel.
"""

import math
from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxvision._suggest import unknown

Reduce = Literal["sample", "batch"]
Absent = Literal["skip", "zero", "count"]
IGNORED = 255
"""The label of pixels that count nowhere; negative labels do not count either."""


class OverlapOptions(TypedDict, total=False):
    """The options that the losses of overlap have in common; see `tversky`."""

    smooth: float
    reduce: Reduce
    absent: Absent
    classes: Sequence[int] | None
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None


def tversky(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"],
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 0.0,
    reduce: Reduce = "sample",
    absent: Absent = "skip",
    classes: Sequence[int] | None = None,
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
) -> Float[Array, "..."]:
    """The mean over classes of `1 - (TP + s) / (TP + alpha FP + beta FN + s)`.

    TP is the sum over pixels of `p t`, FP of `p (1 - t)` and FN of `(1 - p) t`, where p is the
    softmax of the logits and t the label as one-hot vector. With a single logit per pixel, p is its
    sigmoid and the label 1 is the foreground.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel; pixels with 255 or a negative label do not count.
        alpha: The weight of false positives.
        beta: The weight of false negatives; above `alpha`, missed pixels cost more.
        smooth: The number s that is added above and below.
        reduce: `"sample"` takes the sums over each example; `"batch"` over all examples, so that
            small objects of one image are judged with those of the others.
        absent: What a class without a labelled pixel is: `"skip"` leaves it out of the mean (which
            is 0 if no class is left), `"zero"` counts a loss of 0, as segmentation_models_pytorch
            does, and `"count"` takes the formula, so that predicting the class costs.
        classes: The classes that the mean is over, for example all but the background; None takes
            all.
        weight: With `reduce="batch"`, 0 for rows that pad the batch.

    Returns:
        One value per example, or with `reduce="batch"` a single one; float32 at least.

    Raises:
        ValueError: Shapes do not fit, or a value is not allowed.

    Reference: Salehi et al., Tversky loss function for image segmentation using 3D fully
    convolutional deep networks, MLMI 2017, arXiv:1706.05721.

    >>> p = jnp.array([0.9, 0.8, 0.3, 0.1])
    >>> logits, labels = jnp.log(p / (1 - p)).reshape(1, 2, 2, 1), jnp.array([[[1, 1], [0, 0]]])
    >>> print(f"{tversky(logits, labels, alpha=0.3, beta=0.7)[0]:.6f}")
    0.162562
    """
    p, t, counts = _pixels(logits, labels)
    _check_choice("reduce", reduce, ("sample", "batch"))
    _check_choice("absent", absent, ("skip", "zero", "count"))
    if reduce == "batch" and weight is not None:
        rows = weight.astype(p.dtype).reshape(-1, *(1,) * (p.ndim - 1))
        counts = counts * rows
    axes = tuple(range(0 if reduce == "batch" else 1, p.ndim - 1))
    true_positive = jnp.sum(counts * p * t, axes)
    false_positive = jnp.sum(counts * p * (1 - t), axes)
    false_negative = jnp.sum(counts * (1 - p) * t, axes)
    above = true_positive + smooth
    below = true_positive + alpha * false_positive + beta * false_negative + smooth
    loss = 1 - above / jnp.where(below > 0, below, 1)
    return _over_classes(loss, jnp.sum(counts * t, axes) > 0, absent, classes)


def soft_dice(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"],
    **options: Unpack[OverlapOptions],
) -> Float[Array, "..."]:
    """The soft Dice loss, the mean over classes of `1 - (I + s) / ((P + T) / 2 + s)`.

    I is the sum over pixels of `p t`, P of `p` and T of `t`; see `tversky`, which this is with
    `alpha = beta = 1/2`.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel.
        **options: Options of `tversky` but `alpha` and `beta`. The number s of `smooth` is added
            after halving as in optax and segmentation_models_pytorch; MONAI adds it before, which
            is half as much here.

    Returns:
        One value per example, or with `reduce="batch"` a single one.

    Raises:
        ValueError: Shapes do not fit, or a value is not allowed.

    Reference: Milletari et al., V-Net: fully convolutional neural networks for volumetric medical
    image segmentation, 3DV 2016, arXiv:1606.04797.

    >>> p = jnp.array([0.9, 0.8, 0.3, 0.1])
    >>> logits, labels = jnp.log(p / (1 - p)).reshape(1, 2, 2, 1), jnp.array([[[1, 1], [0, 0]]])
    >>> print(f"{soft_dice(logits, labels)[0]:.6f}")
    0.170732
    """
    return tversky(logits, labels, alpha=0.5, beta=0.5, **options)


def soft_jaccard(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"],
    **options: Unpack[OverlapOptions],
) -> Float[Array, "..."]:
    """The soft Jaccard loss, the mean over classes of `1 - (I + s) / (P + T - I + s)`.

    It is `tversky` with `alpha = beta = 1`, and follows from Dice's index D as `D / (2 - D)`.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel.
        **options: Options of `tversky` but `alpha` and `beta`.

    Returns:
        One value per example, or with `reduce="batch"` a single one.

    Raises:
        ValueError: Shapes do not fit, or a value is not allowed.

    >>> p = jnp.array([0.9, 0.8, 0.3, 0.1])
    >>> logits, labels = jnp.log(p / (1 - p)).reshape(1, 2, 2, 1), jnp.array([[[1, 1], [0, 0]]])
    >>> print(f"{soft_jaccard(logits, labels)[0]:.6f}")
    0.291667
    """
    return tversky(logits, labels, alpha=1.0, beta=1.0, **options)


def lovasz_hinge(
    logits: Float[Array, "batch *space"], labels: Integer[Array, "batch *space"]
) -> Float[Array, " batch"]:
    """The Lovasz hinge: a convex surrogate of the Jaccard loss of a foreground.

    Args:
        logits: Log-odds of the foreground.
        labels: 1 for the foreground, 0 for the background; 255 and negative labels do not count.

    Returns:
        One value per example, float32 at least; 0 for an example without a pixel that counts.

    Raises:
        ValueError: The shapes differ.

    Reference: Berman et al., The Lovasz-softmax loss, CVPR 2018, arXiv:1705.08790.

    >>> p = jnp.array([[0.9, 0.8, 0.3, 0.1]])
    >>> print(f"{lovasz_hinge(jnp.log(p / (1 - p)), jnp.array([[1, 1, 0, 0]]))[0]:.7f}")
    0.0509007
    """
    if logits.shape != labels.shape:
        raise ValueError(
            f"logits and labels must have one shape, got {logits.shape} and {labels.shape}"
        )
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    known = (labels >= 0) & (labels != IGNORED)
    truth = (labels == 1).astype(wide.dtype)
    errors = 1 - wide * (2 * truth - 1)
    return _lovasz(errors, truth, known, cut=True)


def lovasz_softmax(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"],
    *,
    classes: Sequence[int] | None = None,
) -> Float[Array, " batch"]:
    """The Lovasz-softmax: a surrogate of the mean Jaccard loss over the classes of an example.

    Args:
        logits: Unnormalized log-probabilities of each pixel, of two classes or more.
        labels: The class of each pixel; 255 and negative labels do not count.
        classes: The classes that the mean is over; None takes all. Classes without a labelled pixel
            are left out.

    Returns:
        One value per example, float32 at least; 0 for an example without a pixel that counts.

    Raises:
        ValueError: Shapes do not fit.

    Reference: Berman et al., The Lovasz-softmax loss, CVPR 2018, arXiv:1705.08790.

    >>> logits = jnp.array([[[2.0, 0.0], [0.0, 1.0]]])
    >>> print(f"{jax.jit(lovasz_softmax)(logits, jnp.array([[0, 1]]))[0]:.4f}")
    0.2315
    """
    p, t, counts = _pixels(logits, labels)
    known = jnp.broadcast_to(counts > 0, p.shape)
    errors = jnp.abs(t - p)
    per_class = jnp.stack(
        [
            _lovasz(errors[..., index], t[..., index], known[..., index], cut=False)
            for index in range(p.shape[-1])
        ],
        axis=-1,
    )
    present = jnp.sum(counts * t, axis=tuple(range(1, p.ndim - 1))) > 0
    return _over_classes(per_class, present, "skip", classes)


def _lovasz(errors: Array, truth: Array, known: Array, *, cut: bool) -> Array:
    """The Lovasz extension of the Jaccard loss at the errors of each example."""
    rows, pixels = len(errors), math.prod(errors.shape[1:])
    errors, truth, known = (x.reshape(rows, pixels) for x in (errors, truth, known))
    # What does not count comes last, with an error of 0.
    order = jnp.argsort(-jnp.where(known, errors, -jnp.inf), axis=1)
    errors = jnp.where(known, errors, 0)
    errors, truth, known = (jnp.take_along_axis(x, order, 1) for x in (errors, truth, known))
    truth = truth * known
    total = truth.sum(1, keepdims=True)
    intersection = total - jnp.cumsum(truth, 1)
    union = total + jnp.cumsum((1 - truth) * known, 1)
    jaccard = 1 - intersection / jnp.where(union > 0, union, 1)
    steps = jnp.diff(jaccard, axis=1, prepend=0) * known
    return jnp.sum((jax.nn.relu(errors) if cut else errors) * jax.lax.stop_gradient(steps), 1)


def _pixels(logits: Array, labels: Array) -> tuple[Array, Array, Array]:
    """Probabilities, one-hot labels, and 1 for pixels that count, with an axis for the classes."""
    if logits.shape[:-1] != labels.shape:
        raise ValueError(
            f"logits must have the shape of the labels and one axis more, of the classes, got "
            f"{logits.shape} and {labels.shape}"
        )
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    counts = ((labels >= 0) & (labels != IGNORED)).astype(wide.dtype)[..., None]
    if logits.shape[-1] == 1:
        return jax.nn.sigmoid(wide), (labels == 1).astype(wide.dtype)[..., None], counts
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=wide.dtype)
    return jax.nn.softmax(wide, axis=-1), targets, counts


def _over_classes(
    loss: Array, present: Array, absent: Absent, classes: Sequence[int] | None
) -> Array:
    """The mean over the classes that count."""
    if classes is not None:
        chosen = jnp.asarray(classes)
        loss, present = loss[..., chosen], present[..., chosen]
    if absent == "count":
        return loss.mean(-1)
    total = jnp.sum(jnp.where(present, loss, 0), -1)
    count = present.sum(-1) if absent == "skip" else loss.shape[-1]
    return total / jnp.maximum(count, 1)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(unknown(name, value, choices))
