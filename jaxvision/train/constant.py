"""Training with the same batch in every step."""

import dataclasses
import hashlib
from typing import Any

import jax
import numpy as np

from jaxvision._trees import by_path
from jaxvision.train.sharding import ShardRule, state_shardings

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Constant:
    """Batches for `fit` that are all the same one; made by `constant`."""

    batch: PyTree
    shard: ShardRule | None

    def shardings(self, mesh: jax.sharding.Mesh) -> PyTree:
        """Returns the tree of shardings of the batch on a mesh."""
        return state_shardings(self.batch, mesh, self.shard)

    def describe(self) -> dict[str, Any]:
        """Returns a digest of the batch, by which a resumed run checks that it is the same."""
        digest = hashlib.blake2b(digest_size=16)
        for name, leaf in sorted(by_path(self.batch).items()):
            array = np.asarray(leaf)
            digest.update(f"{name} {array.dtype} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data)
        return {"constant": digest.hexdigest()}


def constant(batch: PyTree, *, shard: ShardRule | None = None) -> Constant:
    """Makes batches for `fit` of one batch, which every step gets whole.

    The batch is put on the devices once. Its rows need not divide over them: the affinities of
    t-SNE, for example, do not.

    Args:
        batch: A tree of arrays.
        shard: A rule that shards the arrays, as `fsdp()` does with a state; None copies the whole
            batch to every device.

    Returns:
        The `batches` of `fit`. They never end, so `fit` needs `num_steps`.

    Raises:
        ValueError: There is no array in the batch.

    >>> from jaxvision import train
    >>> def step(state, batch):
    ...     return state + batch.sum(), {"loss": (batch.sum(), batch.size)}
    >>> result = train.fit(step, np.zeros(()), constant(np.ones(7)), num_steps=3)
    >>> float(result.state)
    21.0
    """
    if not jax.tree.leaves(batch):
        raise ValueError("a constant batch needs an array; give fit None for steps without a batch")
    return Constant(batch, shard)
