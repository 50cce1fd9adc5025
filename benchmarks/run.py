"""Runs benchmarks one after the other, saves their results, and updates docs/performance.md.

    python benchmarks/run.py
    python benchmarks/run.py --only convolutions train_step
    python benchmarks/run.py --quick

Each benchmark runs in its own process, with memory in large pages. If one fails, the others still
run, and the last lines of the output name those that failed. Libraries to compare with are left out
if they are not installed, so install them before you replace a table. `--quick` runs everything at
toy sizes, saves the results in a temporary folder, and leaves docs/ unchanged. Nothing else should
run on the machine at the same time.
"""

import dataclasses
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import pages
import tyro
from tables import FOLDER

BENCHMARKS = pathlib.Path(__file__).parent
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclasses.dataclass(frozen=True)
class Job:
    """A benchmark as it is run.

    Attributes:
        arguments: Of the command.
        environment: Variables besides those of all.
        needs: A module without which it cannot run.
        unasked: Whether it runs when nothing is chosen.
        toy: Arguments of `--quick`, in place of the others.
    """

    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    needs: str = ""
    unasked: bool = True
    toy: tuple[str, ...] = ("--quick",)


JOBS = {
    "convolutions": Job(),
    "train_step": Job(),
    "segmentation": Job(),
    "generative": Job(),
    "rl": Job(environment={"PJRT_NPROC": "1"}),
    "tsne": Job(arguments=("--scaling",)),
    "explain": Job(),
    "step_overhead": Job(),
    "input_pipeline": Job(),
    "import_time": Job(),
    "large_pages": Job(),
    "tpu_compile": Job(needs="libtpu", unasked=False),
    "accelerator": Job(unasked=False, toy=("--toy", "--sections", "tsne")),
}
"""All benchmarks. Those that take an hour or an accelerator run only when they are chosen."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to run."""

    only: tuple[str, ...] = ()
    """Names of benchmarks; none for all but tpu_compile and accelerator."""
    quick: bool = False
    """Toy sizes, to see that all run; docs/ stays as it is."""


def chosen(only: Sequence[str], jobs: Mapping[str, Job] = JOBS) -> dict[str, Job]:
    """The benchmarks to run, in their order.

    Raises:
        SystemExit: There is none of a name.
    """
    unknown = sorted({*only} - {*jobs})
    if unknown:
        raise SystemExit(
            f"no benchmark is called {', '.join(unknown)}; there are {', '.join(jobs)}"
        )
    return {name: job for name, job in jobs.items() if name in only or (job.unasked and not only)}


def run(name: str, job: Job, folder: pathlib.Path, quick: bool) -> str:
    """Runs a benchmark to its end.

    Args:
        name: Its name.
        job: How it is run.
        folder: Where it keeps what it measures.
        quick: Whether to run it at toy sizes.

    Returns:
        What is to be said of it at the end; nothing if all is well.
    """
    if job.needs and importlib.util.find_spec(job.needs) is None:
        return f"left out: {job.needs} is not installed"
    arguments = ["--save", "--folder", str(folder), *(job.toy if quick else job.arguments)]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments],
        env={**os.environ, **LARGE_PAGES, **job.environment},
        check=False,
    )
    print(f"\n{name}: {time.perf_counter() - began:.0f} s", flush=True)
    return f"failed with status {done.returncode}" if done.returncode else ""


def run_all(jobs: Mapping[str, Job], folder: pathlib.Path, quick: bool) -> dict[str, str]:
    """Runs benchmarks one after the other; says what went wrong, by name."""
    said = {}
    for name, job in jobs.items():
        print(f"\n=== {name}", flush=True)
        said[name] = run(name, job, folder, quick)
    return {name: each for name, each in said.items() if each}


def main(settings: Settings) -> None:
    """Runs what is chosen, and writes the page.

    Raises:
        SystemExit: A benchmark failed.
    """
    jobs = chosen(settings.only)
    if settings.quick:
        with tempfile.TemporaryDirectory() as name:
            said = run_all(jobs, pathlib.Path(name), quick=True)
            files = sorted(path.stem for path in pathlib.Path(name).glob("*.json"))
        print(f"\nkept for a moment: {', '.join(files)}")
    else:
        said = run_all(jobs, FOLDER, quick=False)
        pages.main()
    for name, each in said.items():
        print(f"{name} {each}")
    if any(each.startswith("failed") for each in said.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
