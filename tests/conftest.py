"""Eight host devices, a compilation cache that outlives the clone, and nothing else shared.

The tests compile thousands of programs and run most of them once. So they compile without
optimization, but for those marked `optimized`, which are selected apart: `-m "slow and optimized"`.
"""

import gc
import os
import pathlib
import re
import subprocess
import sys

import jax
import pytest
import quick
from jaxtyping import config
from programs import Programs

USER_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
CACHE = pathlib.Path(
    os.environ.get("JAX_COMPILATION_CACHE_DIR") or USER_CACHE / "jaxvision" / "tests"
)
MAX_CACHE_BYTES = 2 * 2**30

# The first two need the libraries whose values they write down; the last are imported by tests.
collect_ignore_glob = ["fixtures/make_*.py", "fixtures/compare_*.py", "train/samples/*.py"]

os.environ.setdefault(
    "TFDS_DATA_DIR", str(pathlib.Path(__file__).parent.parent / ".cache" / "tensorflow_datasets")
)

WITHOUT_OPTIMIZATION = (
    *(f"--{name}={str(value).lower()}" for name, value in quick.UNOPTIMIZED.items()),
    "--xla_cpu_parallel_codegen_split_count=1",
)


def pytest_configure(config: pytest.Config) -> None:
    """Counts programs, bounds the cache, and leaves out what makes compilation slower."""
    config.pluginmanager.register(Programs(), "programs")
    if not hasattr(config, "workerinput"):
        _prune(CACHE)
    if not re.search(r"(?<!not )optimized", config.option.markexpr):
        _compile_without_optimization()


def _compile_without_optimization() -> None:
    given = os.environ.get("XLA_FLAGS", "")
    if WITHOUT_OPTIMIZATION[0] in given:
        return
    # XLA ends a process that gives it a flag it has not, and names the flag.
    tried = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"],
        env={**os.environ, "XLA_FLAGS": " ".join(WITHOUT_OPTIMIZATION)},
        capture_output=True,
        text=True,
        check=False,
    )
    complaint = tried.stderr if tried.returncode else ""
    known = [flag for flag in WITHOUT_OPTIMIZATION if flag not in complaint]
    os.environ["XLA_FLAGS"] = " ".join((given, *known)).strip()


def _prune(folder: pathlib.Path) -> None:
    """Deletes the programs that were not used for longest, where the cache has grown too large.

    JAX would bound it too, but look at every file whenever it adds one.
    """
    files = [(path, path.stat()) for path in folder.glob("*-cache")]
    files.sort(key=lambda file: max(file[1].st_atime, file[1].st_mtime))
    excess = sum(status.st_size for _, status in files) - MAX_CACHE_BYTES
    for path, status in files:
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= status.st_size


# Tracing makes objects by the million, few of them in cycles, and every pass looks at many again.
gc.freeze()
gc.set_threshold(100_000, 20, 50)

jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
# The scripts that tests start keep their programs there too.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches off the type checks of the test run, to meet the errors that users meet."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)
