"""The platform that a program is traced for."""

import jax


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
