"""Set-up of JAX before a program's first computation."""

import os
import pathlib
from typing import Any

import jax


def start(*, distributed: bool = False) -> None:
    """Connects to the other processes of a run, and caches compiled programs across runs.

    On a TPU pod, under SLURM, Open MPI or Kubernetes, JAX finds the other processes itself;
    elsewhere, set the environment variables `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and
    `JAX_PROCESS_ID`. Compiled programs are cached in `~/.cache/jaxvision/xla`, or in
    `JAX_COMPILATION_CACHE_DIR`.

    Args:
        distributed: Whether the run has other processes.

    Raises:
        RuntimeError: The other processes cannot be found.

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
