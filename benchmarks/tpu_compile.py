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
import datetime
import functools
import importlib.metadata
import sys

import jax
import planned_steps as steps
import tyro

from jaxvision import rl, train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the benchmark."""

    topology: str = "v5e:2x4"
    """The slice that steps are compiled for, but for those of one chip."""
    chip: str = "v5e:1x1"
    """The slice of one chip."""
    only: tuple[str, ...] = ()
    """Beginnings of the names of steps; none for all."""


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
    "MobileNetV2 bfloat16 224x224, 1,024": functools.partial(RESNET, name="mobilenet_v2"),
    "ResNet-50 bfloat16 224x224, 1,024": RESNET,
    "ResNet-50 bfloat16 224x224, 1,024, FSDP": functools.partial(RESNET, shard=train.fsdp()),
    "ResNeXt-50 bfloat16 224x224, 1,024": functools.partial(RESNET, name="resnext50_32x4d"),
    "ResNet-50 bfloat16 224x224, 1,024, pmap": functools.partial(RESNET, strategy="pmap"),
}
"""What is compiled; the number at the end of a name is that of images in a batch of all chips."""


def main(settings: Settings) -> None:
    """Prints the table."""
    jax.config.update("jax_platforms", "cpu")  # where there is a TPU, others may be using it
    try:
        meshes = {
            topology: train.planning.tpu_mesh(topology)
            for topology in (settings.topology, settings.chip)
        }
    except (ImportError, ValueError) as error:
        sys.exit(str(error))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "libtpu"))
    print(f"{settings.topology}, {versions}, {datetime.date.today()}")
    print(train.planning.titles(), flush=True)
    for name, make in STEPS.items():
        if settings.only and not name.startswith(settings.only):
            continue
        mesh = meshes[settings.chip if name.endswith("one chip") else settings.topology]
        try:
            line = train.planning.row(name, train.planning.plan(*make(mesh)))
        except Exception as error:  # the others are to be compiled nevertheless
            line = f"{name:44}  {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        print(line, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
