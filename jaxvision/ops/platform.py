"""The platform that a program is traced for, and forms of one function of which it takes one.

Most programs run on one kind of device, so that the choice is made while tracing. A program that is
exported may run anywhere. It is told by its batch, whose size is not known while it is traced: a
symbolic dimension, which only `jax.export` makes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax.export import is_symbolic_dim

Array = jax.Array
Form = Callable[..., Array]


def target_platform() -> str:
    """Says on what kind of device the program that is being traced will run.

    It is the platform of the mesh that is in use, as `train.parallelize`, `jax.set_mesh` and
    `jax.pmap` put one in use, and JAX's default platform where there is none. The two differ where
    a machine compiles for devices that it does not have.

    Returns:
        "cpu", "gpu" or "tpu".

    >>> target_platform() == jax.default_backend()
    True
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    platform: str = jax.default_backend() if device is None else device.platform
    return platform


def is_portable(*arrays: Array) -> bool:
    """Whether these are traced for a program that may run on any platform, for any batch size.

    Args:
        arrays: Arrays, traced or not.

    Returns:
        Whether a size of one of them is a symbolic dimension.

    >>> is_portable(jax.numpy.ones(3))
    False
    """
    return any(is_symbolic_dim(size) for array in arrays for size in array.shape)


def for_one(shape: Sequence[Any]) -> tuple[int, ...]:
    """The shape of one image, with an axis for the batch.

    Args:
        shape: The shape of maps, whose batch may be symbolic.

    Returns:
        The same with a batch of one.

    >>> for_one((8, 32, 32, 3))
    (1, 32, 32, 3)
    """
    return (1, *shape[1:])


def choose(
    cpu: Form, elsewhere: Form, maps: Sequence[Array], shared: Sequence[Array] = ()
) -> Array:
    """Applies the form for a CPU or that for other platforms, which give the same.

    In a portable program both forms are there, and the one that the platform needs is taken when
    the program is loaded. The form for a CPU then sees one image at a time, of a known shape, and
    is mapped over the batch.

    Args:
        cpu: `cpu(*maps, *shared)` gives maps, each of its own image.
        elsewhere: The same function for other platforms.
        maps: Arrays with the batch along their first axis.
        shared: Arrays that all images have in common, such as kernels.

    Returns:
        What one of the forms gives.

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
