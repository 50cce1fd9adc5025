"""Training steps of models of images in bfloat16, beside the same of torch.compile."""

import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxvision import models, train
from sections import context as contexts
from sections import peaks, timing
from sections.context import Context

COLUMNS = {
    "contender": "",
    "images": "",
    "batch": "d",
    "ms a step": ".2f",
    "images/s": ",.0f",
    "model TFLOP/s": ".2f",
    "model FLOPs utilization": ".1%",
    "compile s": ".1f",
}
CLASSES, MASK_CLASSES = 1000, 21


class Subject(NamedTuple):
    """What is trained.

    Attributes:
        model: Ours, in bfloat16.
        network: The same of torch.
        optimizer: Of ours.
        torch_optimizer: The same of torch, of its parameters.
        size: Height and width of the images.
        batches: How many images a step sees: the first that fit into memory.
        masks: Whether each pixel has a class.
    """

    model: Any
    network: Callable[[], Any]
    optimizer: optax.GradientTransformation
    torch_optimizer: Callable[[Any], Any]
    size: int
    batches: tuple[int, ...]
    masks: bool = False


def resnet50(context: Context) -> None:
    """ResNet-50 with SGD and momentum."""
    name, size, batches = sizes(context, "resnet50", "resnet18", 256)
    model = models.create_model(name, num_classes=CLASSES, dtype="bfloat16")
    optimizer = train.create_optimizer("momentum", 0.1)
    made = Subject(
        model, functools.partial(of_torchvision, name), optimizer, torch_momentum, size, batches
    )
    measure(context, "steps", [made])


def vit_b(context: Context) -> None:
    """ViT-B/16 with AdamW."""
    name, size, batches = sizes(context, "vit_b_16", "vit_ti_16", 256)
    model = models.create_model(name, num_classes=CLASSES, dtype="bfloat16")
    network = functools.partial(vit_of_torch, context.toy, size)
    made = Subject(model, network, optax.adamw(1e-3), torch_adamw, size, batches)
    measure(context, "steps", [made])


def unet(context: Context) -> None:
    """U-Net as published but padded and with normalization, for small and for large images."""
    channels = (4, 8) if context.toy else (64, 128, 256, 512, 1024)
    model = models.ClassicUNet(
        num_classes=MASK_CLASSES,
        channels=channels,
        padded=True,
        norm="batch",
        dropout=0.0,
        dtype="bfloat16",
    )
    optimizer = train.create_optimizer("momentum", 0.01)
    sizes = {16: (2,)} if context.toy else {128: fitting(256), 512: fitting(16)}
    network = functools.partial(unet_of_torch, channels)
    made = [
        Subject(model, network, optimizer, torch_momentum, size, batches, masks=True)
        for size, batches in sizes.items()
    ]
    measure(context, "steps", made)


def sizes(context: Context, name: str, toy: str, batch: int) -> tuple[str, int, tuple[int, ...]]:
    """The model, the size of its images, and batches to try."""
    return (toy, 32, (2,)) if context.toy else (name, 224, fitting(batch))


def fitting(batch: int) -> tuple[int, ...]:
    """Batches to try on this device, of which the first is for a large one."""
    return timing.batches_for(timing.memory_of(jax.devices()[0]), batch)


def measure(context: Context, name: str, subjects: list[Subject]) -> None:
    """Adds a row for ours and one for torch, for each of the subjects."""
    kind = jax.devices()[0].device_kind
    table = context.table(
        name,
        COLUMNS,
        "Model FLOPs are three times those of a forward pass, two for each multiply-add of "
        f"convolutions and matrix products that models.summary counts. {peaks.said(kind)}",
    )
    flops = [3 * 2 * multiply_adds(subject) for subject in subjects]
    used = []
    for subject, of_image in zip(subjects, flops, strict=True):
        batch, calls = timing.of_largest(subject.batches, functools.partial(jax_step, subject))
        add_row(context, table, "jaxvision", subject, batch, of_image, calls)
        used.append(batch)
        del calls
    torch = context.torch(table, needs="torch" if subjects[0].masks else "torchvision")
    if torch is None:
        return
    from sections import peer

    for subject, of_image, batch in zip(subjects, flops, used, strict=True):
        make = functools.partial(peer.step, torch, subject, toy=context.toy)
        batch, calls = timing.of_largest((batch, batch // 2), make)
        add_row(context, table, contexts.torch_title(), subject, batch, of_image, calls)


def add_row(
    context: Context,
    table: Any,
    title: str,
    subject: Subject,
    batch: int,
    flops: float,
    calls: timing.Calls,
) -> None:
    """Measures a step and adds it to a table."""
    seconds = timing.seconds_per_call(calls, toy=context.toy)
    kind = jax.devices()[0].device_kind
    table.add(
        title,
        f"{subject.size}x{subject.size}",
        batch,
        1e3 * seconds,
        batch / seconds,
        batch * flops / seconds / 1e12,
        peaks.utilization(batch * flops, seconds, kind),
        calls.compile_seconds,
    )


def multiply_adds(subject: Subject) -> int:
    """Of a forward pass of one image."""
    return models.summary(subject.model, (subject.size, subject.size, 3), show=False).multiply_adds


def jax_step(subject: Subject, batch: int) -> timing.Calls:
    """A training step of ours."""
    given = random_batch(subject, batch)
    make = train.segmentation.make_loss_fn if subject.masks else train.classification.make_loss_fn
    step = train.make_train_step(make(subject.model), subject.optimizer)
    state = train.init_state(jax.random.key(0), subject.model, subject.optimizer, given)
    return timing.compiled(step, step.prepare(state), given)


def random_batch(subject: Subject, batch: int) -> dict[str, Any]:
    """Images of 8 bits with labels or masks."""
    random = np.random.default_rng(0)
    shape = (batch, subject.size, subject.size)
    images = random.integers(0, 256, (*shape, 3), np.uint8)
    if subject.masks:
        return {"image": images, "mask": random.integers(0, MASK_CLASSES, shape, np.int32)}
    return {"image": images, "label": random.integers(0, CLASSES, batch, np.int32)}


def torchvision() -> Any:
    """The package, which may be installed without its compiled operators."""
    sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests" / "fixtures"))
    from load_torchvision import load_torchvision

    return load_torchvision()


def of_torchvision(name: str) -> Any:
    """A model of torchvision."""
    return torchvision().models.get_model(name, weights=None, num_classes=CLASSES)


def vit_of_torch(toy: bool, size: int) -> Any:
    """ViT-B/16 of torchvision, or a tiny one."""
    if not toy:
        return of_torchvision("vit_b_16")
    return torchvision().models.VisionTransformer(size, 16, 2, 3, 192, 768, num_classes=CLASSES)


def unet_of_torch(channels: tuple[int, ...]) -> Any:
    """The same U-Net in torch."""
    from sections import peer

    return peer.unet(channels, MASK_CLASSES)


def torch_momentum(parameters: Any) -> Any:
    """SGD with momentum of torch."""
    import torch

    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def torch_adamw(parameters: Any) -> Any:
    """AdamW of torch."""
    import torch

    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-4)
