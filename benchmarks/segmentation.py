"""Times training steps of segmenters against plain Flax layers and, where it is installed, torch.

    python benchmarks/segmentation.py

The first table has a row per segmenter: milliseconds of a step of SGD with momentum on a batch of
random images and masks, with the cross-entropy of all pixels. "flax" is the same model with the
convolutions and the max-pooling of Flax, which ours has on a GPU; "torch" is that of
segmentation_models_pytorch in eager mode with channels last (it needs torch, torchvision, which may
be installed without its compiled operators, and segmentation_models_pytorch). "bfloat16" is ours
computed in that type, and its loss.

The second says where the time of U-Net goes: its layers at batch 8 and 128x128, output and
gradients, each as often as it occurs. Contenders take turns; of several times, the least counts.
"""

import dataclasses
import functools
import math
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from convolutions import Case, jax_runs, torch_runs
from steps import compiled_step, native
from tables import Common, Table, launch
from turns import least_seconds

from jaxvision import losses, models, ops, train

try:
    import torch

    sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests" / "fixtures"))
    from load_torchvision import load_torchvision

    load_torchvision()
    import segmentation_models_pytorch
except ImportError:
    torch = None

Run = Callable[[], Any]

SEGMENTERS = {"unet": "Unet", "deeplabv3_plus": "DeepLabV3Plus"}
"""What they are called in segmentation_models_pytorch."""

CONVOLUTIONS = [
    (1, Case("stem", (128, 3), 64, 7, 2, batch=8)),
    (4, Case("stage 1", (32, 64), 64, 3, batch=8)),
    (3, Case("stage 2", (16, 128), 128, 3, batch=8)),
    (3, Case("stage 3", (8, 256), 256, 3, batch=8)),
    (3, Case("stage 4", (4, 512), 512, 3, batch=8)),
    (1, Case("stage 2 stride 2", (32, 64), 128, 3, 2, batch=8)),
    (1, Case("stage 3 stride 2", (16, 128), 256, 3, 2, batch=8)),
    (1, Case("stage 4 stride 2", (8, 256), 512, 3, 2, batch=8)),
    (1, Case("block 0 second", (8, 256), 256, 3, batch=8)),
    (1, Case("block 1 second", (16, 128), 128, 3, batch=8)),
    (1, Case("block 2 second", (32, 64), 64, 3, batch=8)),
    (1, Case("block 3 second", (64, 32), 32, 3, batch=8)),
    (1, Case("block 4 second", (128, 16), 16, 3, batch=8)),
    (1, Case("head", (128, 16), 4, 3, batch=8)),
]
"""How often U-Net over ResNet-18 has a convolution, and the convolution."""

DOUBLED = [(4, 512, 256, 256), (8, 256, 128, 128), (16, 128, 64, 64), (32, 64, 64, 32)]
DOUBLED += [(64, 32, 0, 16)]
"""Of the first convolution of each block: the size of the coarse maps, their channels, the channels
that are appended to the doubled maps, and the output's."""


TIMES = dict.fromkeys(("ours ms", "flax ms", "torch ms", "flax/ours", "torch/ours"), ".2f")
PEERS = ("torch", "torchvision", "segmentation-models-pytorch")


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the measurement."""

    rounds: int = 6
    """How often each is timed."""
    size: int = 128
    """Height and width of the images."""
    batch: int = 8
    """How many images."""
    classes: int = 4
    """How many classes pixels have."""
    backbone: str = "resnet18"
    """The model whose maps are decoded."""
    only: tuple[str, ...] = tuple(SEGMENTERS)
    """Names of segmenters."""
    layers: bool = True
    """Whether to print the second table."""

    TOY: ClassVar[Mapping[str, Any]] = {
        "rounds": 1, "size": 32, "batch": 1,
        "backbone": "lenet5", "only": ("unet",), "layers": False
    }  # fmt: skip


def main(settings: Settings) -> list[Table]:
    """Measures steps, and the layers of one."""
    found = [step_table(settings)]
    if settings.layers:
        found.append(layers_table(settings.rounds))
    return found


def step_table(settings: Settings) -> Table:
    """Training steps."""
    more = dict.fromkeys(("bfloat16 ms", "its loss", "compile s"), ".2f")
    table = Table("steps", {"model": "", **TIMES, **more})
    for name in settings.only:
        ours, seconds = jax_step(name, settings)
        half, _ = jax_step(name, settings, jnp.bfloat16)
        with native():
            plain, _ = jax_step(name, settings)
        runs = {"ours": ours, "flax": plain, "half": half}
        if torch:
            runs["torch"] = torch_step(name, settings)
        for run in runs.values():
            run()  # warms up
        times = {"torch": math.nan} | least_seconds(runs, settings.rounds)
        numbers = [1e3 * times[each] for each in ("ours", "flax", "torch")]
        numbers += [times[each] / times["ours"] for each in ("flax", "torch")]
        total, count = half()["loss"]
        table.add(name, *numbers, 1e3 * times["half"], float(total / count), seconds)
    return table


def jax_step(name: str, settings: Settings, dtype: Any = None) -> tuple[Run, float]:
    """A function that runs a step, and the seconds that tracing and compiling it took."""
    random = np.random.default_rng(0)
    shape = (settings.batch, settings.size, settings.size)
    batch = {
        "image": random.standard_normal((*shape, 3), dtype=np.float32),
        "mask": random.integers(0, settings.classes, shape),
    }
    model = models.create_segmenter(
        name, backbone=settings.backbone, num_classes=settings.classes, dtype=dtype
    )

    def loss_fn(params: Any, model_state: Any, batch: Any, key: Any) -> Any:
        logits, changed = model.apply(
            {"params": params, **model_state},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        values = losses.cross_entropy(logits, batch["mask"])
        return values.mean(), (changed, {"loss": (values.sum(), values.size)})

    return compiled_step(model, train.create_optimizer("momentum", 0.01), loss_fn, batch)


def torch_step(name: str, settings: Settings) -> Run:
    """The same of torch."""
    create = getattr(segmentation_models_pytorch, SEGMENTERS[name])
    network = create(settings.backbone, encoder_weights=None, classes=settings.classes)
    network = network.to(memory_format=torch.channels_last).train()
    tx = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(settings.batch, 3, settings.size, settings.size)
    images = images.to(memory_format=torch.channels_last)
    masks = torch.randint(0, settings.classes, (settings.batch, settings.size, settings.size))

    def run() -> None:
        tx.zero_grad()
        torch.nn.functional.cross_entropy(network(images), masks).backward()
        tx.step()

    return run


def layers_table(rounds: int) -> Table:
    """The layers of U-Net."""
    columns = {"layers of U-Net": "", "times": "d", **TIMES}
    del columns["flax/ours"]
    table = Table("layers", columns)
    sums = dict.fromkeys(("ours", "flax", "torch"), 0.0)
    rows: list[tuple[str, int, dict[str, Run]]] = []
    for count, case in CONVOLUTIONS:
        runs = {"ours": jax_runs(case, ops)[1], "flax": jax_runs(case, nn)[1]}
        if torch:
            runs["torch"] = torch_runs(case)[1]
        rows.append((case.title, count, runs))
    for index, sizes in enumerate(DOUBLED):
        rows.append((f"block {index} first, doubled", 1, doubled_runs(*sizes)))
    rows.append(("max-pooling", 1, pool_runs()))
    for title, count, runs in rows:
        for run in runs.values():
            run()
        times = {"torch": math.nan} | least_seconds(runs, rounds)
        numbers = [1e3 * count * times[name] for name in sums]
        sums = {name: total + ms for (name, total), ms in zip(sums.items(), numbers, strict=True)}
        table.add(title, count, *numbers, times["torch"] / times["ours"])
    table.add("sum", None, *sums.values(), sums["torch"] / sums["ours"])
    return table


def doubled_runs(size: int, coarse: int, appended: int, features: int) -> dict[str, Run]:
    """Of maps that are doubled and convolved with others: output and gradients, by contender."""
    random = np.random.default_rng(0)
    shapes = [(8, size, size, coarse), (8, 2 * size, 2 * size, appended)]
    maps = [random.standard_normal(shape, dtype=np.float32) for shape in shapes]
    kernel = random.standard_normal((3, 3, coarse + appended, features), dtype=np.float32)

    def convolve(x: jax.Array, beside: jax.Array, kernel: jax.Array) -> jax.Array:
        return ops.conv_doubled(x, kernel, beside if appended else None)

    runs = {"ours": both(convolve, *maps, kernel)}
    with native():
        runs["flax"] = both(convolve, *maps, kernel)
    if torch:
        layer = torch.nn.Conv2d(coarse + appended, features, 3, padding=1, bias=False)
        layer = layer.to(memory_format=torch.channels_last)
        enlarge = functools.partial(torch.nn.functional.interpolate, scale_factor=2)

        def join(x: Any, beside: Any) -> Any:
            return layer(torch.cat([enlarge(x), beside], 1) if appended else enlarge(x))

        runs["torch"] = torch_both(join, *maps)
    return runs


def pool_runs() -> dict[str, Run]:
    """Of the max-pooling after the stem."""
    maps = np.random.default_rng(0).standard_normal((8, 64, 64, 64), dtype=np.float32)

    def pool(x: jax.Array) -> jax.Array:
        return ops.max_pool(x, 3, 2, [(1, 1), (1, 1)])

    runs = {"ours": both(pool, maps)}
    with native():
        runs["flax"] = both(pool, maps)
    if torch:
        runs["torch"] = torch_both(torch.nn.MaxPool2d(3, 2, 1), maps)
    return runs


def both(function: Callable[..., jax.Array], *arguments: np.ndarray) -> Run:
    """Compiles the output and the gradients of a function."""

    def output_and_gradients(gradient: jax.Array, *arguments: jax.Array) -> Any:
        output, backward = jax.vjp(lambda *each: function(*each), *arguments)
        return output, backward(gradient)

    result = jax.eval_shape(lambda *each: function(*each), *arguments)
    values = jax.device_put([np.ones(result.shape, np.float32), *arguments])
    compiled = jax.jit(output_and_gradients).lower(*values).compile()
    return lambda: jax.block_until_ready(compiled(*values))


def torch_both(function: Callable[..., Any], *arguments: np.ndarray) -> Run:
    """The same of torch, with channels last; parameters get their gradients too."""
    values = [torch.from_numpy(each).permute(0, 3, 1, 2).requires_grad_() for each in arguments]
    gradient = torch.ones_like(function(*values))

    def run() -> None:
        for value in values:
            value.grad = None
        function(*values).backward(gradient)

    return run


if __name__ == "__main__":
    launch("segmentation", main, Settings, __doc__, peers=PEERS)
