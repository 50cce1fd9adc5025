"""How near generated examples are to real ones, by features of both.

Features are rows of numbers, such as what `classification` runs embed images as, or the Inception
network of the papers: scores of different features, or of different numbers of examples, cannot be
compared. Everything is computed in float64, on the host.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from jaxvision.checks import check_count
from jaxvision.metrics._checks import ArrayLike, classes, floats
from jaxvision.metrics._distances import blocks, squared_distances

Features = Float64[np.ndarray, "_ features"]


def frechet_distance(real: ArrayLike, fake: ArrayLike) -> float:
    """The Fréchet distance of two sets of features, as if both were normally distributed.

    It is `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`, with the means and the (unbiased)
    covariances of the features; of Inception features the FID. It is biased upwards: of two halves
    of the same data it is not 0, and the more so the fewer examples there are.

    Args:
        real: Features of real examples, (examples, features).
        fake: Features of generated examples; there may be another number of them.

    Returns:
        The squared distance, in squared units of the features; not negative.

    Raises:
        ValueError: Shapes do not fit, there are fewer than 2 examples, or a number is not finite.

    Reference: Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium, NeurIPS 2017, arXiv:1706.08500.

    >>> corners = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> round(frechet_distance(corners, corners + [3.0, 0.0]), 6)
    9.0
    """
    first, second = _pair(real, fake)
    return frechet_distance_of_moments(
        first.mean(axis=0), _covariance(first), second.mean(axis=0), _covariance(second)
    )


def frechet_distance_of_moments(
    mean1: ArrayLike, covariance1: ArrayLike, mean2: ArrayLike, covariance2: ArrayLike
) -> float:
    """The Fréchet distance of two normal distributions.

    Args:
        mean1: The mean of one distribution.
        covariance1: Its covariance matrix.
        mean2: The mean of the other.
        covariance2: Its covariance matrix.

    Returns:
        The squared distance; not negative.

    Raises:
        ValueError: Shapes do not fit, or a number is not finite.

    Reference: Dowson and Landau, The Fréchet distance between multivariate normal distributions,
    Journal of Multivariate Analysis 12, 1982.

    >>> round(frechet_distance_of_moments(np.zeros(4), np.eye(4), [1, 2, 0, 0], 4 * np.eye(4)), 6)
    9.0
    """
    means = _finite("mean1", mean1), _finite("mean2", mean2)
    matrices = _finite("covariance1", covariance1), _finite("covariance2", covariance2)
    size = means[0].size
    if any(mean.shape != (size,) for mean in means) or any(
        matrix.shape != (size, size) for matrix in matrices
    ):
        shapes = ", ".join(str(each.shape) for each in (*means, *matrices))
        raise ValueError(f"means must be vectors and covariances square matrices, got {shapes}")
    # The eigenvalues of C1 C2 are those of the symmetric S C2 S, where S is the root of C1.
    values, vectors = np.linalg.eigh(matrices[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = root @ matrices[1] @ root
    traces = np.trace(matrices[0]) + np.trace(matrices[1])
    overlap = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(0)).sum()
    return float(max(np.square(means[0] - means[1]).sum() + traces - 2 * overlap, 0.0))


def kernel_distance(real: ArrayLike, fake: ArrayLike) -> float:
    """The squared maximum mean discrepancy of two sets of features under a cubic kernel.

    The kernel is `(x . y / features + 1)^3`; of Inception features this is the KID. The estimate is
    unbiased: of two halves of the same data it is 0 on average, and may be negative.

    Args:
        real: Features of real examples, (examples, features).
        fake: Features of generated examples; there may be another number of them.

    Returns:
        The estimate.

    Raises:
        ValueError: Shapes do not fit, there are fewer than 2 examples, or a number is not finite.

    Reference: Binkowski et al., Demystifying MMD GANs, ICLR 2018, arXiv:1801.01401.

    >>> round(kernel_distance([[0.0], [0.0]], [[1.0], [1.0]]), 6)  # 1 + 8 - 2
    7.0
    """
    first, second = _pair(real, fake)

    def mean_kernel(a: Features, b: Features, *, same: bool) -> float:
        total = 0.0
        for rows in blocks(a, len(b)):
            total += ((rows @ b.T / a.shape[1] + 1) ** 3).sum()
        if not same:
            return total / (len(a) * len(b))
        total -= ((np.square(a).sum(axis=1) / a.shape[1] + 1) ** 3).sum()
        return total / (len(a) * (len(a) - 1))

    return float(
        mean_kernel(first, first, same=True)
        + mean_kernel(second, second, same=True)
        - 2 * mean_kernel(first, second, same=False)
    )


class Support(NamedTuple):
    """How two sets of features cover one another.

    Attributes:
        precision: The share of generated examples that lie within reach of a real one.
        recall: The share of real examples that lie within reach of a generated one.
        density: How many real examples a generated one is within reach of, as a multiple of the
            number of neighbors; around 1 for equal distributions, and not bounded by 1.
        coverage: The share of real examples that have a generated one within their reach.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def support(real: ArrayLike, fake: ArrayLike, *, neighbors: int = 5) -> Support:
    """Says apart how real generated examples are, and how many of the real ones they stand for.

    The reach of an example is the distance to its k-th nearest neighbor among those of its own set.

    Args:
        real: Features of real examples, (examples, features).
        fake: Features of generated examples; there may be another number of them.
        neighbors: The number k; the papers take 3 for precision and recall, and 5 for density and
            coverage.

    Returns:
        All four.

    Raises:
        ValueError: Shapes do not fit, there are no more examples than neighbors, or a number is not
            finite.

    References: Kynkäänniemi et al., Improved precision and recall metric for assessing generative
    models, NeurIPS 2019, arXiv:1904.06991. Naeem et al., Reliable fidelity and diversity metrics
    for generative models, ICML 2020, arXiv:2002.09797.

    >>> line = np.arange(10.0)[:, None]
    >>> support(line, line[:5], neighbors=1)
    Support(precision=1.0, recall=0.6, density=2.8, coverage=0.6)
    """
    first, second = _pair(real, fake)
    check_count("neighbors", neighbors)
    least = min(len(first), len(second))
    if neighbors >= least:
        raise ValueError(f"neighbors must be less than the examples, {least}, got {neighbors}")
    of_real, of_fake = (_reach(each, neighbors) for each in (first, second))
    near_real = np.zeros(len(second))  # of how many real examples each is within reach
    recalled, covered, start = 0, 0, 0
    for rows in blocks(first, len(second)):
        reach = of_real[start : start + len(rows), None]
        squares = squared_distances(rows, second)
        near_real += (squares <= reach).sum(axis=0)
        covered += (squares.min(axis=1) <= reach[:, 0]).sum()
        recalled += (squares <= of_fake).any(axis=1).sum()
        start += len(rows)
    return Support(
        precision=float((near_real > 0).mean()),
        recall=float(recalled / len(first)),
        density=float(near_real.mean() / neighbors),
        coverage=float(covered / len(first)),
    )


def nearest(
    queries: ArrayLike, references: ArrayLike, *, skip_self: bool = False
) -> tuple[Int64[np.ndarray, " examples"], Float64[np.ndarray, " examples"]]:
    """Finds the nearest reference of each query, by brute force.

    Args:
        queries: (examples, features).
        references: (examples, features).
        skip_self: Whether the i-th reference is no neighbor of the i-th query, where both are the
            same.

    Returns:
        The index of the nearest reference, of equally near ones the first; and its distance.

    Raises:
        ValueError: Shapes do not fit, there are fewer than 2 of either, or a number is not finite.

    >>> nearest([[0.0], [2.0]], [[1.9], [0.5]])[0].tolist()
    [1, 0]
    """
    first, second = _pair(queries, references)
    indices, distances, start = [], [], 0
    for rows in blocks(first, len(second)):
        squares = squared_distances(rows, second)
        if skip_self:
            here = np.arange(len(rows))
            squares[here, here + start] = np.inf
        indices.append(squares.argmin(axis=1))
        distances.append(np.sqrt(squares.min(axis=1)))
        start += len(rows)
    return np.concatenate(indices), np.concatenate(distances)


def inception_score(probabilities: ArrayLike) -> float:
    """How sure a classifier is of each generated example, and how many classes there are in all.

    It is the exponential of the mean divergence of the probabilities of an example from their
    average: 1 if the classifier says the same of all examples, and the number of classes if it is
    sure of each, and there are as many of every class. It knows nothing of real examples.

    Args:
        probabilities: Of each generated example and class, (examples, classes).

    Returns:
        From 1 to the number of classes. (The paper gives the mean of this over ten parts.)

    Raises:
        ValueError: There is no example, or rows are no probabilities.

    Reference: Salimans et al., Improved techniques for training GANs, NeurIPS 2016,
    arXiv:1606.03498.

    >>> round(inception_score(np.eye(4)), 6)
    4.0
    """
    rows = floats("probabilities", probabilities)
    if rows.ndim != 2 or (rows < 0).any() or not np.allclose(rows.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            "probabilities must be (examples, classes), not negative, and sum to 1 for every "
            f"example; got the shape {rows.shape}"
        )
    rows = rows / rows.sum(axis=1, keepdims=True)
    average = rows.mean(axis=0)
    positive = rows > 0
    ratio = np.divide(rows, average, out=np.ones_like(rows), where=positive)
    return float(np.exp((rows * np.log(ratio)).sum(axis=1).mean()))


class ModeCoverage(NamedTuple):
    """Which classes generated examples are of.

    Attributes:
        shares: The share of each class.
        modes: How many classes have at least the share that was asked for.
        divergence: How far the shares are from those that were expected, in nats: 0 if they are
            equal, and at most the logarithm of the number of classes if those are equal shares.
    """

    shares: Float64[np.ndarray, " classes"]
    modes: int
    divergence: float


def mode_coverage(
    labels: ArrayLike,
    num_classes: int,
    *,
    least_share: int | float = 0.0,
    expected: ArrayLike | None = None,
) -> ModeCoverage:
    """Counts the classes of generated examples, so that a collapse to a few of them is measured.

    Args:
        labels: The class of each example, as a classifier sees it.
        num_classes: How many classes there are.
        least_share: A class counts as a mode if its share is above 0 and at least this.
        expected: The share of each class in the data; None takes equal ones.

    Returns:
        The shares, and what they come to.

    Raises:
        ValueError: There is no example, or a value is not allowed.

    >>> mode_coverage([0, 0, 2, 2], 4).modes
    2
    """
    check_count("num_classes", num_classes)
    counts: Int64[np.ndarray, ...] = np.bincount(
        classes("labels", labels, num_classes).ravel(), minlength=num_classes
    )
    shares = counts / counts.sum()
    if expected is None:
        wanted = np.full(num_classes, 1 / num_classes)
    else:
        wanted = floats("expected", expected)
        if wanted.shape != (num_classes,) or (wanted < 0).any() or not np.isclose(wanted.sum(), 1):
            raise ValueError(f"expected must be {num_classes} shares that sum to 1, got {expected}")
    present = shares > 0
    with np.errstate(divide="ignore"):
        terms = shares[present] * np.log(shares[present] / wanted[present])
    return ModeCoverage(
        shares, int((present & (shares >= least_share)).sum()), float(max(terms.sum(), 0.0))
    )


def _pair(real: ArrayLike, fake: ArrayLike) -> tuple[Features, Features]:
    first, second = _finite("real", real), _finite("fake", fake)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            "real and fake must be (examples, features) with the same features, got "
            f"{first.shape} and {second.shape}"
        )
    if min(len(first), len(second)) < 2:
        raise ValueError(f"there must be 2 examples or more, got {len(first)} and {len(second)}")
    return first, second


def _finite(name: str, values: ArrayLike) -> Float64[np.ndarray, "..."]:
    array = floats(name, values)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has {(~np.isfinite(array)).sum()} numbers that are not finite")
    return array


def _covariance(rows: Features) -> Float64[np.ndarray, "features features"]:
    centered = rows - rows.mean(axis=0)
    matrix: np.ndarray = centered.T @ centered / (len(rows) - 1)
    return matrix


def _reach(rows: Features, neighbors: int) -> Float64[np.ndarray, " examples"]:
    """The squared distance of each row to its k-th nearest other row."""
    parts = []
    for some in blocks(rows, len(rows)):
        squares = squared_distances(some, rows)
        parts.append(np.partition(squares, neighbors, axis=1)[:, neighbors])  # itself is the 0th
    return np.concatenate(parts)
