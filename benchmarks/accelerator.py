"""Measures training on one accelerator, a GPU or a TPU, in at most 450 seconds.

    python benchmarks/accelerator.py
    python benchmarks/accelerator.py --sections resnet50 vit_b --again
    python benchmarks/accelerator.py --toy

Sections: training steps of ResNet-50, ViT-B/16 and U-Net in bfloat16 with model FLOPs utilization,
DCGAN, environment steps of PPO and DQN, t-SNE of 70,000 points, and the convolutions that are used
on CPUs against XLA's own. Image models are compared with torch.compile, where torch with CUDA is
installed. Times are medians of windows of many steps; the device is waited for at their ends.

Each section runs in its own process and saves its results as soon as it is done. Later runs skip
sections that were done with the same package versions on the same kind of device. A section that
does not fit into the remaining budget is skipped too, and the last lines of the output say so.
"""

import dataclasses
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import tyro
from sections.context import PEERS, Context, is_done, unfinished_file
from tables import FOLDER, Common

BENCHMARKS = pathlib.Path(__file__).parent
WORK = BENCHMARKS.parent / "runs" / "accelerator"

Name = Literal["resnet50", "vit_b", "lowerings", "unet", "tsne", "ppo", "dqn", "dcgan"]


@dataclasses.dataclass(frozen=True)
class Section:
    """A part that is measured by itself.

    Attributes:
        module: The file in sections/ that has a function of the section's name.
        seconds: About how long it takes on an H100, without torch.
        torch_seconds: About how long torch takes besides.
    """

    module: str
    seconds: float
    torch_seconds: float = 0


SECTIONS: dict[str, Section] = {
    "resnet50": Section("images", 50, 40),
    "vit_b": Section("images", 40, 40),
    "lowerings": Section("lowerings", 60),
    "unet": Section("images", 60, 45),
    "tsne": Section("embedding", 30),
    "ppo": Section("agents", 25),
    "dqn": Section("agents", 25),
    "dcgan": Section("gan", 25, 25),
}
"""The most important first. The seconds are guesses, because nothing has been measured yet."""


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the measurement. Results are saved in runs/accelerator by default."""

    sections: tuple[Name, ...] = get_args(Name)
    """What to measure."""
    again: bool = False
    """Whether to measure sections again that were measured before."""
    budget_seconds: float = 450.0
    """How long all may take together."""
    toy: bool = False
    """Tiny sizes, on any device, to check that everything runs. The same as --quick."""

    @property
    def where(self) -> pathlib.Path:
        """Where results are kept."""
        if self.save or self.folder != FOLDER:
            return self.folder
        return WORK / "toy" if self.quick else WORK


def main(settings: Settings) -> None:
    """Measures what is asked for and not done yet.

    Raises:
        SystemExit: There is no accelerator, or a section failed.
    """
    settings = dataclasses.replace(settings, quick=settings.quick or settings.toy).sized()
    if settings.quick and settings.where.resolve() == FOLDER:
        sys.exit("--toy: toy times are not saved in docs/; give another --folder")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the section ends too
    began = time.time()
    where = probe()
    if not (settings.quick or where["hardware"]["accelerators"]):
        sys.exit("there is no accelerator here; --toy runs all at tiny sizes on a CPU")
    said = run_sections(settings, where, start, began + settings.budget_seconds)
    print(f"\n{time.time() - began:.0f} s in all; results in {settings.where}")
    for name, each in said.items():
        print(f"{name}: {each}")
    if any("failed" in each for each in said.values()):
        raise SystemExit(1)


Start = Callable[[str, Settings, float], str]


def run_sections(
    settings: Settings,
    where: Mapping[str, Any],
    start: Start,
    deadline: float,
    clock: Callable[[], float] = time.time,
) -> dict[str, str]:
    """Runs sections one after the other.

    Args:
        settings: Which, and where their results are kept.
        where: What `provenance.measured` says.
        start: Runs a section until a deadline, and says how that ended.
        deadline: When all must have ended.
        clock: Gives the time.

    Returns:
        What became of each, by name.
    """
    said: dict[str, str] = {}
    for name in settings.sections:
        left = deadline - clock()
        needed = 0 if settings.quick else SECTIONS[name].seconds
        if not settings.again and is_done(settings.where, name, settings.quick, where):
            said[name] = "done before"
        elif left < needed or left <= 0:
            said[name] = f"left out: takes about {needed:.0f} s, and {max(0, left):.0f} s are left"
        else:
            print(f"\n=== {name}", flush=True)
            said[name] = start(name, settings, deadline)
    return said


def start(name: str, settings: Settings, deadline: float) -> str:
    """Runs a section in a process of its own, and says how that ended."""
    code = "import sys, accelerator; accelerator.section(*sys.argv[1:])"
    given = [name, str(settings.where.resolve()), str(int(settings.quick)), str(deadline)]
    began = time.time()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *given],
            env=environment(),
            cwd=BENCHMARKS,
            timeout=max(1.0, deadline - began),
            check=False,
        )
    except subprocess.TimeoutExpired:
        kept = unfinished_file(settings.where, name)
        rest = f"; the rows that it had are in {kept}" if kept.exists() else ""
        return f"cut off after {time.time() - began:.0f} s{rest}"
    if done.returncode:
        return f"failed with status {done.returncode}"
    return f"done in {time.time() - began:.0f} s"


def section(name: str, folder: str, toy: str, deadline: str) -> None:
    """Measures a section, and keeps its results."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    chosen = SECTIONS[name]
    context = Context(name, pathlib.Path(folder), toy == "1", float(deadline), chosen.torch_seconds)
    getattr(importlib.import_module(f"sections.{chosen.module}"), name)(context)
    context.finish()
    for table in context.found:
        print(f"\n{table.name}: {table.note.strip()}")


def end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone: the device is for the next."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def probe() -> dict[str, Any]:
    """The versions and the devices, from a process that ends: a TPU has one user at a time."""
    code = (
        "import json, sys, jax, provenance; jax.devices(); "
        "print(json.dumps(provenance.measured('accelerator', sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *PEERS],
        env=environment(),
        cwd=BENCHMARKS,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    content: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return content


def environment() -> dict[str, str]:
    """Variables of the processes: JAX leaves memory that it does not need to torch."""
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
