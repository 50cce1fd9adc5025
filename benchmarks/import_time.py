"""What importing jaxvision costs over importing JAX, Flax and Optax.

    python benchmarks/import_time.py

Three cases: the package alone, whose parts are loaded at their first use; what a script that trains
a classifier uses; and all parts. Fresh interpreters that find all bytecode compiled, interleaved;
medians. Then the slowest modules that all parts add, from `python -X importtime`.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from tables import Common, Table, launch

BASE = "import jax, flax, optax"
CASES = (
    "import jaxvision",
    "from jaxvision import data, models, train",
    "from jaxvision import *",
)


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the benchmark."""

    rounds: int = 9
    """How often to import each."""
    show: int = 8
    """How many of the added modules to list."""

    TOY: ClassVar[Mapping[str, Any]] = {"rounds": 1, "show": 2}


def run(code: str, bytecode: str, *options: str) -> str:
    """Runs the code in a fresh interpreter that keeps its bytecode there; returns its errors."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stderr


def seconds(code: str, bytecode: str) -> float:
    """Wall time of a fresh interpreter that runs the code."""
    began = time.perf_counter()
    run(code, bytecode)
    return time.perf_counter() - began


def slowest(count: int, bytecode: str) -> list[tuple[float, str]]:
    """Modules that all of jaxvision adds, with their own import time in milliseconds."""
    reports = [run(code, bytecode, "-X", "importtime") for code in (BASE, f"{BASE}; {CASES[-1]}")]
    base, ours = (
        {line.split("|")[2].strip(): line.split("|")[0] for line in report.splitlines()[1:]}
        for report in reports
    )
    added = [
        (int(own.removeprefix("import time:")) / 1e3, name)
        for name, own in ours.items()
        if name not in base
    ]
    return sorted(added, reverse=True)[:count]


def main(settings: Settings) -> list[Table]:
    """Measures the imports, and lists the slowest modules."""
    codes = (BASE, *(f"{BASE}; {case}" for case in CASES))
    with tempfile.TemporaryDirectory() as bytecode:
        run(codes[-1], bytecode)
        rounds = [[seconds(code, bytecode) for code in codes] for _ in range(settings.rounds)]
        modules = slowest(settings.show, bytecode)
    table = Table("imports", {"import": "", "seconds": ".3f", "more than the first": "+.3f"})
    first = statistics.median(times[0] for times in rounds)
    table.add(BASE, first, None)
    for place, case in enumerate(CASES, start=1):
        added = statistics.median(times[place] - times[0] for times in rounds)
        table.add(case, first + added, added)
    added_modules = Table("modules", {"the slowest modules that all parts add": "", "ms": ".1f"})
    for milliseconds, name in modules:
        added_modules.add(name, milliseconds)
    return [table, added_modules]


if __name__ == "__main__":
    launch("import_time", main, Settings, __doc__)
