"""Maps that are estimated from random samples, with their standard errors."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from jaxvision.explain.attribution import Attribution


@struct.dataclass
class Estimate(Attribution):
    """An attribution that is the mean of random samples.

    Attributes:
        standard_error: Standard error of each number of the map.

    >>> found = Estimate(jnp.ones((1, 2)), jnp.zeros(1), "none", 0.0, jnp.array([[0.1, 0.0]]))
    >>> low, high = jax.jit(found.band)()
    >>> print((high - low).round(2))
    [[0.39 0.  ]]
    """

    standard_error: Float[Array, "batch *shape"]

    def band(
        self, confidence: float = 0.95
    ) -> tuple[Float[Array, "batch *shape"], Float[Array, "batch *shape"]]:
        """Confidence band of every number of the map by itself, from the normal distribution.

        Args:
            confidence: Probability that the band contains the number, between 0 and 1.

        Returns:
            The lower and the upper ends.

        Raises:
            ValueError: The confidence is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
        reach = jax.scipy.special.ndtri((1 + confidence) / 2) * self.standard_error
        return self.map - reach, self.map + reach


def mean_of_samples(
    sample: Callable[[Array], Array], count: int, copies: int
) -> tuple[Array, Array]:
    """Averages samples, of which only a few are in memory at any time.

    Args:
        sample: Computes the sample of a number from 0 to `count - 1`.
        count: Number of samples, at least 2.
        copies: Number of samples computed at once.

    Returns:
        The mean, and its standard error if the samples are independent.

    Reference: Chan, Golub & LeVeque, COMPSTAT 1982 (merging of means and variances).
    """
    if count < 2:
        raise ValueError(f"a standard error needs 2 samples or more, got {count}")
    chunks = -(-count // copies)
    size = -(-count // chunks)
    sample_shape = jax.eval_shape(sample, jnp.zeros((), jnp.int32))

    def merge(sums: tuple[Array, Array, Array], chunk: Array) -> tuple:
        seen, mean, squares = sums
        numbers = chunk * size + jnp.arange(size)
        is_sample = (numbers < count).reshape(size, *(1,) * len(sample_shape.shape))
        values = jax.vmap(sample)(jnp.minimum(numbers, count - 1))
        new = is_sample.sum(dtype=mean.dtype)
        new_mean = jnp.where(is_sample, values, 0).sum(axis=0) / new
        deviations = jnp.where(is_sample, values - new_mean, 0)
        shift = new_mean - mean
        squares += (deviations**2).sum(axis=0) + shift**2 * (seen * new / (seen + new))
        return (seen + new, mean + shift * (new / (seen + new)), squares), None

    zeros = jnp.zeros(sample_shape.shape, sample_shape.dtype)
    start = (jnp.zeros((), zeros.dtype), zeros, zeros)
    (_, mean, squares), _ = jax.lax.scan(merge, start, jnp.arange(chunks))
    return mean, jnp.sqrt(squares / (count - 1) / count)
