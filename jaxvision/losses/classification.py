"""Losses for class labels."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxvision.losses._precision import at_least_float32


def cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch classes"],
    *,
    label_smoothing: float = 0.0,
    class_weights: Float[Array, "classes"] | None = None,
) -> Float[Array, "*batch"]:
    """The softmax cross-entropy in nats, `-sum_c w_c t_c log p_c`.

    Here p is the softmax of the logits, t the label as a distribution (mixed with the uniform one
    by label smoothing), and w the class weights. It equals `torch.nn.functional.cross_entropy` with
    `reduction="none"`, for all combinations of options. (When torch averages, it divides by the
    summed weights of the labels: `loss.sum() / class_weights[labels].sum()`.)

    A well-known course example (scores 3.2, 5.1, -1.7 of a cat image) often gives the loss as
    -log(0.13) = 0.89, a base-10 logarithm. In nats, as here, the loss is 2.0404.

    Args:
        logits: Unnormalized log-probabilities. -inf marks an impossible class: if its target is 0,
            it adds 0 to the loss and to the gradient.
        labels: Class indices, or one distribution over the classes per example. An index out of
            range or a NaN in a distribution gives NaN, because compiled programs cannot raise; its
            gradient is 0, so that `weighted_mean` can leave out such examples.
        label_smoothing: The share of the uniform distribution in the targets, from 0 to 1.
        class_weights: Factors of the terms of each class.

    Raises:
        ValueError: The shapes do not match, or `label_smoothing` is not in [0, 1].

    Reference: Szegedy et al., Rethinking the Inception architecture, CVPR 2016, arXiv:1512.00567.

    >>> logits = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0]])
    >>> [f"{loss:.4f}" for loss in cross_entropy(logits, jnp.array([0, 1]))]
    ['2.0404', '0.0791']
    """
    _check_shapes(logits, labels)
    _check_class_weights("class_weights", class_weights, logits)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
    logits = at_least_float32(logits)
    targets, known = _targets(logits, labels)
    targets = (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    if class_weights is not None:
        targets = targets * class_weights.astype(logits.dtype)
    return jnp.where(known, -jnp.sum(targets * _log_softmax(logits, targets), axis=-1), jnp.nan)


def focal(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch classes"],
    *,
    gamma: float = 2.0,
    alpha: Float[Array, "classes"] | None = None,
) -> Float[Array, "*batch"]:
    """The focal loss over a softmax: `-sum_c alpha_c t_c (1 - p_c)**gamma log p_c`.

    It gives less weight to examples that are already classified well. With `gamma=0` and no `alpha`
    it is the cross-entropy.

    Args:
        logits: Unnormalized log-probabilities, as for `cross_entropy`.
        labels: Class indices or distributions, as for `cross_entropy`.
        gamma: How fast the weight falls as an example's probability rises; not negative.
        alpha: Factors of the terms of each class.

    Raises:
        ValueError: The shapes do not match, or `gamma` is negative.

    Reference: Lin et al., Focal loss for dense object detection, ICCV 2017, arXiv:1708.02002.

    >>> logits = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0]])
    >>> [f"{loss:.4f}" for loss in focal(logits, jnp.array([0, 1]))]
    ['1.5444', '0.0005']
    """
    _check_shapes(logits, labels)
    _check_class_weights("alpha", alpha, logits)
    _check_gamma(gamma)
    logits = at_least_float32(logits)
    targets, known = _targets(logits, labels)
    if alpha is not None:
        targets = targets * alpha.astype(logits.dtype)
    log_p = _log_softmax(logits, targets)
    # Kept above 0, where a power with an exponent below 1 has no finite gradient.
    modulation = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(log_p.dtype).tiny) ** gamma
    return jnp.where(known, -jnp.sum(targets * modulation * log_p, axis=-1), jnp.nan)


def sigmoid_focal(
    logits: Float[Array, "*shape"],
    labels: Real[Array, "*shape"] | Bool[Array, "*shape"],
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
) -> Float[Array, "*shape"]:
    """The focal loss of independent binary decisions: `-alpha_t (1 - p_t)**gamma log p_t`.

    Use it for multi-label images or the anchors of a detector. p_t is the probability of the true
    answer: p where the label is 1 and 1 - p where it is 0; likewise alpha_t is alpha or 1 - alpha.
    This is `optax.losses.sigmoid_focal_loss` with the paper's alpha, without broadcasting.

    Args:
        logits: Log-odds of the answer "yes".
        labels: 1 for yes and 0 for no; a probability between mixes the two weights.
        gamma: How fast the weight falls as p_t rises; not negative.
        alpha: The weight of "yes", from 0 to 1; None means no weights.

    Raises:
        ValueError: The shapes differ, `gamma` is negative, or `alpha` is not in [0, 1].

    Reference: Lin et al., Focal loss for dense object detection, ICCV 2017, arXiv:1708.02002.

    >>> logits = jnp.array([2.2, 1.4, -0.8, -2.2])
    >>> [f"{loss:.4f}" for loss in jax.jit(sigmoid_focal)(logits, jnp.array([1, 1, 0, 0]))]
    ['0.0003', '0.0022', '0.0268', '0.0008']
    """
    if logits.shape != labels.shape:
        raise ValueError(
            f"logits and labels must have one shape, got {logits.shape} and {labels.shape}"
        )
    _check_gamma(gamma)
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1] or None, got {alpha}")
    logits = at_least_float32(logits)
    labels = labels.astype(logits.dtype)
    return optax.losses.sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma)


def weston_watkins_hinge(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    margin: float = 1.0,
) -> Float[Array, "*batch"]:
    """The multi-class hinge loss summed over the wrong classes: `sum_j max(0, margin + s_j - s_y)`.

    This is the loss of the Weston-Watkins support vector machine. (The Crammer-Singer loss,
    `optax.losses.multiclass_hinge_loss`, takes the largest term instead of the sum.) The gradient
    is 0 where a score is exactly at the margin.

    A well-known course example (cat, car and frog, below) often gives a loss of 10.9 for the frog
    and a mean of 4.6, because its terms lack the margin of 1. The correct loss is 12.9, the mean
    5.27.

    Args:
        logits: Scores s, one per class.
        labels: Class indices y. An index out of range gives NaN.
        margin: How much the score of the label must exceed the others; positive.

    Raises:
        ValueError: The shapes do not match, labels are not integers, or `margin` is not positive.

    Reference: Weston and Watkins, Support vector machines for multi-class recognition, ESANN 1999.

    >>> logits = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    >>> [f"{loss:.1f}" for loss in weston_watkins_hinge(logits, jnp.array([0, 1, 2]))]
    ['2.9', '0.0', '12.9']
    """
    violations, known = _violations(logits, labels, margin)
    return jnp.where(known, jnp.sum(violations, axis=-1), jnp.nan)


def weston_watkins_squared_hinge(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    margin: float = 1.0,
) -> Float[Array, "*batch"]:
    """The Weston-Watkins hinge loss with squared terms: `sum_j max(0, margin + s_j - s_y)**2`.

    It penalizes one large violation more than many small ones, and its gradient is continuous.
    Arguments and errors are those of `weston_watkins_hinge`.

    Reference: Tang, Deep learning using linear support vector machines, 2013, arXiv:1306.0239 (with
    one-versus-rest machines).

    >>> logits = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    >>> [f"{loss:.2f}" for loss in weston_watkins_squared_hinge(logits, jnp.array([0, 1, 2]))]
    ['8.41', '0.00', '83.25']
    """
    violations, known = _violations(logits, labels, margin)
    return jnp.where(known, jnp.sum(jnp.square(violations), axis=-1), jnp.nan)


def _violations(
    logits: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"], margin: float
) -> tuple[Float[Array, "*batch classes"], Bool[Array, "*batch"]]:
    """How much each wrong class violates the margin, and whether each label is a class."""
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be class indices of an integer type, got {labels.dtype}: hinge losses "
            "do not accept distributions over the classes, such as mixup and cutmix make"
        )
    _check_shapes(logits, labels)
    if not margin > 0:
        raise ValueError(f"margin must be positive, got {margin}")
    logits = at_least_float32(logits)
    targets, known = _targets(logits, labels)
    # Selected, not multiplied by the one-hot row: 0 * inf would be NaN.
    right = jnp.sum(jnp.where(targets == 1, logits, 0), axis=-1, keepdims=True)
    return jnp.where(targets == 1, 0, jax.nn.relu(margin + logits - right)), known


def _targets(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch classes"],
) -> tuple[Float[Array, "*batch classes"], Bool[Array, "*batch"]]:
    """Labels as distributions, and whether each label is valid."""
    if jnp.issubdtype(labels.dtype, jnp.integer):
        # One-hot rows cost no memory: the compiler fuses them into the sum over classes.
        known = (labels >= 0) & (labels < logits.shape[-1])
        return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype), known
    known = ~jnp.isnan(labels).any(axis=-1)
    return jnp.where(known[..., None], labels, 0).astype(logits.dtype), known


def _log_softmax(
    logits: Float[Array, "*batch classes"], targets: Float[Array, "*batch classes"]
) -> Float[Array, "*batch classes"]:
    """Log-probabilities; 0 instead of -inf where the target is 0, so that 0 * log 0 is 0."""
    log_p = jax.nn.log_softmax(logits)
    return jnp.where((targets == 0) & jnp.isneginf(log_p), 0, log_p)


def _check_shapes(logits: Float[Array, "..."], labels: Real[Array, "..."]) -> None:
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits need a last axis of classes, got shape {logits.shape}")
    indices = jnp.issubdtype(labels.dtype, jnp.integer)
    if labels.shape != (logits.shape[:-1] if indices else logits.shape):
        raise ValueError(
            f"logits of shape {logits.shape} go with integer labels of shape {logits.shape[:-1]} "
            f"or distributions of shape {logits.shape}; got {labels.dtype} labels of shape "
            f"{labels.shape}"
        )


def _check_class_weights(
    name: str, weights: Float[Array, "..."] | None, logits: Float[Array, "..."]
) -> None:
    if weights is not None and weights.shape != logits.shape[-1:]:
        raise ValueError(
            f"{name} must have one entry per class, shape {logits.shape[-1:]} for logits of shape "
            f"{logits.shape}; got shape {weights.shape}"
        )


def _check_gamma(gamma: float) -> None:
    if not gamma >= 0:
        raise ValueError(f"gamma must not be negative, got {gamma}")
