"""Where and when something was measured: hardware, versions, the date and the command."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys
from collections.abc import Sequence
from typing import Any

ALWAYS = ("jax", "jaxlib", "flax", "optax")
"""Packages whose versions are always said."""
VARIABLES = ("GLIBC_TUNABLES", "PJRT_NPROC", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
"""Variables of the environment that change how fast programs are."""
_OURS = ("--save", "--folder")


def measured(name: str, peers: Sequence[str] = ()) -> dict[str, Any]:
    """What is to be known of a measurement that ends now.

    Args:
        name: The name of the benchmark.
        peers: Packages that it compares with; those that are not installed are left out.

    Returns:
        "hardware", "versions", "date" and "command", as JSON takes them.
    """
    return {
        "hardware": hardware(),
        "versions": versions(peers),
        "date": datetime.date.today().isoformat(),
        "command": command(name, sys.argv[1:]),
    }


def hardware() -> dict[str, Any]:
    """The processor, how many of its cores may be used, memory, and accelerators if any."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = {"cpu": cpu(), "cores": cores(), "memory_gib": round(memory)}
    return found | {"accelerators": accelerators()}


def versions(peers: Sequence[str] = ()) -> dict[str, str]:
    """Versions of Python, of what every measurement depends on, and of peers."""
    found = {"python": platform.python_version()}
    for package in (*ALWAYS, *peers):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def command(name: str, arguments: Sequence[str]) -> str:
    """The command, with the variables that matter and without where the results were kept."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if not skip and not argument.startswith(_OURS):
            kept.append(argument)
        skip = argument == "--folder"
    given = [f"{each}={os.environ[each]}" for each in VARIABLES if os.environ.get(each)]
    return shlex.join([*given, "python", f"benchmarks/{name}.py", *kept])


def cpu(file: pathlib.Path = pathlib.Path("/proc/cpuinfo")) -> str:
    """The name of the processor."""
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may use, and XLA does."""
    has = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(has, int(os.environ.get("PJRT_NPROC") or has))


def accelerators() -> list[str]:
    """The kinds of the accelerators that this process used; none where it did without JAX."""
    if "jax" not in sys.modules:
        return []
    devices = sys.modules["jax"].devices()
    return [device.device_kind for device in devices if device.platform != "cpu"]
