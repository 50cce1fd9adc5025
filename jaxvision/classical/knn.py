"""Classification by votes of the nearest neighbors, and cross-validation of their number."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer

from jaxvision.checks import check_count
from jaxvision.classical.neighbors import Metric, nearest_neighbors


@functools.partial(jax.jit, static_argnames=("k", "num_classes", "metric"))
def knn_classify(
    queries: Float[Array | np.ndarray, "queries features"],
    references: Float[Array | np.ndarray, "references features"],
    labels: Integer[Array | np.ndarray, " references"],
    k: int,
    *,
    num_classes: int,
    metric: Metric = "l2",
) -> Int[Array, " queries"]:
    """Classifies each query by a vote of its nearest references.

    Args:
        queries: Points to classify, one per row.
        references: Points with known classes, one per row.
        labels: Class of each reference, counted from 0.
        k: Number of neighbors that vote.
        num_classes: Number of classes.
        metric: Distance; see `nearest_neighbors`.

    Returns:
        The class of each query. A tie goes to the smallest class; of equally near references those
        with smaller indices vote.

    Raises:
        ValueError: There are fewer references than neighbors, or an option is not allowed.

    >>> points, labels = jnp.array([[0.0], [1.0], [5.0]]), jnp.array([0, 0, 1])
    >>> print(knn_classify(jnp.array([[0.4], [4.0]]), points, labels, 1, num_classes=2))
    [0 1]
    """
    found = nearest_neighbors(queries, references, k, metric=metric)
    return _votes(jnp.asarray(labels)[found.indices], (k,), num_classes)[0]


def knn_accuracies(
    points: Float[Array | np.ndarray, "points features"],
    labels: Integer[Array | np.ndarray, " points"],
    ks: Sequence[int],
    folds: Int[np.ndarray, " points"],
    *,
    metric: Metric = "l2",
) -> Float[np.ndarray, "folds ks"]:
    """Cross-validates the number of neighbors: the accuracy on each fold, by votes of the others.

    The neighbors of all points are found once, for the largest number, and one program counts the
    votes for every number.

    Args:
        points: Points, one per row.
        labels: Class of each point, counted from 0.
        ks: Numbers of neighbors to try.
        folds: Fold of each point; see `stratified_folds`.
        metric: Distance; see `nearest_neighbors`.

    Returns:
        Shares of correctly classified points, (folds, ks).

    Raises:
        ValueError: `ks` or `points` are empty, or a fold leaves fewer points than neighbors.

    >>> points, labels = jnp.array([[0.0], [1.0], [5.0], [6.0]]), jnp.array([0, 0, 1, 1])
    >>> knn_accuracies(points, labels, [1], np.array([0, 1, 0, 1]))
    array([[1.],
           [1.]])
    """
    for k in ks:
        check_count("k", k, of="neighbors")
    sizes = np.bincount(folds)
    if not len(ks) or not len(points):
        raise ValueError(f"ks and points must not be empty, got {ks} and {len(points)}")
    if max(ks) > len(points) - sizes.max():
        raise ValueError(
            f"the largest fold leaves {len(points) - sizes.max()} points, fewer than {max(ks)} "
            "neighbors"
        )
    right = np.asarray(
        _sweep(points, labels, jnp.asarray(folds), tuple(ks), int(jnp.max(labels)) + 1, metric)
    )
    return np.stack([right[:, folds == fold].mean(axis=1) for fold in np.unique(folds)])


@functools.partial(jax.jit, static_argnames=("ks", "num_classes", "metric"))
def _sweep(
    points: Array,
    labels: Array,
    folds: Array,
    ks: tuple[int, ...],
    num_classes: int,
    metric: Metric,
) -> Array:
    found = nearest_neighbors(
        points, points, max(ks), metric=metric, query_groups=folds, reference_groups=folds
    )
    return _votes(labels[found.indices], ks, num_classes) == labels


def _votes(
    labels: Int[Array, "queries most"], ks: tuple[int, ...], num_classes: int
) -> Int[Array, "ks queries"]:
    """The class with most votes among the first k neighbors, for each k."""
    counts = jnp.zeros((len(labels), num_classes), jnp.int32)
    winners, before = {}, 0
    for k in sorted(set(ks)):
        counts += jax.nn.one_hot(labels[:, before:k], num_classes, dtype=jnp.int32).sum(axis=1)
        winners[k], before = counts.argmax(axis=1), k
    return jnp.stack([winners[k] for k in ks])
