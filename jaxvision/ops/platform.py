"""The platform that a program is traced for, and the choice between forms of a function.

Most programs run on one kind of device, so that the choice is made while tracing. A program that
`jax.export` exports with a symbolic batch size may run on any device and is called portable.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax.export import is_symbolic_dim

Array = jax.Array
Form = Callable[..., Array]


def target_platform() -> str:
    """The kind of device that will run the program being traced: "cpu", "gpu" or "tpu".

    It is that of the active mesh (from `train.parallelize`, `jax.set_mesh` or `jax.pmap`), or else
    JAX's default. They differ on a machine that compiles for devices it does not have.

    >>> target_platform() == jax.default_backend()
    True
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    platform: str = jax.default_backend() if device is None else device.platform
    return platform


def is_portable(*arrays: Array) -> bool:
    """Whether arrays are traced for any platform and batch size, as for `jax.export`.

    It is True if a size of one of the arrays is a symbolic dimension.

    >>> is_portable(jax.numpy.ones(3))
    False
    """
    return any(is_symbolic_dim(size) for array in arrays for size in array.shape)


def for_one(shape: Sequence[Any]) -> tuple[int, ...]:
    """The shape of maps with a batch size of 1 instead of their own, which may be symbolic.

    >>> for_one((8, 32, 32, 3))
    (1, 32, 32, 3)
    """
    return (1, *shape[1:])


def choose(
    cpu: Form, elsewhere: Form, maps: Sequence[Array], shared: Sequence[Array] = ()
) -> Array:
    """Applies the form for CPUs or that for other platforms, which give the same result.

    A portable program contains both forms and selects one when it is loaded; its form for CPUs is
    mapped over the batch, so that it sees one image of known shape at a time.

    Args:
        cpu: `cpu(*maps, *shared)` gives maps, each computed from its own image.
        elsewhere: The same function for other platforms.
        maps: Arrays whose first axis is the batch.
        shared: Arrays that all images share, such as kernels.

    >>> ones = jax.numpy.ones((2, 3))
    >>> choose(jax.numpy.negative, lambda x: 0 - x, [ones]).tolist()
    [[-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]]
    """
    if not is_portable(*maps):
        return (cpu if target_platform() == "cpu" else elsewhere)(*maps, *shared)
    count = len(maps)

    def of_image(*arrays: Array) -> Array:
        return cpu(*(each[None] for each in arrays[:count]), *arrays[count:])[0]

    of_batch = jax.vmap(of_image, in_axes=(0,) * count + (None,) * len(shared))
    return lax.platform_dependent(*maps, *shared, cpu=of_batch, default=elsewhere)
