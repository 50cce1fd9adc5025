"""Parts of the examples, each of which is tested on by what learned from the others."""

import numpy as np
from jaxtyping import Int, Integer

from jaxvision.checks import check_count

Folds = Int[np.ndarray, " examples"]


def folds(count: int, num_folds: int, *, seed: int | None = None) -> Folds:
    """Parts so many examples into folds of equal size, up to one.

    Args:
        count: How many examples there are.
        num_folds: How many folds.
        seed: Draws which example goes where; None takes neighboring ones together.

    Returns:
        The fold of each example.

    Raises:
        ValueError: There are fewer than two folds, or fewer examples than folds.

    >>> folds(5, 2).tolist()
    [0, 0, 0, 1, 1]
    """
    check_count("num_folds", num_folds, least=2)
    if count < num_folds:
        raise ValueError(f"{num_folds} folds need as many examples, got {count}")
    parts = np.sort(np.arange(count) % num_folds)
    return parts if seed is None else np.random.default_rng(seed).permutation(parts)


def stratified_folds(
    labels: Integer[np.ndarray, " examples"], num_folds: int, *, seed: int | None = None
) -> Folds:
    """Parts examples into folds of equal size, up to one, with as many of each class, up to one.

    Without a seed the folds are those of scikit-learn's `StratifiedKFold`: neighbors among the
    examples of a class lie together.

    Args:
        labels: The class of each example.
        num_folds: How many folds.
        seed: Draws which example of a class goes where.

    Returns:
        The fold of each example.

    Raises:
        ValueError: There are fewer than two folds, or fewer examples than folds.

    >>> stratified_folds(np.array([0, 0, 1, 1, 1, 1]), 2).tolist()
    [0, 1, 0, 0, 1, 1]
    """
    parts = folds(len(labels), num_folds)
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    codes = np.argsort(np.argsort(first))[codes]  # classes by their first example
    random = None if seed is None else np.random.default_rng(seed)
    # Of the examples in the order of their classes, every `num_folds`-th goes into the same fold.
    ordered = np.sort(codes)
    for index in range(len(first)):
        (places,) = np.nonzero(ordered == index)
        chosen = np.sort(places % num_folds)
        parts[codes == index] = chosen if random is None else random.permutation(chosen)
    return parts
