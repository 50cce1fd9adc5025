"""Says what a trained model makes of image files, and writes the masks of those that segment.

    python experiments/predict.py runs/lenet photo.png other.jpg
    python experiments/predict.py runs/unet scan.png --out masks --tile 512 --views dihedral

A segmenter takes images of any size, tile by tile, and writes for each a PNG with a palette of
classes into --out, and areas.json with the areas of the classes and of their components.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from common import script
from common.places import run_folder

from jaxvision import data, train
from jaxvision.files import file_name, write_json


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How a segmenter goes over an image."""

    tile: int | None = None
    """Height and width of the tiles that are computed at once; None takes 512 pixels."""
    overlap: int | None = None
    """Pixels that two tiles share, where they are blended; None takes 64."""
    views: Literal["none", "horizontal_flip", "flips", "dihedral"] | None = None
    """Flips and rotations of every tile to average over; None takes it as it is."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a prediction."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder that the training left."""
    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE...")]
    """Image files, of any size: they are resized (and for a classifier cropped) as the run's own
    were."""
    top: int = 3
    """How many classes to show."""
    out: str | None = None
    """Where a segmenter writes its masks; None takes the folder `masks` in that of the run."""
    tiling: Annotated[Tiling, script.FLAT] = dataclasses.field(default_factory=Tiling)
    step: int | None = None
    """Which checkpoint; None takes the newest."""


def main(settings: Settings) -> int:
    """Prints a line for every image; counts those that cannot be read."""
    if settings.top < 1:
        raise SystemExit(f"--top must be at least 1, got {settings.top}")
    if not settings.images:
        raise SystemExit("name at least one image: predict.py RUN_DIR IMAGE...")
    train.start()
    trained = train.restore(run_folder(settings.run_dir), step=settings.step)
    if trained.preprocessing is None:
        raise SystemExit(f"{settings.run_dir} is not a run on images")
    channels = trained.record.data["image_shape"][2]
    given = {name: x for name, x in vars(settings.tiling).items() if x is not None}
    names: list[str] = []
    masks = Masks(settings)
    with script.asking(), script.checking(), masks:
        images = decoded(settings.images, channels, names)
        for number, answer in enumerate(trained.answers(images, top=settings.top, **given)):
            print(f"{names[number]}: {answer.words}")
            if answer.mask is not None:
                masks.write(names[number], answer.mask, answer.content)
    return len(settings.images) - len(names)


def decoded(paths: tuple[str, ...], channels: int, names: list[str]) -> Iterator[np.ndarray]:
    """The images that can be read, whose names are appended; of the others, it says why not."""
    for path in paths:
        try:
            image = data.decode_image(pathlib.Path(path), channels=channels)
        except (OSError, data.CorruptImageError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            continue
        names.append(path)
        yield image


class Masks:
    """The files that a segmenter leaves: a mask of each image, and in the end their areas."""

    def __init__(self, settings: Settings) -> None:
        out = settings.out or pathlib.Path(settings.run_dir, "masks")
        self.folder = pathlib.Path(out).expanduser()
        self.areas: dict[str, Any] = {}
        stems = [pathlib.Path(path).stem for path in settings.images]
        self.several = {stem for stem in stems if stems.count(stem) > 1}

    def __enter__(self) -> "Masks":
        return self

    def __exit__(self, *_: object) -> None:
        if self.areas:
            write_json(self.folder / "areas.json", self.areas)
            print(self.folder / "areas.json")

    def write(self, name: str, mask: np.ndarray, content: Mapping[str, Any]) -> None:
        """Writes a mask, named as its image; where images share a name, with their folders."""
        image = pathlib.Path(name)
        stem = image.stem
        if stem in self.several:
            stem = file_name(str(image.with_suffix("")))
        path = self.folder / f"{stem}.png"
        self.folder.mkdir(parents=True, exist_ok=True)
        data.write_mask(path, mask)
        self.areas[name] = {"mask": path.name, **content}
        print(f"  {path}")


if __name__ == "__main__":
    sys.exit(1 if script.start(main, Settings, __doc__) else 0)
