"""Agents on many devices."""

from collections.abc import Callable
from typing import Any

import jax

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
        The rule.

    >>> rule = shard_environments(8)
    >>> mesh = jax.make_mesh((1,), ("data",))
    >>> rule("observations", (8, 4), mesh), rule("params/head/kernel", (8, 4), mesh)
    (P('data', None), P(None, None))
    """

    def rule(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> Any:
        (axis,) = mesh.axis_names
        ours = path.split("/")[0] in PARTS and shape[:1] == (num_envs,)
        return jax.P(axis if ours else None, *[None] * (len(shape) - 1)) if shape else jax.P()

    return rule
