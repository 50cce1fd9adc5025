"""Metrics of generated examples, which compare features of real and generated ones.

Features are rows of numbers, such as embeddings from a `classification` run or from the Inception
network of the papers. Scores of different features or different numbers of examples are not
comparable. Everything is computed in float64, on the host.
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
    covariances of the features; for Inception features this is the FID. It is biased upwards: it is
    not 0 for two halves of the same data, and it grows as the number of examples falls.

    Args:
        real: Features of real examples, (examples, features).
        fake: Features of generated examples; their number may differ.

    Returns:
        The squared distance, in squared units of the features; not negative.

    Raises:
        ValueError: The numbers of features differ, there are fewer than 2 examples, or a number is
            not finite.

    Reference: Heusel et al., GANs trained by a two time-scale update rule, arXiv:1706.08500.

    >>> corners = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> round(frechet_distance(corners, corners + [3.0, 0.0]), 6)
    9.0
    """
    first, second = _pair(real, fake)
    return _frechet(
        (first.mean(axis=0), second.mean(axis=0)), (_covariance(first), _covariance(second))
    )


def frechet_distance_of_moments(
    mean1: ArrayLike, covariance1: ArrayLike, mean2: ArrayLike, covariance2: ArrayLike
) -> float:
    """The squared Fréchet distance of two normal distributions, from means and covariance matrices.

    Raises:
        ValueError: The shapes do not match, a number is not finite, or a matrix is no covariance:
            it is not symmetric, or has a negative eigenvalue (beyond rounding errors of float32).

    Reference: Dowson and Landau, The Fréchet distance between multivariate normal distributions,
    1982.

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
    _check_covariance("covariance1", matrices[0])
    _check_covariance("covariance2", matrices[1])
    return _frechet(means, matrices)


def _frechet(
    means: tuple[np.ndarray, np.ndarray], matrices: tuple[np.ndarray, np.ndarray]
) -> float:
    # The eigenvalues of C1 C2 are those of the symmetric S C2 S, where S is the root of C1.
    values, vectors = np.linalg.eigh(matrices[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = root @ matrices[1] @ root
    traces = np.trace(matrices[0]) + np.trace(matrices[1])
    overlap = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(0)).sum()
    return float(max(np.square(means[0] - means[1]).sum() + traces - 2 * overlap, 0.0))


def kernel_distance(real: ArrayLike, fake: ArrayLike) -> float:
    """The squared maximum mean discrepancy of two sets of features under a cubic kernel.

    The kernel is `(x . y / features + 1)^3`; for Inception features this is the KID. The estimate
    is unbiased: for two halves of the same data it is 0 on average, and it may be negative.
    Arguments and errors are those of `frechet_distance`.

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
    """How well two sets of features cover each other.

    The reach of an example is the distance to its k-th nearest neighbor in its own set.

    Attributes:
        precision: The share of generated examples within reach of a real one.
        recall: The share of real examples within reach of a generated one.
        density: The mean number of real examples that reach a generated one, divided by k; about 1
            for equal distributions, and not bounded by 1.
        coverage: The share of real examples that reach a generated one.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def support(real: ArrayLike, fake: ArrayLike, *, neighbors: int = 5) -> Support:
    """Measures fidelity and diversity of generated examples separately; see `Support`.

    Args:
        real: Features of real examples, (examples, features).
        fake: Features of generated examples; their number may differ.
        neighbors: The number k; the papers use 3 for precision and recall, otherwise 5.

    Raises:
        ValueError: The numbers of features differ, there are not more examples than neighbors, or a
            number is not finite.

    References: Kynkäänniemi et al., NeurIPS 2019, arXiv:1904.06991 (precision and recall); Naeem et
    al., ICML 2020, arXiv:2002.09797 (density and coverage).

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
    near_real = np.zeros(len(second))  # how many real examples reach each
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
    """The index and the distance of the nearest reference of each query, by brute force.

    Args:
        queries: Features, (examples, features).
        references: Features, (examples, features). Of equally near ones the first is returned.
        skip_self: Whether to skip the i-th reference for the i-th query, for equal sets.

    Raises:
        ValueError: The numbers of features differ, a set has no rows (or only one with
            `skip_self`), or a number is not finite.

    >>> nearest([[0.0], [2.0]], [[1.9], [0.5]])[0].tolist()
    [1, 0]
    """
    names = "queries", "references"
    first, second = _pair(queries, references, names, least=2 if skip_self else 1)
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
    """How sure a classifier is of each generated example, and how many classes it finds.

    It is the exponential of the mean KL divergence of each example's probabilities from their
    average: 1 if all examples have the same probabilities, and the number of classes if each is
    certain and classes are equally frequent. Real examples play no role. (The paper averages ten
    parts.)

    Args:
        probabilities: Class probabilities of generated examples, (examples, classes).

    Raises:
        ValueError: There are no examples, or a row does not hold probabilities.

    Reference: Salimans et al., Improved techniques for training GANs, 2016, arXiv:1606.03498.

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
    """The classes of generated examples.

    Attributes:
        shares: The share of each class.
        modes: The number of classes with a share above 0 and at least `least_share`.
        divergence: The KL divergence of the shares from the expected ones, in nats: 0 if they are
            equal; at most the logarithm of the number of classes if equal shares are expected.
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
    """Counts the classes of generated examples, to detect mode collapse.

    Args:
        labels: The class of each example, predicted by a classifier.
        num_classes: The number of classes.
        least_share: The smallest share of a class that counts as a mode.
        expected: The share of each class in the data; None means equal shares.

    Raises:
        ValueError: There are no examples, or a label, `num_classes` or `expected` is not allowed.

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


def _pair(
    real: ArrayLike,
    fake: ArrayLike,
    names: tuple[str, str] = ("real", "fake"),
    least: int = 2,
) -> tuple[Features, Features]:
    first, second = _finite(names[0], real), _finite(names[1], fake)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{' and '.join(names)} must be (examples, features) with the same features, got "
            f"{first.shape} and {second.shape}"
        )
    if min(len(first), len(second)) < least:
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


_ROUNDING = 1e-4
"""Relative error of a covariance matrix that was computed in float32."""


def _check_covariance(name: str, matrix: Float64[np.ndarray, "features features"]) -> None:
    allowed = _ROUNDING * np.abs(matrix).max(initial=0)
    asymmetry = np.abs(matrix - matrix.T).max(initial=0)
    if asymmetry > allowed:
        raise ValueError(
            f"{name} must be symmetric, and two opposite numbers differ by {asymmetry:.6g}"
        )
    least = np.linalg.eigvalsh(matrix).min(initial=0)
    if least < -allowed:
        raise ValueError(
            f"{name} must have no negative eigenvalue, and has {least:.6g}; np.cov(features, "
            "rowvar=False) gives the covariance matrix of features"
        )


def _reach(rows: Features, neighbors: int) -> Float64[np.ndarray, " examples"]:
    """The squared distance of each row to its k-th nearest other row."""
    parts = []
    for some in blocks(rows, len(rows)):
        squares = squared_distances(some, rows)
        parts.append(np.partition(squares, neighbors, axis=1)[:, neighbors])  # itself is the 0th
    return np.concatenate(parts)
