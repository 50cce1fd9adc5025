"""The platform that a program is traced for, and the choice between forms of a function.

Most programs run on one kind of device, so that the choice is made while tracing. A program that
`jax.export` exports with a symbolic batch size may run on any device and is called portable.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax import lax
from jax.export import is_symbolic_dim

Array = jax.Array
Form = Callable[..., Array]
_native = contextvars.ContextVar("native", default=False)


@contextlib.contextmanager
def native_forms() -> Iterator[None]:
    """Makes functions of this package use XLA's own operations on every platform, while tracing.

    Who reads the program then sees a convolution where there is one, not the sums and products that
    replace it on CPUs. A function that `jax.jit` traced before keeps its form, unless `jit` is
    disabled too.

    >>> with native_forms():
    ...     choose(lambda x: -x, lambda x: 0 - x, [jax.numpy.ones(1)]).tolist()
    [-1.0]
    """
    token = _native.set(True)
    try:
        yield
    finally:
        _native.reset(token)


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


def prefers_native() -> bool:
    """Whether a program is traced for a platform without forms of its own, or in `native_forms`.

    >>> with native_forms():
    ...     prefers_native()
    True
    """
    return _native.get() or target_platform() != "cpu"


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
    if _native.get() or not is_portable(*maps):
        return (elsewhere if prefers_native() else cpu)(*maps, *shared)
    count = len(maps)

    def of_image(*arrays: Array) -> Array:
        return cpu(*(each[None] for each in arrays[:count]), *arrays[count:])[0]

    of_batch = jax.vmap(of_image, in_axes=(0,) * count + (None,) * len(shared))
    return lax.platform_dependent(*maps, *shared, cpu=of_batch, default=elsewhere)
