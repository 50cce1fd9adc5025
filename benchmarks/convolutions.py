"""Times convolutions of jaxvision against plain Flax layers and, where it is installed, torch.

    python benchmarks/convolutions.py

A row per layer: milliseconds for the output alone, for output and both gradients, for
compiling both, and how many times faster than plain Flax the second is. Contenders take turns, and
the least of several times counts: the machine may do other work. "bar" is what the ratio of plain
Flax to ours, forward and backward, is meant to reach. Layers that see every input once, or few
numbers, have a table of their own.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from tables import Cell, Common, Table, launch
from turns import least_seconds

from jaxvision import ops

try:
    import torch
except ImportError:
    torch = None


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer and what it is applied to.

    Attributes:
        title: What to call it.
        image: Height (and width, and depth) and channels of the maps.
        features: The output channels.
        kernel: The size of the kernel along each axis.
        stride: The step; of a transposed convolution, between inputs.
        dilation: Between taps.
        groups: In how many groups channels are convolved apart.
        transposed: Whether the maps grow.
        bar: The least allowed ratio to plain Flax.
        batch: How many images.
        axes: 2 for images, 3 for volumes.
    """

    title: str
    image: tuple[int, int]
    features: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False
    bar: float = 0.95
    batch: int = 32
    axes: int = 2


CASES = [
    Case("depthwise 3x3", (32, 64), 64, 3, groups=64, bar=5),
    Case("depthwise 3x3 stride 2", (32, 96), 96, 3, 2, groups=96, bar=5),
    Case("depthwise 5x5", (16, 240), 240, 5, groups=240, bar=5),
    Case("depthwise 7x7", (16, 96), 96, 7, groups=96, bar=5),
    Case("depthwise 13x13", (16, 32), 32, 13, groups=32),
    Case("depthwise 3x3 x2", (16, 32), 64, 3, groups=32, bar=5),
    Case("grouped 3x3, 32 groups", (16, 128), 128, 3, groups=32, bar=20),
    Case("grouped 3x3, 32 groups, deep", (4, 1024), 1024, 3, groups=32, bar=20),
    Case("grouped 1x1, 3 groups", (16, 240), 240, 1, groups=3),
    Case("grouped 3x3, 2 groups", (13, 384), 256, 3, groups=2),
    Case("images, 4x4 stride 2", (64, 3), 64, 4, 2, bar=1.2),
    Case("images, patches of 16x16", (224, 3), 768, 16, 16, batch=8, bar=1.2),
    Case("patches of 2x2", (56, 96), 192, 2, 2, batch=16, bar=1.2),
    Case("transposed 4x4 stride 2", (16, 64), 32, 4, 2, transposed=True, bar=20),
    Case("transposed 4x4 stride 2, deep", (8, 256), 128, 4, 2, transposed=True, bar=20),
    Case("transposed 2x2 stride 2", (16, 64), 32, 2, 2, transposed=True),
    Case("transposed 3x3 stride 2", (8, 128), 64, 3, 2, transposed=True),
    Case("pointwise 64 to 256", (32, 64), 256, 1, bar=2),
    Case("pointwise 256 to 64", (32, 256), 64, 1, bar=2),
    Case("pointwise 24 to 144", (16, 24), 144, 1),
    Case("pointwise stride 2", (16, 64), 128, 1, 2),
    Case("dense 3x3", (32, 64), 64, 3),
    Case("dense 3x3, deep", (8, 256), 256, 3),
    Case("dense 3x3 stride 2", (16, 64), 128, 3, 2),
    Case("dense 7x7 stride 2", (64, 3), 64, 7, 2),
    Case("dense 7x7", (16, 32), 32, 7),
    Case("dilated 3x3", (16, 64), 64, 3, dilation=2),
    Case("volume 3x3x3, few channels", (32, 1), 8, 3, bar=3, batch=2, axes=3),
    Case("volume 3x3x3", (16, 32), 64, 3, bar=2, batch=2, axes=3),
    Case("volume 3x3x3 stride 2", (16, 32), 64, 3, 2, bar=10, batch=2, axes=3),
    Case(
        "volume transposed 2x2x2 stride 2",
        (8, 64),
        64,
        2,
        2,
        transposed=True,
        bar=10,
        batch=2,
        axes=3,
    ),
]


RUNS = [f"{name} {what}" for what in ("fwd", "fwd+bwd") for name in ("ours", "flax", "torch")]
COLUMNS = {
    "ms": "",
    **dict.fromkeys(RUNS, ".2f"),
    "ours compile s": ".2f",
    "flax compile s": ".2f",
    "flax/ours": ".2f",
    "bar": ".2f",
}


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the measurement."""

    rounds: int = 20
    """How often each is timed."""
    only: str = ""
    """Times the cases whose title has this in it."""

    TOY: ClassVar[Mapping[str, Any]] = {"rounds": 1, "only": "patches of 2x2"}


def main(settings: Settings) -> list[Table]:
    """Measures each layer."""
    tables = {name: Table(name, COLUMNS) for name in ("layers", "unfolded", "volumes")}
    for case in CASES:
        if settings.only in case.title:
            tables[table_of(case)].add(*measure(case, settings.rounds))
    return [table for table in tables.values() if table.rows]


def table_of(case: Case) -> str:
    """The name of the table that a layer stands in."""
    if case.axes == 3:
        return "volumes"
    return "unfolded" if case.title.startswith(("images", "patches")) else "layers"


def measure(case: Case, rounds: int) -> list[Cell]:
    """A row of the table."""
    runs: dict[str, Callable[[], Any]] = {}
    compiled = []
    for name, package in (("ours", ops), ("flax", nn)):
        forward, both, seconds = jax_runs(case, package)
        runs[f"{name} fwd"], runs[f"{name} fwd+bwd"] = forward, both
        compiled.append(seconds)
    if torch:
        runs["torch fwd"], runs["torch fwd+bwd"] = torch_runs(case)
    times = dict.fromkeys(RUNS, math.nan) | least_seconds(runs, rounds)
    ratio = times["flax fwd+bwd"] / times["ours fwd+bwd"]
    return [case.title, *(1e3 * times[name] for name in RUNS), *compiled, ratio, case.bar]


def jax_runs(case: Case, package: Any) -> tuple[Callable[[], Any], Callable[[], Any], float]:
    """The output, output and gradients, and the seconds that compiling these took."""
    size = (case.kernel,) * case.axes
    steps = (case.stride,) * case.axes
    if case.transposed:
        layer = package.ConvTranspose(case.features, size, strides=steps, use_bias=False)
    else:
        layer = package.Conv(
            case.features,
            size,
            strides=steps,
            padding=case.dilation * (case.kernel - 1) // 2,
            kernel_dilation=case.dilation,
            feature_group_count=case.groups,
            use_bias=False,
        )
    random = np.random.default_rng(0)
    height, channels = case.image
    shape = (case.batch, *[height] * case.axes, channels)
    images = jnp.asarray(random.standard_normal(shape, dtype=np.float32))
    variables = layer.init(jax.random.key(0), images)
    forward = jax.jit(layer.apply)
    result = forward(variables, images)

    def both(variables: Any, images: jax.Array, gradient: jax.Array) -> Any:
        output, backward = jax.vjp(layer.apply, variables, images)
        return output, backward(gradient)

    start = time.perf_counter()
    step = jax.jit(both).lower(variables, images, result).compile()
    seconds = time.perf_counter() - start
    return (
        lambda: jax.block_until_ready(forward(variables, images)),
        lambda: jax.block_until_ready(step(variables, images, result)),
        seconds,
    )


def torch_runs(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The same of torch, with channels last."""
    kind = getattr(torch.nn, f"Conv{'Transpose' if case.transposed else ''}{case.axes}d")
    layout = torch.channels_last if case.axes == 2 else torch.channels_last_3d
    padding = (case.kernel - 1) // 2 if case.transposed else case.dilation * (case.kernel - 1) // 2
    height, channels = case.image
    layer = kind(
        channels,
        case.features,
        case.kernel,
        case.stride,
        padding,
        dilation=case.dilation,
        groups=case.groups,
        bias=False,
    ).to(memory_format=layout)
    images = torch.randn(case.batch, channels, *[height] * case.axes)
    images = images.to(memory_format=layout).requires_grad_()
    gradient = torch.randn_like(layer(images))

    def both() -> None:
        layer.zero_grad()
        images.grad = None
        layer(images).backward(gradient)

    return functools.partial(layer, images), both


if __name__ == "__main__":
    launch("convolutions", main, Settings, __doc__, peers=("torch",))
