"""What memory in large pages does to the steps of the U-Net of experiments/segment.py on a CPU.

    python benchmarks/large_pages.py

Steps a second of SGD with momentum on random images of 64x64 with masks of four classes, in
processes of their own that take turns: with pages of 4 KiB, and with those of 2 MiB that
`GLIBC_TUNABLES=glibc.malloc.hugetlb=1` asks for (Linux, glibc 2.35 or newer). Medians.
"""

import dataclasses
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from tables import Common, Table, launch

WAYS = {"small pages": "", "large pages": "glibc.malloc.hugetlb=1"}


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the measurement."""

    batches: tuple[int, ...] = (8, 16)
    """How many images a step sees."""
    rounds: int = 2
    """How many processes there are of each way."""
    seconds: float = 10.0
    """How long each of them makes steps."""

    TOY: ClassVar[Mapping[str, Any]] = {"batches": (1,), "rounds": 1, "seconds": 0.1}


def main(settings: Settings) -> list[Table]:
    """Measures both ways for each batch."""
    table = Table("unet", {"batch": "d", **dict.fromkeys(WAYS, ".1f")}, "Steps a second.")
    for batch in settings.batches:
        rates: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(settings.rounds):
            for name, tunables in WAYS.items():
                rates[name].append(rate_alone(batch, settings.seconds, tunables))
        table.add(batch, *map(statistics.median, rates.values()))
    return [table]


def rate_alone(batch: int, seconds: float, tunables: str) -> float:
    """Steps a second of a process of its own."""
    code = "import sys, large_pages; large_pages.contend(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(batch), str(seconds)],
        env=os.environ | {"GLIBC_TUNABLES": tunables},
        cwd=pathlib.Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def contend(batch: str, seconds: str) -> None:
    """Makes steps and prints how many a second."""
    from steps import compiled_step

    from jaxvision import models, train

    random = np.random.default_rng(0)
    network = models.ClassicUNet(
        num_classes=16,
        in_channels=12,
        channels=(24, 48, 96, 192, 192),
        padded=True,
        norm="batch",
        dropout=0.0,
        auxiliary=True,
    )
    model = models.PatchedSegmenter(segmenter=network, patch_size=2)
    given = {
        "image": random.integers(0, 256, (int(batch), 64, 64, 3), np.uint8),
        "mask": random.integers(0, 4, (int(batch), 64, 64)),
    }
    loss_fn = train.segmentation.make_loss_fn(model)
    run, _ = compiled_step(model, train.create_optimizer("momentum", 0.01), loss_fn, given)
    run()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < float(seconds):
        run()
        count += 1
    print(count / (time.perf_counter() - began))


if __name__ == "__main__":
    launch("large_pages", main, Settings, __doc__)
