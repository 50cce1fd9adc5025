"""Folds: parts of the examples for cross-validation."""

import numpy as np
from jaxtyping import Int, Integer

from jaxvision.checks import check_count

Folds = Int[np.ndarray, " examples"]


def folds(count: int, num_folds: int, *, seed: int | None = None) -> Folds:
    """Divides examples into folds whose sizes differ by at most one.

    Args:
        count: Number of examples.
        num_folds: Number of folds.
        seed: Seed of a random assignment; None keeps neighboring examples together.

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
    """Divides examples into folds with equal numbers of each class, up to one.

    Their sizes differ by at most one, too. Without a seed the folds are those of scikit-learn's
    `StratifiedKFold`: neighboring examples of a class stay together.

    Args:
        labels: Class of each example.
        num_folds: Number of folds.
        seed: Seed of a random assignment within each class.

    Returns:
        The fold of each example.

    Raises:
        ValueError: There are fewer than two folds, or fewer examples than folds.

    >>> stratified_folds(np.array([0, 0, 1, 1, 1, 1]), 2).tolist()
    [0, 1, 0, 0, 1, 1]
    """
    parts = folds(len(labels), num_folds)
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    codes = np.argsort(np.argsort(first))[codes]  # in order of first examples
    random = None if seed is None else np.random.default_rng(seed)
    # With the examples sorted by class, every `num_folds`-th goes into the same fold.
    ordered = np.sort(codes)
    for index in range(len(first)):
        (places,) = np.nonzero(ordered == index)
        chosen = np.sort(places % num_folds)
        parts[codes == index] = chosen if random is None else random.permutation(chosen)
    return parts
