"""Says what a trained model makes of image files, and writes the masks of those that segment.

    python experiments/predict.py runs/lenet photo.png other.jpg
    python experiments/predict.py runs/lenet path/to/photos --out answers
    python experiments/predict.py runs/unet scan.png --out masks --tile 512 --views dihedral

A folder stands for all images in it and in its folders. With a folder, or with --out, a classifier
writes predictions.csv: a row per image, with its most probable classes.

A segmenter takes images of any size, tile by tile, and writes for each a PNG with a palette of
classes into --out, and areas.json with the areas of the classes and of their components.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from common import script
from common.places import run_folder

from jaxvision import data, train
from jaxvision.files import file_name, write_csv, write_json


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
    """Image files of any size, and folders of them: they are resized (and for a classifier cropped)
    as the run's own were."""
    top: int = 3
    """How many classes to show."""
    out: str | None = None
    """The folder that a segmenter writes its masks to, or a classifier its predictions.csv; None
    takes the folder `masks`, or `predictions`, in that of the run."""
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
    paths = found(settings.images)
    names: list[str] = []
    masks = Masks(settings, paths)
    rows: list[list[Any]] = []
    with script.asking(), script.checking(), masks:
        images = decoded(paths, channels, names)
        for number, answer in enumerate(trained.answers(images, top=settings.top, **given)):
            print(f"{names[number]}: {answer.words}")
            if answer.mask is not None:
                masks.write(names[number], answer.mask, answer.content)
            elif "classes" in answer.content:
                pairs = zip(*(answer.content[key] for key in COLUMNS.values()), strict=True)
                rows.append([names[number], *(_short(cell) for pair in pairs for cell in pair)])
    if rows and (settings.out or any(pathlib.Path(each).is_dir() for each in settings.images)):
        write_table(settings, rows)
    return len(paths) - len(names)


def _short(cell: Any) -> Any:
    return round(cell, 6) if isinstance(cell, float) else cell


COLUMNS = {"class": "classes", "probability": "probabilities"}
"""Columns of a table of predictions, and where an answer has them."""


def write_table(settings: Settings, rows: Sequence[Sequence[Any]]) -> None:
    """Writes a row per image: its file, and its most probable classes with their probabilities."""
    path = pathlib.Path(settings.out or pathlib.Path(settings.run_dir, "predictions")).expanduser()
    if path.suffix.lower() != ".csv":
        path = path / "predictions.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ["file", *COLUMNS]
    for number in range(2, len(rows[0]) // 2 + 1):
        header += [f"{name}_{number}" for name in COLUMNS]
    write_csv(path, header, rows)
    print(path)


def found(given: Sequence[str]) -> list[str]:
    """The image files that are named, and those in folders that are."""
    paths: list[str] = []
    for name in given:
        place = pathlib.Path(name).expanduser()
        images = [str(path) for path in data.find_images(place)] if place.is_dir() else [name]
        if not images:
            raise SystemExit(f"{name} holds no images, which have suffixes such as .png and .jpg")
        paths += images
    return paths


def decoded(paths: Sequence[str], channels: int, names: list[str]) -> Iterator[np.ndarray]:
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

    def __init__(self, settings: Settings, paths: Sequence[str]) -> None:
        out = settings.out or pathlib.Path(settings.run_dir, "masks")
        self.folder = pathlib.Path(out).expanduser()
        self.areas: dict[str, Any] = {}
        stems = [pathlib.Path(path).stem for path in paths]
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
