"""Eight host devices, a compilation cache that outlives the run, and nothing else shared.

The tests compile thousands of programs and run most of them once: the quick ones are not optimized,
the slow ones are, as in use.
"""

import os
import pathlib

import jax
import pytest
from jaxtyping import config

CACHE = pathlib.Path(__file__).parent.parent / ".cache"

# They need the libraries whose values they write down.
collect_ignore_glob = ["fixtures/make_*.py"]

os.environ.setdefault("TFDS_DATA_DIR", str(CACHE / "tensorflow_datasets"))


def pytest_configure(config: pytest.Config) -> None:
    """Leaves the optimization of machine code out, unless a level is asked for."""
    flags = os.environ.get("XLA_FLAGS", "")
    if config.option.markexpr == "not slow" and "backend_optimization_level" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=0".strip()


jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", str(CACHE / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches off the type checks of the test run, to meet the errors that users meet."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)
