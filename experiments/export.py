"""Writes a trained model as a program that runs without this library.

    python experiments/export.py runs/lenet --out exported --dtype bfloat16
    python experiments/export.py runs/pets --image-size 480 640    # resized and cropped inside

The folder has model.stablehlo, the program with all its numbers, and model.json, which describes
it. With JAX and flatbuffers, three lines of Python load and call it on a CPU, a GPU or a TPU, for a
batch of any size.
"""

import dataclasses
from typing import Annotated, Literal

import tyro
from common import script

from jaxvision import train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an export."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder that the training left."""
    out: str | None = None
    """The folder to write into; None takes the folder `export` in that of the run."""
    step: int | None = None
    """Which checkpoint; None takes the newest."""
    best: bool = False
    """Take the checkpoint that was best in the evaluations, where the run kept it."""
    image_size: tuple[int, int] | None = None
    """Height and width of the images that the program takes, resizes and crops; None takes images
    of the size that the model sees."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the model computes in."""
    platforms: tuple[Literal["cpu", "cuda", "rocm", "tpu"], ...] = ("cpu", "cuda", "tpu")
    """Where the program may run."""


def main(settings: Settings) -> train.Exported:
    """Writes the program, and says what goes in, what comes out and how to load it."""
    if settings.best and settings.step is not None:
        raise SystemExit(f"--best and --step {settings.step} are two checkpoints: give one")
    train.start()
    with script.asking(), script.checking():
        exported = train.export(
            settings.run_dir,
            settings.out,
            step="best" if settings.best else settings.step,
            image_size=settings.image_size,
            dtype=settings.dtype,
            platforms=settings.platforms,
        )
    megabytes = exported.num_bytes / 1e6
    print(
        f"{exported.folder}: {megabytes:.2f} MB, computes in {exported.dtype}, runs on "
        f"{', '.join(exported.platforms)}"
    )
    for title, arrays in (("in", exported.inputs), ("out", exported.outputs)):
        print(*(f"  {title:3} {info}" for info in arrays), sep="\n")
    print(*exported.loading, sep="\n")
    return exported


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
