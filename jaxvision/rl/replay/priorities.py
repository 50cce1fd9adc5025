"""Sampling in proportion to priorities, by a sum tree of two levels.

The number of blocks is about the number of leaves in each. A draw searches the cumulative sums of
the blocks, then those of one block; a change recomputes only the sum of its block.
"""

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


class Priorities(flax.struct.PyTreeNode):
    """Priorities that are not negative (`leaves`, padded with zeros), and the sum of each block."""

    leaves: Any
    sums: Any

    @classmethod
    def zeros(cls, count: int) -> "Priorities":
        """Creates `count` priorities of 0, none of which can be drawn.

        >>> Priorities.zeros(10).leaves.shape
        (3, 4)
        """
        size = math.isqrt(count - 1) + 1
        blocks = -(-count // size)
        return cls(leaves=jnp.zeros((blocks, size)), sums=jnp.zeros(blocks))

    def set(self, indices: Int[Array, "some"], values: Float[Array, "some"]) -> "Priorities":
        """Changes some priorities; of values for the same index, one is kept."""
        size = self.leaves.shape[1]
        blocks = indices // size
        leaves = self.leaves.at[blocks, indices % size].set(values)
        # Computing the sums anew, not adding differences, keeps rounding errors from accumulating.
        return Priorities(leaves=leaves, sums=self.sums.at[blocks].set(leaves[blocks].sum(1)))

    def sample(
        self, key: Key[Array, ""], count: int
    ) -> tuple[Int[Array, "count"], Float[Array, "count"]]:
        """Draws indices in proportion to their priorities; returns indices and probabilities.

        One index is drawn from each of `count` equal strata of the sum, as in Schaul et al.,
        Prioritized experience replay, ICLR 2016, arXiv:1511.05952, appendix B.2.1.

        >>> numbers = Priorities.zeros(5).set(jnp.array([1, 3]), jnp.array([1.0, 3.0]))
        >>> sample = jax.jit(numbers.sample, static_argnums=1)
        >>> indices, shares = sample(jax.random.key(0), 4)
        >>> indices.tolist(), shares.tolist()
        ([1, 3, 3, 3], [0.25, 0.75, 0.75, 0.75])
        """
        size = self.leaves.shape[1]
        ends = jnp.cumsum(self.sums)
        total = ends[-1]
        wanted = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count * total
        blocks = jnp.minimum(jnp.searchsorted(ends, wanted, side="right"), len(ends) - 1)
        rest = wanted - (ends[blocks] - self.sums[blocks])
        inside = (jnp.cumsum(self.leaves[blocks], axis=1) <= rest[:, None]).sum(1)
        inside = jnp.minimum(inside, size - 1)
        shares = self.leaves[blocks, inside] / jnp.where(total > 0, total, 1)
        return (blocks * size + inside).astype(jnp.int32), shares
