"""Eight host devices, a compilation cache that outlives the run, and nothing else shared.

The tests compile thousands of programs and run most of them once: the quick ones are not optimized,
the slow ones are, as in use.
"""

import gc
import os
import pathlib
import subprocess
import sys

import jax
import pytest
import quick
from jaxtyping import config

CACHE = pathlib.Path(__file__).parent.parent / ".cache"

# They need the libraries whose values they write down.
collect_ignore_glob = ["fixtures/make_*.py"]

os.environ.setdefault("TFDS_DATA_DIR", str(CACHE / "tensorflow_datasets"))


QUICK_COMPILATION = (
    *(f"--{name}={str(value).lower()}" for name, value in quick.UNOPTIMIZED.items()),
    "--xla_cpu_parallel_codegen_split_count=1",
)


def pytest_configure(config: pytest.Config) -> None:
    """Leaves out what makes programs faster and compilation slower, where XLA knows how to."""
    given = os.environ.get("XLA_FLAGS", "")
    if config.option.markexpr != "not slow" or QUICK_COMPILATION[0] in given:
        return
    # XLA ends a process that gives it a flag it has not, and names the flag.
    tried = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"],
        env={**os.environ, "XLA_FLAGS": " ".join(QUICK_COMPILATION)},
        capture_output=True,
        text=True,
        check=False,
    )
    complaint = tried.stderr if tried.returncode else ""
    known = [flag for flag in QUICK_COMPILATION if flag not in complaint]
    os.environ["XLA_FLAGS"] = " ".join((given, *known)).strip()


# Tracing makes objects by the million, few of them in cycles, and every pass looks at many again.
gc.freeze()
gc.set_threshold(100_000, 20, 50)

jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", str(CACHE / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches off the type checks of the test run, to meet the errors that users meet."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)
