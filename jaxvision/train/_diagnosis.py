"""Diagnosis of losses that became NaN or infinite."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision._trees import path_name

PyTree = Any

GENERAL_ADVICE = "A lower learning rate, warm-up or clip_norm usually helps."


def diagnose(step: Any, batch: PyTree) -> str:
    """Explains a loss that is not finite by its batch, or else gives general advice.

    A step may have its own `diagnose(batch)`; else the batch is searched for numbers that are not
    finite.

    >>> diagnose(None, {"image": np.array([0.5, np.nan]), "weight": np.ones(2)})
    "1 of the 2 rows that count have numbers in 'image' that are not finite."
    """
    leaves = jax.tree.leaves(batch)
    if not leaves or not all(getattr(leaf, "is_fully_addressable", True) for leaf in leaves):
        return GENERAL_ADVICE
    ask = getattr(step, "diagnose", numbers_not_finite)
    return ask(jax.device_get(batch)) or GENERAL_ADVICE


def numbers_not_finite(batch: PyTree) -> str | None:
    """Describes the first array with NaN or infinity in a row of nonzero weight, if any."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact) or not leaf.ndim:
            continue
        rows = ~np.isfinite(leaf.astype(np.float64)).reshape(len(leaf), -1).all(axis=1)
        counted = np.ones(len(leaf), bool)
        if isinstance(batch, Mapping) and np.shape(batch.get("weight", ())) == (len(leaf),):
            counted = rows_that_count(batch, len(leaf))
        if (rows & counted).any():
            return (
                f"{(rows & counted).sum()} of the {counted.sum()} rows that count have numbers in "
                f"{path_name(path)!r} that are not finite."
            )
    return None


def labels_outside(
    name: str, labels: np.ndarray, num_classes: int | None, counted: np.ndarray
) -> str | None:
    """Describes integer labels outside of the classes, or returns None if all are inside.

    >>> labels_outside("label", np.array([0, 3, 1]), 3, np.array([True, True, True]))
    "1 of the 3 rows that count have a 'label' outside the classes 0 to 2, such as 3."
    """
    if num_classes is None or not np.issubdtype(labels.dtype, np.integer):
        return None
    rows = labels[counted]
    outside = rows[(rows < 0) | (rows >= num_classes)]
    if not outside.size:
        return None
    return (
        f"{len(outside)} of the {len(rows)} rows that count have a {name!r} outside the classes 0 "
        f"to {num_classes - 1}, such as {outside[0]}."
    )


def rows_that_count(batch: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """Returns which rows of a batch have a weight other than 0; all, if it has no weights.

    >>> rows_that_count({"weight": np.array([1.0, 0.0])}, 2)
    array([ True, False])
    """
    return np.asarray(batch.get("weight", np.ones(rows))) != 0
