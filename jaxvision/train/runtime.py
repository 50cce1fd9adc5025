"""What a program does once, before its first computation."""

import os
import pathlib
from typing import Any

import jax


def start(*, distributed: bool = False) -> None:
    """Joins the other processes of a run, and keeps compiled programs between runs.

    On a TPU pod, under SLURM, Open MPI or Kubernetes JAX finds the other processes by itself;
    elsewhere the environment variables `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and
    `JAX_PROCESS_ID` name them. Compiled programs lie in `~/.cache/jaxvision`, or where
    `JAX_COMPILATION_CACHE_DIR` says.

    Args:
        distributed: Whether there are other processes.

    Raises:
        RuntimeError: They cannot be found.

    >>> start()
    """
    if distributed and not jax.distributed.is_initialized():
        try:
            numbers: dict[str, Any] = {
                name: int(os.environ[variable])
                for name, variable in (
                    ("num_processes", "JAX_NUM_PROCESSES"),
                    ("process_id", "JAX_PROCESS_ID"),
                )
                if variable in os.environ
            }
            jax.distributed.initialize(**numbers)
        except ValueError as error:
            raise RuntimeError(
                f"cannot find the other processes ({error}): set JAX_COORDINATOR_ADDRESS "
                "(HOST:PORT of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID for each process"
            ) from error
    config: Any = jax.config
    if config.jax_compilation_cache_dir is None:
        cache = pathlib.Path.home() / ".cache" / "jaxvision" / "xla"
        config.update("jax_compilation_cache_dir", str(cache))
        config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
