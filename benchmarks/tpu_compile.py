"""Compiles the steps of all tasks and agents for TPUs, on a machine that need not have any.

    pip install ".[tpu]"
    python benchmarks/tpu_compile.py
    python benchmarks/tpu_compile.py --only LeNet --topology v6e:2x4

Nothing runs. A line has what the compiler and its program tell of a step: MiB of memory on each
chip (arguments, which are the state and the batch; outputs that are not written over them;
temporaries; all with the program itself) and whether they fit; GFLOP; MiB that are read from memory
and written there, and that are sent to other chips; the least time that this takes a chip at its
peak, and what bounds it; seconds to trace and compile; and the collectives, how many and of how
many MiB. All but the last two are per chip. Images have 8 bits and three channels, where nothing
else is said.
"""

import dataclasses
import functools
import math
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import planned_steps as steps
from tables import Cell, Common, Table, launch

from jaxvision import rl, train


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the benchmark."""

    topology: str = "v5e:2x4"
    """The slice that steps are compiled for, but for those of one chip."""
    chip: str = "v5e:1x1"
    """The slice of one chip."""
    only: tuple[str, ...] = ()
    """Beginnings of the names of steps; none for all."""

    TOY: ClassVar[Mapping[str, Any]] = {"only": ("LeNet-5 gray 32x32, 1,024, pmap",)}


LENET = functools.partial(steps.classifier, name="lenet5", count=1024, size=32, channels=1)
RESNET = functools.partial(
    steps.classifier, name="resnet50", count=1024, size=224, dtype="bfloat16"
)
PPO = functools.partial(steps.actor_critic, rl.PPO, "CartPole-v1", 1024)
PONG = functools.partial(steps.actor_critic, rl.PPO, "Pong", 64, conv=True, updates_per_step=1)
REINFORCE = functools.partial(steps.actor_critic, rl.Reinforce, "CartPole-v1", 64, max_steps=500)

STEPS: dict[str, steps.Make] = {
    "LeNet-5 gray 32x32, 1,024": LENET,
    "LeNet-5 gray 32x32, 1,024, pmap": functools.partial(LENET, strategy="pmap"),
    "multitask LeNet-5 gray 32x32, 1,024": functools.partial(steps.multitask, count=1024, size=32),
    "autoencoder, denoising 64x64, 512": functools.partial(steps.autoencoder, count=512, size=64),
    "VAE 64x64, 512": functools.partial(steps.vae, count=512, size=64),
    "VAE 64x64, 512, pmap": functools.partial(steps.vae, count=512, size=64, strategy="pmap"),
    "DCGAN 64x64, 512": functools.partial(
        steps.dcgan, count=512, size=64, channels=(512, 256, 128, 64)
    ),
    "DCGAN 64x64, 512, pmap": functools.partial(
        steps.dcgan, count=512, size=64, channels=(512, 256, 128, 64), strategy="pmap"
    ),
    "PPO CartPole, 1,024 at once, 10 rollouts": functools.partial(steps.agent, make=PPO),
    "PPO Pong of 2 frames, 64 at once, 1 rollout": functools.partial(steps.agent, make=PONG),
    "A2C CartPole, 1,024 at once": functools.partial(
        steps.agent, make=functools.partial(steps.actor_critic, rl.A2C, "CartPole-v1", 1024)
    ),
    "REINFORCE CartPole, 64 at once": functools.partial(steps.agent, make=REINFORCE),
    "DQN C51, priorities, 16 at once, 500 updates": functools.partial(
        steps.agent,
        make=functools.partial(
            steps.q_learner, 16, capacity=65_536, train_every=16, updates_per_step=500
        ),
    ),
    "PQN CartPole, 256 at once, 10 rollouts": functools.partial(
        steps.agent,
        make=functools.partial(steps.rollout_q_learner, 256, updates_per_step=10),
    ),
    "t-SNE of 10,000 points, all pairs, one chip": functools.partial(
        steps.tsne, count=10_000, method="exact"
    ),
    "t-SNE of 10,000 points, on a mesh, one chip": functools.partial(
        steps.tsne, count=10_000, method="mesh"
    ),
    "U-Net ResNet-34 bfloat16 256x256, 128": functools.partial(
        steps.segmenter, count=128, size=256
    ),
    "fixations, U-Net ResNet-34 bfloat16 256x256, 128": functools.partial(
        steps.fixations, count=128, size=256
    ),
    "MobileNetV2 bfloat16 224x224, 1,024": functools.partial(RESNET, name="mobilenet_v2"),
    "ResNet-50 bfloat16 224x224, 1,024": RESNET,
    "ResNet-50 bfloat16 224x224, 1,024, FSDP": functools.partial(RESNET, shard=train.fsdp()),
    "ResNeXt-50 bfloat16 224x224, 1,024": functools.partial(RESNET, name="resnext50_32x4d"),
    "ResNet-50 bfloat16 224x224, 1,024, pmap": functools.partial(RESNET, strategy="pmap"),
}
"""What is compiled; the number at the end of a name is that of images in a batch of all chips."""


COLUMNS = {
    "program": "",
    "chips": "d",
    **dict.fromkeys(("arguments", "outputs", "temporaries", "total"), ",.1f"),
    "fits": "",
    "GFLOP": ",.1f",
    **dict.fromkeys(("traffic", "sent"), ",.1f"),
    "least ms": ".3f",
    "bound": "",
    "compile s": ".0f",
    "collectives (count: MiB)": "",
}


def main(settings: Settings) -> list[Table]:
    """Compiles every step."""
    jax.config.update("jax_platforms", "cpu")  # where there is a TPU, others may be using it
    try:
        meshes = {
            topology: train.planning.tpu_mesh(topology)
            for topology in (settings.topology, settings.chip)
        }
    except (ImportError, ValueError) as error:
        sys.exit(str(error))
    table = Table("programs", COLUMNS, f"Compiled for {settings.topology} and {settings.chip}.")
    for name, make in STEPS.items():
        if settings.only and not name.startswith(settings.only):
            continue
        mesh = meshes[settings.chip if name.endswith("one chip") else settings.topology]
        try:
            cells = cells_of(train.planning.plan(*make(mesh)))
        except Exception as error:  # the others are to be compiled nevertheless
            said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            cells = [*[None] * (len(COLUMNS) - 2), said]
        table.add(name, *cells)
    return [table]


def cells_of(plan: train.planning.Plan) -> list[Cell]:
    """A row of the table, but for the name."""
    memory, roofline = plan.memory, plan.roofline
    needed = {True: "yes", False: "no", None: None}[plan.fits]
    if memory is None:
        sizes = [math.fsum(plan.parts.values()), math.nan, plan.temporaries, plan.needed]
        cells: list[Cell] = [*mib(*sizes), needed, *[None] * 5, plan.compile_seconds]
        return [plan.devices, *cells, "refused by the compiler"]
    exchanged = [
        f"{each.kind} {each.count}: {each.bytes / 2**20:,.3g}" for each in plan.collectives
    ]
    if plan.open_loops:
        exchanged.append(f"{plan.open_loops} loops of unknown length count once")
    sizes = [memory.arguments, memory.outputs - memory.shared, memory.temporaries, memory.total]
    sent = math.fsum(each.sent for each in plan.collectives)
    bounds: list[Cell] = [1e3 * roofline.seconds, roofline.bound] if roofline else [None, None]
    return [
        plan.devices, *mib(*sizes), needed, plan.flop / 1e9, *mib(plan.traffic, sent), *bounds,
        plan.compile_seconds, ", ".join(exchanged),
    ]  # fmt: skip


def mib(*sizes: float) -> list[float]:
    """Bytes in MiB."""
    return [size / 2**20 for size in sizes]


if __name__ == "__main__":
    launch("tpu_compile", main, Settings, __doc__, peers=("libtpu",))
