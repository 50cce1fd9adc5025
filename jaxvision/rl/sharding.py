"""Agents on several devices."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

PyTree = Any

PARTS = ("environments", "observations", "position", "replay")
"""Parts of an agent's state that have a row for each environment."""


def shard_environments(
    num_envs: int,
) -> Callable[[str, tuple[int, ...], jax.sharding.Mesh], Any]:
    """Makes the rule by which `train.parallelize` divides an agent's environments over devices.

    Each device acts in its own environments and holds their memory; all share the network.

    Args:
        num_envs: Number of the agent's environments, a multiple of the number of devices.

    Returns:
        The rule, which raises ValueError if an agent has another number of environments.

    >>> rule = shard_environments(8)
    >>> mesh = jax.make_mesh((1,), ("data",))
    >>> rule("observations", (8, 4), mesh), rule("params/head/kernel", (8, 4), mesh)
    (P('data', None), P(None, None))
    """

    def rule(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> Any:
        (axis,) = mesh.axis_names
        if path in ("observations", "position/observations") and shape[:1] != (num_envs,):
            raise ValueError(
                f"shard_environments({num_envs}) needs as many environments, got {shape[0]}"
            )
        ours = path.split("/")[0] in PARTS and shape[:1] == (num_envs,)
        return jax.P(axis if ours else None, *[None] * (len(shape) - 1)) if shape else jax.P()

    return rule


def shard_seeds(
    num_seeds: int,
) -> Callable[[str, tuple[int, ...], jax.sharding.Mesh], Any]:
    """Makes the rule by which `train.parallelize` divides the agents of `Seeds` over devices.

    Args:
        num_seeds: Number of seeds, a multiple of the number of devices.

    Returns:
        The rule, which raises ValueError if there is another number of seeds.

    >>> rule = shard_seeds(8)
    >>> rule("params/head/kernel", (8, 4, 2), jax.make_mesh((1,), ("data",)))
    P('data',)
    """

    def rule(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> Any:
        (axis,) = mesh.axis_names
        if shape[:1] != (num_seeds,):
            raise ValueError(
                f"shard_seeds({num_seeds}) needs as many seeds; {path} has shape {shape}"
            )
        return jax.P(axis)

    return rule


def over_devices(rows: PyTree) -> PyTree:
    """Divides rows over the devices for which `train.parallelize` compiles, if they divide evenly.

    Without this hint to the compiler, every device would learn from all rows.

    >>> over_devices(jax.numpy.arange(3)).tolist()
    [0, 1, 2]
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size <= 1 or jax.sharding.AxisType.Manual in mesh.axis_types:
        return rows  # one device, or already inside `shard_map`
    (axis,) = mesh.axis_names

    def cut(leaf: Array) -> Array:
        if leaf.shape[0] % mesh.size:
            return leaf
        return jax.lax.with_sharding_constraint(leaf, jax.P(axis))

    return jax.tree.map(cut, rows)
