"""What `import jaxvision` costs over importing JAX, Flax and Optax.

    python benchmarks/import_time.py

Fresh interpreters, interleaved; medians. Then the slowest modules that jaxvision adds, from
`python -X importtime`.
"""

import dataclasses
import statistics
import subprocess
import sys
import time

import tyro

BASE = "import jax, flax, optax"
OURS = f"{BASE}; import jaxvision"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the benchmark."""

    rounds: int = 9
    """How often to import each."""
    show: int = 8
    """How many of the added modules to list."""


def seconds(code: str) -> float:
    """Wall time of a fresh interpreter that runs the code."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def slowest(count: int) -> list[tuple[float, str]]:
    """Modules that jaxvision adds, with their own import time in milliseconds."""
    reports = [
        subprocess.run(
            [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True
        )
        for code in (BASE, OURS)
    ]
    base, ours = (
        {line.split("|")[2].strip(): line.split("|")[0] for line in report.stderr.splitlines()[1:]}
        for report in reports
    )
    added = [
        (int(own.removeprefix("import time:")) / 1e3, name)
        for name, own in ours.items()
        if name not in base
    ]
    return sorted(added, reverse=True)[:count]


def main(settings: Settings) -> None:
    """Prints the table."""
    pairs = [(seconds(BASE), seconds(OURS)) for _ in range(settings.rounds)]
    base, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    added = statistics.median(second - first for first, second in pairs)
    print(f"{'import':40}  seconds")
    print(f"{BASE.removeprefix('import '):40}  {base:7.3f}")
    print(f"{'the same and jaxvision':40}  {ours:7.3f}")
    print(f"{'added':40}  {added:7.3f}\n")
    for milliseconds, name in slowest(settings.show):
        print(f"{milliseconds:8.1f} ms  {name}")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
