"""Agents on many devices."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array

PyTree = Any

PARTS = ("environments", "observations", "position", "replay")
"""What in an agent's state has a row for each environment."""


def shard_environments(
    num_envs: int,
) -> Callable[[str, tuple[int, ...], jax.sharding.Mesh], Any]:
    """A rule by which `train.parallelize` cuts environments, and the memory of each, over devices.

    Devices act in environments of their own, and share the network.

    Args:
        num_envs: How many environments the agent has, a multiple of the devices.

    Returns:
        The rule, which raises ValueError where an agent has another number of environments.

    >>> rule = shard_environments(8)
    >>> mesh = jax.make_mesh((1,), ("data",))
    >>> rule("observations", (8, 4), mesh), rule("params/head/kernel", (8, 4), mesh)
    (P('data', None), P(None, None))
    """

    def rule(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> Any:
        (axis,) = mesh.axis_names
        if path in ("observations", "position/observations") and shape[:1] != (num_envs,):
            raise ValueError(
                f"shard_environments({num_envs}) is for that many, there are {shape[0]}"
            )
        ours = path.split("/")[0] in PARTS and shape[:1] == (num_envs,)
        return jax.P(axis if ours else None, *[None] * (len(shape) - 1)) if shape else jax.P()

    return rule


def shard_seeds(
    num_seeds: int,
) -> Callable[[str, tuple[int, ...], jax.sharding.Mesh], Any]:
    """A rule by which `train.parallelize` cuts `Seeds` over devices: each has some of the agents.

    Args:
        num_seeds: How many there are, a multiple of the devices.

    Returns:
        The rule, which raises ValueError where there is another number of seeds.

    >>> rule = shard_seeds(8)
    >>> rule("params/head/kernel", (8, 4, 2), jax.make_mesh((1,), ("data",)))
    P('data',)
    """

    def rule(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> Any:
        (axis,) = mesh.axis_names
        if shape[:1] != (num_seeds,):
            raise ValueError(f"shard_seeds({num_seeds}) is for that many; {path} has shape {shape}")
        return jax.P(axis)

    return rule


def over_devices(rows: PyTree) -> PyTree:
    """Cuts rows that an agent has gathered over the devices that it runs on.

    The compiler does not do so by itself, and every device would learn from all of them.

    Args:
        rows: A tree of arrays, the rows along the first axis.

    Returns:
        The same, where `train.parallelize` compiles for several devices and the rows divide over
        them; elsewhere nothing happens.

    >>> over_devices(jax.numpy.arange(3)).tolist()
    [0, 1, 2]
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size <= 1 or jax.sharding.AxisType.Manual in mesh.axis_types:
        return rows  # there is one device, or this is the part of one
    (axis,) = mesh.axis_names

    def cut(leaf: Array) -> Array:
        if leaf.shape[0] % mesh.size:
            return leaf
        return jax.lax.with_sharding_constraint(leaf, jax.P(axis))

    return jax.tree.map(cut, rows)
