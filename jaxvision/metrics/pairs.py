"""Metrics for use inside a compiled step, as pairs of sums.

A mean is stored as `(total, count)`. Padding rows add nothing to either, so that sums over batches
of any size, devices and hosts give exactly the mean over all examples.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Integer, Real

Pair = tuple[Float[Array, ""], Float[Array, ""]]
"""The sums `(total, count)` of a metric whose value is `total / count`."""


def mean(
    values: Real[Array, "*batch"] | Bool[Array, "*batch"],
    weight: Real[Array, "..."] | Bool[Array, "..."] | None = None,
) -> Pair:
    """The weighted mean of the values, as a pair `sum(w * v), sum(w)` in float32 or wider.

    Args:
        values: One value per example, or per position of an example. Values of weight 0 are
            ignored, even if they are NaN.
        weight: Weights, not negative, or None for 1. Their shape is a leading part of that of
            `values`: weights of shape `batch` apply to whole examples.

    Raises:
        ValueError: The shape of `weight` is not a leading part of the shape of `values`.

    >>> compute({"loss": mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([1, 1, 0]))})
    {'loss': 2.0}
    """
    if weight is None:
        weight = jnp.ones(values.shape, jnp.float32)
    if weight.shape != values.shape[: weight.ndim]:
        raise ValueError(
            f"weight must have the leading axes of the values, {values.shape}, got {weight.shape}"
        )
    dtype = jnp.result_type(values, weight, jnp.float32)
    weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
    weight = jnp.broadcast_to(weight.astype(dtype), values.shape)
    total = jnp.sum(jnp.where(weight == 0, 0, weight * values.astype(dtype)))
    return total, jnp.sum(weight)


def accuracy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch classes"],
    weight: Real[Array, "..."] | Bool[Array, "..."] | None = None,
) -> Pair:
    """The share of examples whose label has the largest logit.

    Args:
        logits: Scores, one per class. The lowest index wins ties; examples with a NaN are wrong.
        labels: Class indices, or distributions whose most probable class is the label. Examples
            with an index out of range or a NaN are wrong.
        weight: Weights, as for `mean`.

    Raises:
        ValueError: The shapes do not match.

    >>> logits = jnp.array([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]])
    >>> compute({"accuracy": accuracy(logits, jnp.array([0, 1, 1]), jnp.array([1, 1, 2]))})
    {'accuracy': 0.5}
    """
    return top_k_accuracy(logits, labels, 1, weight)


def top_k_accuracy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch classes"],
    k: int,
    weight: Real[Array, "..."] | Bool[Array, "..."] | None = None,
) -> Pair:
    """The share of examples whose label is among the k largest logits.

    Args:
        logits: Scores, one per class. Lower indices win ties; examples with a NaN are wrong.
        labels: Class indices, or distributions whose most probable class is the label. Examples
            with an index out of range or a NaN are wrong.
        k: From 1 to the number of classes.
        weight: Weights, as for `mean`.

    Raises:
        ValueError: The shapes do not match, or k is out of range.

    >>> logits = jnp.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    >>> compute({"top2": top_k_accuracy(logits, jnp.array([1, 2]), 2)})
    {'top2': 0.5}
    """
    if logits.ndim == 0 or not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"k must be from 1 to the number of classes, got {k}, {logits.shape=}")
    indices = jnp.issubdtype(labels.dtype, jnp.integer)
    if labels.shape != (logits.shape[:-1] if indices else logits.shape):
        raise ValueError(
            f"logits of shape {logits.shape} go with integer labels of shape {logits.shape[:-1]} "
            f"or distributions of shape {logits.shape}; got {labels.dtype} labels of shape "
            f"{labels.shape}"
        )
    if not indices:
        labels = jnp.where(jnp.isnan(labels).any(axis=-1), -1, jnp.argmax(labels, axis=-1))
    # Ranks by comparison need no sort and treat ties and NaN alike for every k.
    classes = jnp.arange(logits.shape[-1])
    label = labels[..., None]
    score = jnp.sum(jnp.where(classes == label, logits, 0), axis=-1, keepdims=True)
    ahead = (logits > score) | ((logits == score) & (classes < label))
    known = jnp.any(classes == label, axis=-1) & ~jnp.any(jnp.isnan(logits), axis=-1)
    return mean(known & (jnp.sum(ahead, axis=-1) < k), weight)


def merge(first: Mapping[str, Pair], second: Mapping[str, Pair]) -> dict[str, Pair]:
    """Adds the pairs of two parts of the data.

    Raises:
        ValueError: The parts do not have the same metrics.

    >>> one, two = {"loss": mean(jnp.array([1.0, 2.0]))}, {"loss": mean(jnp.array([6.0]))}
    >>> compute(merge(one, two))
    {'loss': 3.0}
    """
    if first.keys() != second.keys():
        raise ValueError(
            "both parts must have the same metrics; only in one of them: "
            f"{sorted(first.keys() ^ second.keys())}"
        )
    return {name: (a + second[name][0], b + second[name][1]) for name, (a, b) in first.items()}


def compute(pairs: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> dict[str, float]:
    """The values `total / count` of metrics, on the host; NaN where the count is 0.

    >>> compute({"loss": (jnp.array(6.0), jnp.array(4.0)), "none": (jnp.array(0.0), 0)})
    {'loss': 1.5, 'none': nan}
    """
    host = jax.device_get(dict(pairs))
    return {
        name: float(total) / float(count) if float(count) != 0 else float("nan")
        for name, (total, count) in host.items()
    }
