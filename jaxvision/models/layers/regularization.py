"""Random dropping during training."""

import flax.linen as nn
from jaxtyping import Array, Float


class StochasticDepth(nn.Module):
    """Drops the whole residual of random examples during training, and scales up the others.

    Attributes:
        rate: Probability of dropping.

    Reference: Huang et al., Deep networks with stochastic depth, ECCV 2016, arXiv:1603.09382.

    >>> import jax, jax.numpy as jnp
    >>> residuals = jnp.ones((1000, 2, 2, 3))
    >>> kept = StochasticDepth(0.2).apply(
    ...     {}, residuals, train=True, rngs={"dropout": jax.random.key(0)})
    >>> sorted(set(kept.ravel().tolist())), round(float(kept.mean()), 1)
    ([0.0, 1.25], 1.0)
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "batch *rest"], train: bool) -> Float[Array, "batch *rest"]:
        """Drops examples if `train` is True."""
        axes = tuple(range(1, x.ndim))
        return nn.Dropout(self.rate, broadcast_dims=axes)(x, deterministic=not train)


def check_rates(**rates: float) -> None:
    """Raises a `ValueError` unless each rate, given by the name of its option, is in [0, 1).

    >>> check_rates(dropout=0.1, stochastic_depth=0.0)
    """
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{name} must be in [0, 1), got {rate}")
