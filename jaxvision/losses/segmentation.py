"""Mask losses that measure the overlap of each class; `losses.pixels` has losses per pixel."""

from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxvision.checks import check_name, check_not_negative
from jaxvision.losses._masks import Reduce, read_masks

Absent = Literal["skip", "zero", "count"]
_LEAST = 1e-15


class OverlapOptions(TypedDict, total=False):
    """Options that the overlap losses share; see `tversky`."""

    smooth: int | float
    reduce: Reduce
    absent: Absent
    classes: Sequence[int] | None
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None


def tversky(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    *,
    alpha: int | float = 0.5,
    beta: int | float = 0.5,
    smooth: int | float = 0.0,
    reduce: Reduce = "sample",
    absent: Absent = "skip",
    classes: Sequence[int] | None = None,
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
) -> Float[Array, "..."]:
    """The Tversky loss, the mean over classes of `1 - (TP + s) / (TP + alpha FP + beta FN + s)`.

    TP is the sum over pixels of `p t`, FP of `p (1 - t)` and FN of `(1 - p) t`, where p is the
    softmax of the logits and t the one-hot label. With a single logit per pixel, p is its sigmoid
    and label 1 is the foreground. There is one value per example or batch.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel; 255 and negative are ignored, too large ones give NaN.
        alpha: The weight of false positives.
        beta: The weight of false negatives; above `alpha`, missed pixels cost more.
        smooth: The number s, added to numerator and denominator.
        reduce: `"sample"` sums over the pixels of each example, `"batch"` over all pixels of the
            batch, so that small objects of one image count together with those of the others.
        absent: How to treat a class without labeled pixels: `"skip"` leaves it out of the mean
            (which is 0 without any class), `"zero"` sets its loss to 0, as
            segmentation_models_pytorch does, and `"count"` applies the formula, which penalizes its
            prediction.
        classes: The classes to average over, for example all but the background; None means all.
        weight: With `reduce="batch"`, 0 for rows that pad the batch.

    Raises:
        ValueError: The shapes do not match, `reduce`, `absent` or `classes` is not allowed, or
            `alpha`, `beta` or `smooth` is negative or not finite.

    Reference: Salehi et al., Tversky loss function for image segmentation, arXiv:1706.05721.

    >>> import functools, numpy as np
    >>> p = np.float32([0.9, 0.8, 0.3, 0.1])
    >>> logits, labels = np.log(p / (1 - p)).reshape(1, 2, 2, 1), np.array([[[1, 1], [0, 0]]])
    >>> loss = functools.partial(tversky, alpha=0.3, beta=0.7)
    >>> print(f"{jax.jit(loss)(logits, labels)[0]:.6f}")
    0.162562
    """
    check_name("absent", absent, get_args(Absent))
    for name, value in (("alpha", alpha), ("beta", beta), ("smooth", smooth)):
        check_not_negative(name, value)
    masks = read_masks(logits, labels, reduce, weight)
    p, t, counts = masks.probabilities(), masks.truth(), masks.counts[..., None]
    true_positive = jnp.sum(p * t, axis=1)
    false_positive = jnp.sum(jnp.where(counts, p * (1 - t), 0), axis=1)
    false_negative = jnp.sum((1 - p) * t, axis=1)
    above = true_positive + smooth
    below = true_positive + alpha * false_positive + beta * false_negative + smooth
    # A quotient with a smaller denominator has no finite derivative.
    loss = jnp.where(below > _LEAST, 1 - above / jnp.where(below > _LEAST, below, 1), 1)
    return masks.result(_over_classes(loss, t.any(axis=1), absent, classes))


def soft_dice(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    **options: Unpack[OverlapOptions],
) -> Float[Array, "..."]:
    """The soft Dice loss, the mean over classes of `1 - (I + s) / ((P + T) / 2 + s)`.

    I is the sum over pixels of `p t`, P of `p` and T of `t`. This is
    `tversky(alpha=1/2, beta=1/2)`.

    Args:
        logits: Unnormalized log-probabilities of each pixel.
        labels: The class of each pixel.
        **options: Options of `tversky` except `alpha` and `beta`. `smooth` (s) is added after
            halving, as in optax and segmentation_models_pytorch; MONAI's value is twice as large.

    Reference: Milletari et al., V-Net, 3DV 2016, arXiv:1606.04797.

    >>> import numpy as np
    >>> p = np.float32([0.9, 0.8, 0.3, 0.1])
    >>> logits, labels = np.log(p / (1 - p)).reshape(1, 2, 2, 1), np.array([[[1, 1], [0, 0]]])
    >>> print(f"{jax.jit(soft_dice)(logits, labels)[0]:.6f}")
    0.170732
    """
    return tversky(logits, labels, alpha=0.5, beta=0.5, **options)


def soft_jaccard(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    **options: Unpack[OverlapOptions],
) -> Float[Array, "..."]:
    """The soft Jaccard loss, the mean over classes of `1 - (I + s) / (P + T - I + s)`.

    I, P, T and the arguments are those of `soft_dice`. It is `tversky` with `alpha = beta = 1`;
    with `smooth=0` and one class, the Jaccard index is `D / (2 - D)` for the Dice index D.

    >>> import numpy as np
    >>> p = np.float32([0.9, 0.8, 0.3, 0.1])
    >>> logits, labels = np.log(p / (1 - p)).reshape(1, 2, 2, 1), np.array([[[1, 1], [0, 0]]])
    >>> print(f"{jax.jit(soft_jaccard)(logits, labels)[0]:.6f}")
    0.291667
    """
    return tversky(logits, labels, alpha=1.0, beta=1.0, **options)


def lovasz_hinge(
    logits: Float[Array, "batch *space 1"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    *,
    reduce: Reduce = "sample",
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
) -> Float[Array, "..."]:
    """The Lovasz hinge, a convex surrogate of the Jaccard loss of the foreground.

    Args:
        logits: Log-odds of the foreground.
        labels: 1 or 0 (background); 255 and negative are ignored, all others give NaN.
        reduce: `"sample"` takes each example separately, `"batch"` all of them together.
        weight: With `reduce="batch"`, 0 for rows that pad the batch.

    Returns:
        One value per example or batch; 0 if all pixels are ignored.

    Raises:
        ValueError: The shapes do not match, pixels have several logits, or `reduce` is unknown.

    Reference: Berman et al., The Lovasz-softmax loss, CVPR 2018, arXiv:1705.08790.

    >>> import numpy as np
    >>> p = np.float32([[0.9, 0.8, 0.3, 0.1]])
    >>> logits = np.log(p / (1 - p))[..., None]
    >>> print(f"{jax.jit(lovasz_hinge)(logits, np.array([[1, 1, 0, 0]]))[0]:.7f}")
    0.0509007
    """
    masks = read_masks(logits, labels, reduce, weight)
    if masks.num_classes != 1:
        raise ValueError(
            f"lovasz_hinge needs one logit per pixel, a last axis of length 1, got {logits.shape}; "
            "for several classes, use lovasz_softmax"
        )
    truth = masks.truth()
    errors = jax.nn.relu(1 - masks.logits * (2 * truth - 1))
    return masks.result(_lovasz(errors, truth, masks.counts)[..., 0])


def lovasz_softmax(
    logits: Float[Array, "batch *space classes"],
    labels: Integer[Array, "batch *space"] | Bool[Array, "batch *space"],
    *,
    reduce: Reduce = "sample",
    classes: Sequence[int] | None = None,
    weight: Real[Array, " batch"] | Bool[Array, " batch"] | None = None,
) -> Float[Array, "..."]:
    """The Lovasz-softmax loss, a surrogate of the mean Jaccard loss over the classes.

    Args:
        logits: Unnormalized log-probabilities of each pixel, or log-odds of the foreground alone.
        labels: The class of each pixel; 255 and negative are ignored, too large ones give NaN.
        reduce: `"sample"` takes each example separately, `"batch"` all of them together.
        classes: The classes to average over, if they have labeled pixels; None means all.
        weight: With `reduce="batch"`, 0 for rows that pad the batch.

    Returns:
        One value per example or batch; 0 if all pixels are ignored.

    Raises:
        ValueError: The shapes do not match, or `reduce` or `classes` is not allowed.

    Reference: Berman et al., The Lovasz-softmax loss, CVPR 2018, arXiv:1705.08790.

    >>> logits = jnp.array([[[2.0, 0.0], [0.0, 1.0]]])
    >>> print(f"{jax.jit(lovasz_softmax)(logits, jnp.array([[0, 1]]))[0]:.4f}")
    0.2315
    """
    masks = read_masks(logits, labels, reduce, weight)
    truth = masks.truth()
    errors = jnp.abs(truth - masks.probabilities())
    per_class = _lovasz(errors, truth, masks.counts)
    return masks.result(_over_classes(per_class, truth.any(axis=1), "skip", classes))


def _lovasz(
    errors: Float[Array, "rows pixels classes"],
    truth: Float[Array, "rows pixels classes"],
    counts: Bool[Array, "rows pixels"],
) -> Float[Array, "rows classes"]:
    """The Lovasz extension of the Jaccard loss at non-negative errors."""
    known = jnp.broadcast_to(counts[..., None], errors.shape)
    # Ignored pixels come last, with an error of 0.
    order = jnp.argsort(-jnp.where(known, errors, -1), axis=1)
    errors = jnp.where(known, errors, 0)
    errors, truth, known = (jnp.take_along_axis(x, order, 1) for x in (errors, truth, known))
    total = truth.sum(1, keepdims=True)
    intersection = total - jnp.cumsum(truth, 1)
    union = total + jnp.cumsum((1 - truth) * known, 1)
    jaccard = 1 - intersection / jnp.where(union > 0, union, 1)
    steps = jnp.diff(jaccard, axis=1, prepend=0) * known
    return jnp.sum(errors * jax.lax.stop_gradient(steps), 1)


def _over_classes(
    loss: Float[Array, "rows classes"],
    present: Bool[Array, "rows classes"],
    absent: Absent,
    classes: Sequence[int] | None,
) -> Float[Array, " rows"]:
    """The mean over the selected classes; `absent` decides about those without labeled pixels."""
    if classes is not None:
        number = loss.shape[-1]
        if not classes or not all(0 <= index < number for index in classes):
            raise ValueError(
                f"classes must be some of 0 to {number - 1}, or None for all, got {classes}"
            )
        chosen = jnp.asarray(classes)
        loss, present = loss[..., chosen], present[..., chosen]
    if absent == "count":
        return loss.mean(-1)
    total = jnp.sum(jnp.where(present, loss, 0), -1)
    count = present.sum(-1) if absent == "skip" else loss.shape[-1]
    return total / jnp.maximum(count, 1)
