"""Writes a trained model as a program that runs without this library.

    python experiments/export.py runs/lenet --out exported --dtype bfloat16
    python experiments/export.py runs/pets --image-size 480 640    # resized and cropped inside

The folder has model.stablehlo, the program including all parameters, and model.json, which
describes its inputs and outputs. With JAX and flatbuffers, three lines of Python load and call it
on a CPU, a GPU or a TPU, for a batch of any size; the script prints these lines.
"""

import dataclasses
from typing import Annotated, Literal

from common import script
from common.places import run_folder

import tyro

from jaxvision import train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an export."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """Folder of a run, which a training script has written."""
    out: str | None = None
    """Folder to write to; None takes the folder export in the run folder."""
    step: int | None = None
    """Step of the checkpoint to use; None takes the newest checkpoint."""
    best: bool = False
    """Use the best checkpoint, which the run has kept if it was trained with --keep-best."""
    image_size: tuple[int, int] | None = None
    """Height and width, two numbers, of the input images, which the program resizes and crops
    itself. None makes a program for images that have the size of the model's input."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the computation."""
    platforms: tuple[Literal["cpu", "cuda", "rocm", "tpu"], ...] = ("cpu", "cuda", "tpu")
    """Platforms on which the program can run."""


def main(settings: Settings) -> train.Exported:
    """Writes the program; prints its inputs, its outputs and how to load it."""
    if settings.best and settings.step is not None:
        raise SystemExit(f"--best and --step {settings.step} are two checkpoints: give one")
    train.start()
    with script.asking(), script.checking():
        exported = train.export(
            run_folder(settings.run_dir),
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
