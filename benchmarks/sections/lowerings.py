"""The forms of convolutions that CPUs get against XLA's own, on whatever device there is.

Each layer is compiled twice: as it is for a CPU, and as it is for any other platform. So the choice
of `jaxvision.ops`, which goes by the platform, can be checked on this one.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from convolutions import CASES, Case

from jaxvision import ops
from sections import timing
from sections.context import Context

CHOSEN = (
    "depthwise 3x3",
    "depthwise 7x7",
    "grouped 3x3, 32 groups",
    "grouped 1x1, 3 groups",
    "images, patches of 16x16",
    "patches of 2x2",
    "transposed 4x4 stride 2",
    "transposed 2x2 stride 2",
    "pointwise 64 to 256",
    "dense 3x3, deep",
    "volume 3x3x3, few channels",
    "volume transposed 2x2x2 stride 2",
)
"""A layer of each kind that has a form for CPUs."""
MORE_IMAGES = 8
"""How many times the batch of the benchmark on a CPU."""
Function = Callable[..., jax.Array]
Make = Callable[[int], tuple[Function, list[Any]]]


def lowerings(context: Context) -> None:
    """Output and gradients of layers, in bfloat16."""
    columns = {"output and gradients": "", "for a CPU, ms": ".3f", "XLA's own, ms": ".3f",
               "ratio": ".2f", "compile s": ".1f"}  # fmt: skip
    kind = jax.devices()[0].device_kind
    note = (
        f"On {kind}. A ratio below 1 says that the form for CPUs is the faster one. Compilation is "
        "that of both."
    )
    table = context.table("convolutions", columns, note)
    chosen = [case for case in CASES if case.title in CHOSEN]
    cases: dict[str, Make] = {case.title: functools.partial(of_layer, case) for case in chosen}
    cases |= {"doubled, 3x3": of_doubled, "max-pooling 3x3 stride 2": of_pooling}
    if context.toy:
        cases = {name: cases[name] for name in ("transposed 2x2 stride 2", "doubled, 3x3")}
    images = 1 if context.toy else MORE_IMAGES
    for title, make in cases.items():
        began = time.perf_counter()
        lowered, native = (compiled_for(platform, make, images) for platform in ("cpu", "gpu"))
        compiling = time.perf_counter() - began
        times = [
            1e3 * timing.seconds_per_call(calls, toy=context.toy, windows=3)
            for calls in (lowered, native)
        ]
        table.add(title, *times, times[0] / times[1], compiling)


def compiled_for(platform: str, make: Make, images: int) -> timing.Calls:
    """Compiles a function in the form that it has for a platform."""
    with mock.patch.object(jax, "default_backend", return_value=platform):
        function, arguments = make(images)

        def both(gradient: jax.Array, *arguments: jax.Array) -> Any:
            output, backward = jax.vjp(function, *arguments)
            return output, backward(gradient)

        result = jax.eval_shape(function, *arguments)
        given = jax.device_put([jnp.ones(result.shape, result.dtype), *arguments])
        program = jax.jit(both).lower(*given).compile()
    latest: list[Any] = [program(*given)]

    def call() -> None:
        latest[0] = program(*given)

    return timing.Calls(call, lambda: jax.block_until_ready(latest[0]), 0.0)


def of_layer(case: Case, images: int) -> tuple[Function, list[Any]]:
    """A layer of the benchmark of convolutions, its kernel, and maps."""
    case = dataclasses.replace(case, batch=case.batch * images)
    size, steps = (case.kernel,) * case.axes, (case.stride,) * case.axes
    layer: Any
    if case.transposed:
        layer = ops.ConvTranspose(
            case.features, size, strides=steps, use_bias=False, dtype=jnp.bfloat16
        )
    else:
        layer = ops.Conv(
            case.features,
            size,
            strides=steps,
            padding=case.dilation * (case.kernel - 1) // 2,
            kernel_dilation=case.dilation,
            feature_group_count=case.groups,
            use_bias=False,
            dtype=jnp.bfloat16,
        )
    height, channels = case.image
    maps = random((case.batch, *[height] * case.axes, channels))
    variables = jax.eval_shape(layer.init, jax.random.key(0), maps)
    kernel = random(variables["params"]["kernel"].shape)
    return lambda kernel, maps: layer.apply({"params": {"kernel": kernel}}, maps), [kernel, maps]


def of_doubled(images: int) -> tuple[Function, list[Any]]:
    """The first convolution of a block of U-Net: coarse maps that are doubled, and skipped ones."""
    arrays = [random((4 * images, 32, 32, 64)), random((4 * images, 64, 64, 64))]
    kernel = random((3, 3, 128, 32))
    return lambda maps, beside, kernel: ops.conv_doubled(maps, kernel, beside), [*arrays, kernel]


def of_pooling(images: int) -> tuple[Function, list[Any]]:
    """The max-pooling after the stem of a ResNet."""
    maps = random((4 * images, 112, 112, 64))
    return lambda maps: ops.max_pool(maps, 3, 2, [(1, 1), (1, 1)]), [maps]


def random(shape: tuple[int, ...]) -> jax.Array:
    """Numbers in bfloat16."""
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return jnp.asarray(values, jnp.bfloat16)
