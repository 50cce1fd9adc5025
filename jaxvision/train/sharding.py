"""Meshes of devices, and rules for sharding a state over them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxvision._trees import path_name

PyTree = Any

BATCH_AXIS = "data"
"""The mesh axis over which batches are split."""

ShardRule = Callable[[str, tuple[int, ...], jax.sharding.Mesh], jax.P]
"""`(path, shape, mesh) -> jax.P`: how a leaf of a state is split over a mesh."""


def data_mesh(devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
    """Returns a mesh of devices along one axis called `data`.

    Args:
        devices: The devices; None takes all, including those of other processes.

    Raises:
        ValueError: The list of devices is empty.

    >>> data_mesh(jax.devices()[:1]).axis_names
    ('data',)
    """
    devices = jax.devices() if devices is None else devices
    if not devices:
        raise ValueError("a mesh needs at least one device, got none; None takes all")
    return jax.make_mesh(
        (len(devices),),
        (BATCH_AXIS,),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=devices,
    )


def fsdp(*, min_size: int = 2**16) -> ShardRule:
    """Fully sharded data parallelism: shards every large array over the devices that share a batch.

    An array is split along its longest dimension that is divisible by the number of devices;
    without one it is replicated. XLA gathers the parts where they are used, and scatters the
    gradients back.

    Args:
        min_size: Arrays with fewer elements are replicated: splitting them costs more than it
            saves.

    Returns:
        A rule for `parallelize` and `init_state`.

    Reference: Rajbhandari et al., ZeRO: Memory optimizations toward training trillion parameter
    models, SC 2020, arXiv:1910.02054.

    >>> rule = fsdp(min_size=1000)
    >>> mesh = data_mesh(jax.devices()[:1])
    >>> rule("params/head/kernel", (512, 1000), mesh), rule("params/head/bias", (10,), mesh)
    (P(None, 'data'), P())
    """

    def rule(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> jax.P:
        del path
        devices = mesh.shape[BATCH_AXIS]
        divisible = [axis for axis, length in enumerate(shape) if length and length % devices == 0]
        if math.prod(shape) < min_size or not divisible:
            return jax.P()
        longest = max(divisible, key=lambda axis: shape[axis])
        return jax.P(*[None] * longest, BATCH_AXIS)

    return rule


def state_shardings(
    state: PyTree, mesh: jax.sharding.Mesh, shard: ShardRule | None = None
) -> PyTree:
    """Returns the sharding of every leaf of a state, as a tree of `NamedSharding`.

    Args:
        state: The state, or its shapes.
        mesh: The devices.
        shard: The rule; None replicates every leaf.

    Raises:
        ValueError: The rule names an axis that the mesh lacks, splits a dimension unevenly, or
            returns no `jax.P`.

    >>> mesh = data_mesh(jax.devices()[:1])
    >>> state_shardings({"w": jax.numpy.ones(3)}, mesh)["w"].spec
    P()
    """

    def sharding(path: Sequence[Any], leaf: Any) -> jax.NamedSharding:
        if shard is None:
            return jax.NamedSharding(mesh, jax.P())
        name = path_name(path)
        spec = shard(name, tuple(leaf.shape), mesh)
        _check_spec(name, tuple(leaf.shape), spec, mesh)
        return jax.NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(sharding, state)


def _check_spec(name: str, shape: tuple[int, ...], spec: Any, mesh: jax.sharding.Mesh) -> None:
    if not isinstance(spec, jax.P):
        raise ValueError(
            f"the sharding rule gave {spec!r} for {name}; it must give a jax.P, and jax.P() for a "
            "leaf that is not cut"
        )
    if len(spec) > len(shape):
        raise ValueError(f"the sharding rule gave {spec} for {name}, whose shape is {shape}")
    for length, axes in zip(shape, spec, strict=False):
        names = axes if isinstance(axes, tuple) else (axes,) if axes is not None else ()
        for axis in names:
            if axis not in mesh.shape:
                raise ValueError(
                    f"the sharding rule gave {spec} for {name}, but the mesh has no axis {axis!r}; "
                    f"it has {', '.join(mesh.shape)}"
                )
        parts = math.prod(mesh.shape[axis] for axis in names)
        if length % parts:
            raise ValueError(
                f"the sharding rule cuts {name} of shape {shape} into {parts} parts by {spec}; "
                f"{length} does not divide by {parts}"
            )
