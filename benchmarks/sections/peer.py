"""Steps of torch.compile: autocast to bfloat16, channels last, on the GPU where there is one."""

import time
from typing import Any

import numpy as np
import torch

from sections.timing import Calls


def device() -> str:
    """Where torch computes."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    """Returns when all that was begun is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compiled(function: Any, toy: bool) -> Any:
    """Compiles a function; for toys without generating code, which takes minutes on a CPU."""
    return torch.compile(function, backend="aot_eager" if toy else "inductor")


def begun(call: Any) -> Calls:
    """A step that has run twice, with the seconds that this took: compilation among them."""
    began = time.perf_counter()
    for _ in range(2):
        call()
    wait()
    return Calls(call, wait, time.perf_counter() - began)


def step(module: Any, subject: Any, batch: int, *, toy: bool) -> Calls:
    """A training step of the network of a subject; see `sections.images`."""
    from sections.images import random_batch

    del module
    given = random_batch(subject, batch)
    images, labels = placed(given["image"]), torch.from_numpy(
        given["mask" if subject.masks else "label"].astype(np.int64)
    ).to(device())  # fmt: skip
    network = subject.network().to(device(), memory_format=torch.channels_last).train()
    optimizer = subject.torch_optimizer(network.parameters())

    def loss_of(images: Any, labels: Any) -> Any:
        with torch.autocast(device(), torch.bfloat16):
            logits = network(images.float() / 255)
        return torch.nn.functional.cross_entropy(logits.float(), labels)

    loss_fn = compiled(loss_of, toy)

    def call() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_fn(images, labels).backward()
        optimizer.step()

    return begun(call)


def placed(images: np.ndarray) -> Any:
    """Images of 8 bits on the device, channels last in memory."""
    moved = torch.from_numpy(images).permute(0, 3, 1, 2)
    return moved.to(device()).contiguous(memory_format=torch.channels_last)


def unet(channels: tuple[int, ...], num_classes: int) -> Any:
    """U-Net with padding and normalization."""
    return UNet(channels, num_classes)


def twice(before: int, after: int) -> Any:
    """Two convolutions, each with normalization and ReLU."""
    layers: list[Any] = []
    for inputs in (before, after):
        layers += [torch.nn.Conv2d(inputs, after, 3, padding=1, bias=False)]
        layers += [torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers)


class UNet(torch.nn.Module):
    """The network."""

    def __init__(self, channels: tuple[int, ...], num_classes: int) -> None:
        """Makes its layers."""
        super().__init__()
        layers = torch.nn
        pairs = [*zip(channels[1:], channels, strict=False)]
        self.down = layers.ModuleList(map(twice, (3, *channels), channels))
        self.enlarge = layers.ModuleList(
            layers.ConvTranspose2d(coarse, fine, 2, 2) for coarse, fine in pairs
        )
        self.up = layers.ModuleList(twice(2 * fine, fine) for _, fine in pairs)
        self.head = layers.Conv2d(channels[0], num_classes, 1)

    def forward(self, x: Any) -> Any:
        """Computes the logits of each pixel."""
        skips = []
        for scale, convolve in enumerate(self.down):
            x = convolve(x if scale == 0 else torch.nn.functional.max_pool2d(x, 2))
            skips.append(x)
        for scale in reversed(range(len(self.up))):
            x = torch.cat([skips[scale], self.enlarge[scale](x)], 1)
            x = self.up[scale](x)
        return self.head(x)
