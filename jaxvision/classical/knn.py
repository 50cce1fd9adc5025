"""Classes by the votes of the nearest neighbors, and how many neighbors should vote."""

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
    """Gives each query the class that most of its nearest references have.

    Args:
        queries: The points to classify.
        references: Points of known classes.
        labels: Their classes, from 0.
        k: How many neighbors vote.
        num_classes: How many classes there are.
        metric: See `nearest_neighbors`.

    Returns:
        The classes. Of classes with equally many votes the smallest is taken; of equally near
        references those with the smaller index vote.

    Raises:
        ValueError: There are fewer references than neighbors, or a value is not allowed.

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
    """Cross-validates how many neighbors vote: the accuracy on each fold, by the other folds.

    The neighbors of all points are found once, for the largest number that votes, and one program
    counts the votes of every number.

    Args:
        points: The points.
        labels: Their classes, from 0.
        ks: The numbers of neighbors to try.
        folds: The fold of each point; see `stratified_folds`.
        metric: See `nearest_neighbors`.

    Returns:
        Shares of points that get their own class.

    Raises:
        ValueError: There are no numbers or points, or a fold leaves fewer points than neighbors.

    >>> points, labels = jnp.array([[0.0], [1.0], [5.0], [6.0]]), jnp.array([0, 0, 1, 1])
    >>> knn_accuracies(points, labels, [1], np.array([0, 1, 0, 1]))
    array([[1.],
           [1.]])
    """
    for k in ks:
        check_count("k", k, of="neighbors")
    sizes = np.bincount(folds)
    if not len(ks) or not len(points):
        raise ValueError(
            f"there must be numbers of neighbors and points, got {ks} and {len(points)}"
        )
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
    """The class with most votes of the first k neighbors, for each k."""
    counts = jnp.zeros((len(labels), num_classes), jnp.int32)
    winners, before = {}, 0
    for k in sorted(set(ks)):
        counts += jax.nn.one_hot(labels[:, before:k], num_classes, dtype=jnp.int32).sum(axis=1)
        winners[k], before = counts.argmax(axis=1), k
    return jnp.stack([winners[k] for k in ks])
