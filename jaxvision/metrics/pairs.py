"""Metrics inside the step: pairs of sums, which merge by `+`.

A metric that is a mean is carried as `(total, count)`. Padding rows weigh nothing in either, so
batches of any size, devices and hosts add up to exactly the mean over all examples.
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
    """The mean of the values, each counted by its weight.

    Args:
        values: One value per example, or per position of an example. Where the weight is 0, the
            value is not looked at, even if it is NaN.
        weight: Not negative. Its shape is the leading part of the shape of `values`: weights of
            shape `batch` weigh all positions of an example of `batch height width` alike. None
            weighs every value by 1.

    Returns:
        The sum of weight times value and the sum of the weights, float32 at least.

    Raises:
        ValueError: The shape of `weight` is not the leading part of the shape of `values`.

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
    """How often the class of the largest logit is the label.

    Args:
        logits: Scores, one per class. Between equal ones the lower class index wins. An example
            with a NaN among its logits is wrong.
        labels: Class indices, or distributions, of which the most probable class is the label. An
            index that is no class, and a distribution with a NaN, is never right.
        weight: What `mean` takes.

    Returns:
        The weight of the right examples and the weight of all.

    Raises:
        ValueError: The shapes do not fit.

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
    """How often the label is among the k classes of the largest logits.

    Args:
        logits: Scores, one per class. Equal ones are ranked by class index, lower first. An example
            with a NaN among its logits is wrong.
        labels: Class indices, or distributions, of which the most probable class is the label. An
            index that is no class, and a distribution with a NaN, is never right.
        k: From 1 to the number of classes.
        weight: What `mean` takes.

    Returns:
        The weight of the right examples and the weight of all.

    Raises:
        ValueError: The shapes do not fit, or k is not a number of classes.

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
    # Ranks by comparison: no sort, and one rule for ties and NaN whatever k is.
    classes = jnp.arange(logits.shape[-1])
    label = labels[..., None]
    score = jnp.sum(jnp.where(classes == label, logits, 0), axis=-1, keepdims=True)
    ahead = (logits > score) | ((logits == score) & (classes < label))
    known = jnp.any(classes == label, axis=-1) & ~jnp.any(jnp.isnan(logits), axis=-1)
    return mean(known & (jnp.sum(ahead, axis=-1) < k), weight)


def merge(first: Mapping[str, Pair], second: Mapping[str, Pair]) -> dict[str, Pair]:
    """Adds the pairs of two parts of the data.

    Args:
        first: Metrics of one part.
        second: Metrics of another part, with the same names.

    Returns:
        The metrics of both parts together.

    Raises:
        ValueError: The names differ.

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
    """The values of metrics, on the host.

    Args:
        pairs: Sums `(total, count)` by name.

    Returns:
        `total / count` by name; NaN where nothing was counted.

    >>> compute({"loss": (jnp.array(6.0), jnp.array(4.0)), "none": (jnp.array(0.0), 0)})
    {'loss': 1.5, 'none': nan}
    """
    host = jax.device_get(dict(pairs))
    return {
        name: float(total) / float(count) if float(count) != 0 else float("nan")
        for name, (total, count) in host.items()
    }
