"""Times whole training steps against plain Flax layers and, where it is installed, torch.

    python benchmarks/train_step.py

Each row is a model in float32: milliseconds of a step of SGD with momentum on a batch of random
images, and seconds to trace and compile it. "flax" is the same model of jaxvision over
`flax.linen.Conv`; "torch" is torchvision's in eager mode with channels last (it needs torch and
torchvision, which may be installed without its compiled operators). Contenders take turns; of
several times, the least counts, and the median of several compilations.
"""

import dataclasses
import math
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from unittest import mock

import flax.linen as nn
import numpy as np
from steps import compiled_step
from tables import Common, Table, launch
from turns import least_seconds

from jaxvision import models, train
from jaxvision.models.layers import convolution

try:
    import torch

    sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests" / "fixtures"))
    from load_torchvision import load_torchvision

    torchvision = load_torchvision()
except ImportError:
    torch = None


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and what it is trained on.

    Attributes:
        name: Of the model.
        size: Height and width of the images.
        batch: How many images.
        options: Of the model.
    """

    name: str
    size: int
    batch: int = 32
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


CASES = [
    Case("lenet5", 32, 128),
    Case("resnet18", 32, options={"small_images": True}),
    Case("resnext50_32x4d", 64),
    Case("mobilenet_v2", 64),
    Case("shufflenet_v2_x1_0", 64),
    Case("densenet121", 64),
]


COLUMNS = {
    "model": "",
    **dict.fromkeys(("ours ms", "flax ms", "torch ms", "flax/ours", "torch/ours"), ".2f"),
    **dict.fromkeys(("ours compile s", "flax compile s", "ours/flax"), ".2f"),
}


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the measurement."""

    rounds: int = 6
    """How often each is timed."""
    compilations: int = 5
    """How often each is compiled."""
    only: tuple[str, ...] = ()
    """Names of models; none for all."""

    TOY: ClassVar[Mapping[str, Any]] = {"rounds": 1, "compilations": 1, "only": ("lenet5",)}


def main(settings: Settings) -> list[Table]:
    """Measures a step of each model."""
    table = Table("steps", COLUMNS)
    against_torch = []
    for case in CASES:
        if settings.only and case.name not in settings.only:
            continue
        compiled = []
        for _ in range(settings.compilations):
            ours, ours_seconds = jax_step(case)
            with mock.patch.object(convolution, "Conv", nn.Conv):
                plain, plain_seconds = jax_step(case)
            compiled.append((ours_seconds, plain_seconds))
        ours_compile, plain_compile = map(statistics.median, zip(*compiled, strict=True))
        runs = {"ours": ours, "flax": plain}
        if torch:
            runs["torch"] = torch_step(case)
        for run in runs.values():
            run()  # warms up
        times = {"torch": math.nan} | least_seconds(runs, settings.rounds)
        against_torch.append(times["torch"] / times["ours"])
        numbers = [1e3 * times[name] for name in ("ours", "flax", "torch")]
        numbers += [times["flax"] / times["ours"], against_torch[-1]]
        numbers += [ours_compile, plain_compile, ours_compile / plain_compile]
        table.add(case.name, *numbers)
    if torch:
        mean = math.exp(sum(map(math.log, against_torch)) / len(against_torch))
        table.note = f"Geometric mean of torch/ours: {mean:.2f}."
    return [table]


def jax_step(case: Case) -> tuple[Callable[[], Any], float]:
    """A function that runs a step, and the seconds that tracing and compiling it took."""
    random = np.random.default_rng(0)
    channels = 1 if case.name == "lenet5" else 3
    shape = (case.batch, case.size, case.size, channels)
    batch = {
        "image": random.standard_normal(shape, dtype=np.float32),
        "label": random.integers(0, 10, case.batch),
    }
    model = models.create_model(case.name, num_classes=10, **case.options)
    loss_fn = train.classification.make_loss_fn(model)
    return compiled_step(model, train.create_optimizer("momentum", 0.01), loss_fn, batch)


def torch_step(case: Case) -> Callable[[], Any]:
    """The same of torch."""
    network = torch_network(case).to(memory_format=torch.channels_last).train()
    tx = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    channels = 1 if case.name == "lenet5" else 3
    images = torch.randn(case.batch, channels, case.size, case.size)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (case.batch,))

    def run() -> None:
        tx.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        tx.step()

    return run


def torch_network(case: Case) -> Any:
    """The network of torchvision, but for LeNet, which it lacks."""
    layers = torch.nn
    if case.name == "lenet5":
        return layers.Sequential(
            layers.Conv2d(1, 6, 5),
            layers.ReLU(),
            layers.MaxPool2d(2),
            layers.Conv2d(6, 16, 5),
            layers.ReLU(),
            layers.MaxPool2d(2),
            layers.Flatten(),
            layers.Linear(400, 120),
            layers.ReLU(),
            layers.Linear(120, 84),
            layers.ReLU(),
            layers.Linear(84, 10),
        )
    network = torchvision.models.get_model(case.name, weights=None, num_classes=10)
    if case.options.get("small_images"):
        network.conv1 = layers.Conv2d(3, 64, 3, 1, 1, bias=False)
        network.maxpool = layers.Identity()
    return network


if __name__ == "__main__":
    launch("train_step", main, Settings, __doc__, peers=("torch", "torchvision"))
