"""Eight host devices, a compilation cache that outlives the run, and nothing else shared."""

import os
import pathlib

import jax

CACHE = pathlib.Path(__file__).parent.parent / ".cache"

os.environ.setdefault("TFDS_DATA_DIR", str(CACHE / "tensorflow_datasets"))

jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", str(CACHE / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
