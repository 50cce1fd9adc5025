"""What a program does once, before its first computation; in processes of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

CODE = """
import jax
from jaxvision import train
train.start({arguments})
train.start({arguments})
print(jax.config.jax_compilation_cache_dir)
jax.jit(lambda x: x @ x)(jax.numpy.ones((2, 2))).block_until_ready()
"""


def run(home: pathlib.Path, arguments: str = "", **variables: str) -> subprocess.CompletedProcess:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE.format(arguments=arguments)],
        env={**kept, "HOME": str(home), "JAX_PLATFORMS": "cpu", **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_programs_are_kept_in_the_home_folder(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / ".cache" / "jaxvision" / "xla")


@pytest.mark.slow
def test_programs_are_kept_where_the_user_says(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "own")
    assert not (tmp_path / ".cache" / "jaxvision").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [{}, {"JAX_COORDINATOR_ADDRESS": "localhost:1234", "JAX_NUM_PROCESSES": "two"}],
    ids=["none", "no number"],
)
def test_processes_that_cannot_be_found(variables: dict, tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "distributed=True", **variables)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: cannot find the other processes (")
    assert "set JAX_COORDINATOR_ADDRESS (HOST:PORT of process 0), JAX_NUM_PROCESSES and" in last
