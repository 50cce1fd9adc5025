"""Times explainers against one gradient of the same model, and integrated gradients against captum.

    python benchmarks/explain.py

The first table has a row per model and explainer: milliseconds for a batch of random RGB images,
and how many times as long that takes as the gradient of a logit by the images. LRP and guided
backprop are to take at most three times as long. The gradient is that of the model as it is, whose
convolutions have the fastest form; rules run the model with XLA's own convolutions.

The second has integrated gradients of the first logit with as many steps in both, and as many
images at once, for models of torchvision in torch's eager mode with channels last. Contenders take
turns; of several times, the least counts.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import jax
import numpy as np
from tables import Common, Table, launch
from turns import least_seconds

from jaxvision import explain, models

try:
    import captum.attr
    import torch
    import torchvision
except ImportError:
    torch = None

Run = Callable[[], Any]
Function = Callable[[Any], Any]
LIMIT = 3.0
"""The most gradients that the time of LRP and guided backprop is to be worth."""

rules = explain.rules
EXPLAINERS: dict[str, tuple[Callable[[Function, Any], explain.Attribution], float]] = {
    "guided backprop": (explain.guided_backprop, LIMIT),
    "deconvnet": (explain.deconvnet, LIMIT),
    "LRP-epsilon": (explain.lrp, LIMIT),
    "LRP-z+": (lambda f, x: explain.lrp(f, x, rule=rules.ZPlus()), LIMIT),
    "LRP-gamma": (lambda f, x: explain.lrp(f, x, rule=rules.Gamma()), LIMIT),
    "LRP-alpha-beta": (lambda f, x: explain.lrp(f, x, rule=rules.AlphaBeta()), LIMIT),
    "DeepLIFT": (explain.deeplift, math.nan),
    "Grad-CAM": (explain.grad_cam, math.nan),
}
"""Explainers, and the most gradients they are to take."""


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the measurement."""

    tables: tuple[Literal["explainers", "integrated_gradients"], ...] = (
        "explainers",
        "integrated_gradients",
    )
    """Which tables are measured."""
    models: tuple[str, ...] = ("vgg11", "resnet18", "mobilenet_v2")
    """The models, which torchvision must have too."""
    rounds: int = 6
    """How often each is timed."""
    batch: int = 8
    """How many images are explained."""
    size: int = 64
    """Height and width of the images."""
    path_size: int = 224
    """Height and width of the images of integrated gradients."""
    steps: int = 8
    """Steps of integrated gradients."""

    TOY: ClassVar[Mapping[str, Any]] = {
        "models": ("resnet18",),
        "rounds": 1,
        "batch": 1,
        "size": 32,
        "path_size": 32,
        "steps": 2,
    }


def main(settings: Settings) -> list[Table]:
    """Measures explainers and integrated gradients."""
    made = {"explainers": explainer_table, "integrated_gradients": path_table}
    return [made[name](settings) for name in settings.tables]


def explainer_table(settings: Settings) -> Table:
    """Explainers against one gradient."""
    columns = {"explainer": "", "ms": ".1f", "gradient ms": ".1f", "gradients": ".2f"}
    table = Table("explainers", {**columns, "bar": ".1f", "compile s": ".1f"})
    for name in settings.models:
        f, images = made(name, settings.batch, settings.size)
        gradient, _ = compiled(explain.saliency, f, images)
        for title, (method, bar) in EXPLAINERS.items():
            run, seconds = compiled(method, f, images)
            times = least_seconds({"it": run, "gradient": gradient}, settings.rounds)
            it, one = 1e3 * times["it"], 1e3 * times["gradient"]
            table.add(f"{name}, {title}", it, one, it / one, bar, seconds)
    return table


def path_table(settings: Settings) -> Table:
    """Integrated gradients against captum's."""
    table = Table(
        "integrated_gradients",
        {
            "integrated gradients": "",
            "ours ms": ".1f",
            "captum ms": ".1f",
            "captum/ours": ".2f",
            "bar": ".1f",
            "compile s": ".1f",
        },
        f"{settings.steps} steps, {settings.batch} images of {settings.path_size}x"
        f"{settings.path_size}.",
    )
    for name in settings.models:
        f, images = made(name, settings.batch, settings.path_size)

        def ours(f: Function, images: Any) -> explain.Attribution:
            count = settings.steps
            return explain.integrated_gradients(f, images, 0, steps=count, max_steps=count)

        run, seconds = compiled(ours, f, images)
        runs = {"ours": run}
        if torch is not None:
            runs["captum"] = of_captum(name, images, settings)
        times = {"captum": math.nan} | least_seconds(runs, settings.rounds)
        mine, its = 1e3 * times["ours"], 1e3 * times["captum"]
        table.add(name, mine, its, its / mine, 1.0, seconds)
    return table


def made(name: str, batch: int, size: int) -> tuple[Function, np.ndarray]:
    """A model with random weights as a function, and random images."""
    shape = (batch, size, size, 3)
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    model = models.create_model(name, num_classes=10)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    return lambda x: model.apply(variables, x), images


def compiled(
    method: Callable[[Function, Any], explain.Attribution], f: Function, images: np.ndarray
) -> tuple[Run, float]:
    """A function that explains the images, already called once; and the seconds of compilation."""
    jax.clear_caches()
    given = jax.device_put(images)
    start = time.perf_counter()
    program = jax.jit(lambda x: method(f, x).map).lower(given).compile()
    seconds = time.perf_counter() - start
    jax.block_until_ready(program(given))
    return lambda: jax.block_until_ready(program(given)), seconds


def of_captum(name: str, images: np.ndarray, settings: Settings) -> Run:
    """The same by captum, already called once."""
    model = torchvision.models.get_model(name, num_classes=10).eval()
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # captum's gradients need the values
    model = model.to(memory_format=torch.channels_last)
    given = torch.from_numpy(images).permute(0, 3, 1, 2)
    given = given.contiguous(memory_format=torch.channels_last)
    method = captum.attr.IntegratedGradients(model)

    def run() -> Any:
        return method.attribute(
            given,
            target=0,
            n_steps=settings.steps,
            method="riemann_middle",
            internal_batch_size=64,
        )

    run()
    return run


if __name__ == "__main__":
    launch("explain", main, Settings, __doc__, peers=("torch", "torchvision", "captum"))
