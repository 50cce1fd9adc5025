"""Eight host devices, a compilation cache that outlives the run, and nothing else shared."""

import os
import pathlib

import jax
import pytest
from jaxtyping import config

CACHE = pathlib.Path(__file__).parent.parent / ".cache"

# They need the libraries whose values they write down.
collect_ignore_glob = ["fixtures/make_*.py"]

os.environ.setdefault("TFDS_DATA_DIR", str(CACHE / "tensorflow_datasets"))

jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", str(CACHE / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches off the type checks of the test run, to meet the errors that users meet."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)
