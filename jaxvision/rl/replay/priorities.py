"""Numbers that are drawn by their size: a tree of sums, of two levels.

Blocks of leaves are as many as there are leaves in each, about. To draw, one searches the running
sums of the blocks, then those of one block; after a change, only the sums of its block are new.
"""

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


class Priorities(flax.struct.PyTreeNode):
    """Leaves, and the sum of each block.

    Attributes:
        leaves: Not negative; those that only fill the last block are 0.
        sums: Of every block.
    """

    leaves: Any
    sums: Any

    @classmethod
    def zeros(cls, count: int) -> "Priorities":
        """Begins with zeros.

        Args:
            count: How many numbers.

        Returns:
            Numbers of which none can be drawn.

        >>> Priorities.zeros(10).leaves.shape
        (3, 4)
        """
        size = math.isqrt(count - 1) + 1
        blocks = -(-count // size)
        return cls(leaves=jnp.zeros((blocks, size)), sums=jnp.zeros(blocks))

    def set(self, indices: Int[Array, "some"], values: Float[Array, "some"]) -> "Priorities":
        """Changes some numbers.

        Args:
            indices: Which. Of one that is there twice, either value stays.
            values: Their new values, not negative.

        Returns:
            The numbers.
        """
        size = self.leaves.shape[1]
        blocks = indices // size
        leaves = self.leaves.at[blocks, indices % size].set(values)
        # Summed anew, not changed by a difference: errors of rounding do not add up.
        return Priorities(leaves=leaves, sums=self.sums.at[blocks].set(leaves[blocks].sum(1)))

    def sample(
        self, key: Key[Array, ""], count: int
    ) -> tuple[Int[Array, "count"], Float[Array, "count"]]:
        """Draws numbers, each as often as its share of the sum, one from each of equal parts of it.

        Args:
            key: For the draw.
            count: How many.

        Returns:
            Their indices, and their shares of the sum.

        Reference: the strata are those of Schaul et al., Prioritized experience replay, ICLR 2016,
        arXiv:1511.05952, appendix B.2.1.

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
