"""What training drops at random."""

import flax.linen as nn
from jaxtyping import Array, Float


class StochasticDepth(nn.Module):
    """Drops a residual as a whole, by example, while training, and scales up those that stay.

    Attributes:
        rate: The share that is dropped.

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
        """Drops examples where `train` is True."""
        axes = tuple(range(1, x.ndim))
        return nn.Dropout(self.rate, broadcast_dims=axes)(x, deterministic=not train)


def check_rates(**rates: float) -> None:
    """Checks shares that training drops.

    Args:
        **rates: Shares by the names of the options.

    Raises:
        ValueError: One is not from 0 to below 1.

    >>> check_rates(dropout=0.1, stochastic_depth=0.0)
    """
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{name} must be in [0, 1), got {rate}")
