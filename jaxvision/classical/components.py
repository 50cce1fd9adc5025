"""Principal component analysis, exact and randomized."""

import functools
from typing import Literal, get_args

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxvision._reprs import brief
from jaxvision.checks import check_count, check_name

Method = Literal["exact", "randomized"]
Points = Float[Array | np.ndarray, "points features"]
Codes = Float[Array, "points components"]
_SPARE, _ROUNDS = 10, 7


class PCA(flax.struct.PyTreeNode):
    """Principal components: the directions in which points vary most.

    Attributes:
        mean: Mean of the points.
        components: Orthogonal unit vectors in order of decreasing variance. The entry of the
            largest magnitude in each is positive.
        explained_variance: Variance along each component, with n - 1 in the denominator.
        explained_variance_ratio: Variance along each component as a share of the total variance.
        whiten: Whether codes have a variance of 1.
    """

    mean: Float[Array, " features"]
    components: Float[Array, "components features"]
    explained_variance: Float[Array, " components"]
    explained_variance_ratio: Float[Array, " components"]
    whiten: bool = flax.struct.field(pytree_node=False, default=False)

    def __repr__(self) -> str:
        return brief(self)

    def transform(self, points: Points) -> Codes:
        """Computes the codes of points: their coordinates along the components."""
        codes = (jnp.asarray(points) - self.mean) @ self.components.T
        return codes / self._scale() if self.whiten else codes

    def inverse(self, codes: Codes) -> Points:
        """Reconstructs points from their codes."""
        scaled = codes * self._scale() if self.whiten else jnp.asarray(codes)
        return scaled @ self.components + self.mean

    def _scale(self) -> Array:
        scale = jnp.sqrt(self.explained_variance)
        return jnp.where(scale == 0, 1, scale)


def pca(
    points: Points,
    num_components: int,
    *,
    method: Method = "exact",
    whiten: bool = False,
    key: Key[Array, ""] | None = None,
) -> PCA:
    """Finds the directions in which points vary most.

    Args:
        points: Points, two or more, one per row.
        num_components: Number of directions, at most the number of points and of features.
        method: "exact" decomposes the centered points. "randomized" decomposes a few random
            combinations of them, which is faster with many points and features.
        whiten: Whether codes are divided by their standard deviation.
        key: Random key of the combinations.

    Returns:
        The directions; `transform` computes codes, and `inverse` reconstructs points.

    Raises:
        ValueError: There are fewer points or features than components, the method is unknown, or
            "randomized" has no key.

    Reference: Halko et al., Finding structure with randomness, SIAM Review 2011, arXiv:0909.4061.

    >>> points = jnp.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]])
    >>> found = pca(points, 1)
    >>> print(found.components.round(4), found.explained_variance_ratio)
    [[0.7071 0.7071]] [1.]
    """
    check_name("method", method, get_args(Method))
    check_count("num_components", num_components)
    if len(points) < 2 or num_components > min(points.shape):
        raise ValueError(
            f"num_components must be at most {min(points.shape)} for points of shape "
            f"{points.shape}, of which there must be two or more; got {num_components}"
        )
    if method == "randomized" and key is None:
        raise ValueError("the randomized method needs a key")
    found = _decompose(points, num_components, key if method == "randomized" else None)
    return found.replace(whiten=whiten)


@functools.partial(jax.jit, static_argnames="count")
def _decompose(points: Points, count: int, key: Array | None) -> PCA:
    points = jnp.asarray(points, jnp.promote_types(points.dtype, jnp.float32))
    mean = points.mean(axis=0)
    centered = points - mean
    matrix = centered
    if key is not None:
        size = min(count + _SPARE, *points.shape)
        basis = centered @ jax.random.normal(key, (points.shape[1], size), points.dtype)
        for _ in range(_ROUNDS):
            basis = jnp.linalg.qr(centered.T @ jnp.linalg.qr(basis)[0])[0]
            basis = centered @ basis
        matrix = jnp.linalg.qr(basis)[0].T @ centered
    _, singular, components = jnp.linalg.svd(matrix, full_matrices=False)
    components = components[:count]
    largest = jnp.take_along_axis(components, jnp.abs(components).argmax(1)[:, None], axis=1)
    variance = jnp.square(singular[:count]) / (len(points) - 1)
    total = jnp.square(centered).sum() / (len(points) - 1)
    return PCA(
        mean,
        components * jnp.where(largest < 0, -1, 1),
        variance,
        variance / jnp.where(total == 0, 1, total),
    )
