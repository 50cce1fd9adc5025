"""Losses for targets that are classes."""

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

    Here p is the softmax of the logits, t the label as a distribution, mixed with the uniform one
    by label smoothing, and w the class weights. It equals `torch.nn.functional.cross_entropy` with
    `reduction="none"`, all options together. (Averaging, torch divides by the sum of the weights of
    the labels: `loss.sum() / class_weights[labels].sum()`.)

    A well-known course example (the scores 3.2, 5.1, -1.7 of a cat image) is often printed as
    -log(0.13) = 0.89, a logarithm of base 10. In nats, as here, the loss is 2.0404.

    Args:
        logits: Unnormalized log-probabilities. An impossible class may have -inf: where its target
            is 0 it adds 0 to the loss and to the gradient.
        labels: Class indices, or one distribution over the classes per example. An index outside
            0 ... classes - 1, or a NaN in a distribution, gives NaN, for nothing can raise in a
            compiled program; the gradient of such an example is 0, so that void labels can be left
            out by a weight of 0.
        label_smoothing: The share of the uniform distribution in the targets, from 0 to 1.
        class_weights: What each class's term is multiplied by.

    Returns:
        One value per example, float32 at least.

    Raises:
        ValueError: The shapes do not fit, or `label_smoothing` is not in [0, 1].

    Reference: label smoothing is from Szegedy et al., Rethinking the Inception architecture for
    computer vision, CVPR 2016, arXiv:1512.00567.

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

    Cross-entropy in which examples that are already right count less. With `gamma=0` and no
    `alpha` it is the cross-entropy.

    Args:
        logits: Unnormalized log-probabilities, as `cross_entropy` takes them.
        labels: Class indices, or one distribution over the classes per example. An index outside
            0 ... classes - 1 gives NaN.
        gamma: How fast the weight falls as an example's probability rises; not negative.
        alpha: What each class's term is multiplied by.

    Returns:
        One value per example, float32 at least.

    Raises:
        ValueError: The shapes do not fit, or `gamma` is negative.

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
    # Bounded away from 0, where a power below 1 has no finite gradient.
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

    One value per logit, for the classes of a multi-label image or the anchors of a detector. Its
    p_t is the probability given to the true answer: p where the label is 1 and 1 - p where it is 0;
    alpha_t is alpha and 1 - alpha in the same way. It is `optax.losses.sigmoid_focal_loss` with the
    paper's alpha, in float32 at least, of logits and labels that nothing is broadcast between.

    Args:
        logits: Unnormalized log-odds of "yes".
        labels: 1 for yes and 0 for no, or a probability between, which mixes the two weights.
        gamma: How fast the weight falls as p_t rises; not negative.
        alpha: The weight of "yes", from 0 to 1; None leaves both answers unweighted.

    Returns:
        One value per logit, float32 at least.

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

    The loss of the Weston-Watkins support vector machine. (`optax.losses.multiclass_hinge_loss` is
    that of Crammer and Singer, the largest term in place of the sum.)

    A well-known course example (cat, car and frog, below) is often printed with a loss of 10.9 for
    the frog and a mean of 4.6: the margin of 1 was dropped from both terms of the frog. Its loss is
    12.9, the mean 5.27.

    Args:
        logits: Scores s, one per class.
        labels: Class indices y. An index outside 0 ... classes - 1 gives NaN.
        margin: By how much the right score must exceed the others; positive.

    Returns:
        One value per example, float32 at least. Its gradient is 0 where a score is exactly at the
        margin.

    Raises:
        ValueError: The shapes do not fit, or `margin` is not positive.

    Reference: Weston and Watkins, Support vector machines for multi-class pattern recognition,
    ESANN 1999.

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
    """The hinge loss with its terms squared: `sum_j max(0, margin + s_j - s_y)**2`.

    It punishes one large violation more than many small ones, and has a continuous gradient.

    Args:
        logits: Scores s, one per class.
        labels: Class indices y. An index outside 0 ... classes - 1 gives NaN.
        margin: By how much the right score must exceed the others; positive.

    Returns:
        One value per example, float32 at least.

    Raises:
        ValueError: The shapes do not fit, or `margin` is not positive.

    Reference: Tang, Deep learning using linear support vector machines, 2013, arXiv:1306.0239,
    squares the hinge (of one-against-rest machines there).

    >>> logits = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    >>> [f"{loss:.2f}" for loss in weston_watkins_squared_hinge(logits, jnp.array([0, 1, 2]))]
    ['8.41', '0.00', '83.25']
    """
    violations, known = _violations(logits, labels, margin)
    return jnp.where(known, jnp.sum(jnp.square(violations), axis=-1), jnp.nan)


def _violations(
    logits: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"], margin: float
) -> tuple[Float[Array, "*batch classes"], Bool[Array, "*batch"]]:
    """By how much each wrong class breaks the margin, and whether each label names a class."""
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be class indices of an integer type, got {labels.dtype}: hinge losses "
            "take no distributions over the classes, as mixup and cutmix make them"
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
    """Labels as distributions, and whether each label names a class."""
    if jnp.issubdtype(labels.dtype, jnp.integer):
        # A one-hot row costs no memory: the compiler fuses its making into the sum over classes.
        known = (labels >= 0) & (labels < logits.shape[-1])
        return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype), known
    known = ~jnp.isnan(labels).any(axis=-1)
    return jnp.where(known[..., None], labels, 0).astype(logits.dtype), known


def _log_softmax(
    logits: Float[Array, "*batch classes"], targets: Float[Array, "*batch classes"]
) -> Float[Array, "*batch classes"]:
    """Log-probabilities; 0 in place of -inf where the target is 0, so that 0 * log 0 is 0."""
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
