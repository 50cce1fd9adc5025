"""Applies a trained model to image files: prints classes, or writes masks or densities.

    python experiments/predict.py runs/lenet photo.png other.jpg
    python experiments/predict.py runs/lenet path/to/photos --out answers
    python experiments/predict.py runs/unet scan.png --out masks --tile 512 --views dihedral

An IMAGE may be a folder, which stands for all images in it and in its sub-folders. If one is, or if
--out is given, a classifier writes predictions.csv, a row per image with its most probable classes.

A segmenter processes images of any size in tiles. It writes a paletted PNG file with the classes of
each image into --out, and areas.json with the areas of the classes and of their connected
components.

A model of fixations, from experiments/fixations.py, processes whole images. It writes a gray PNG
file with the density of fixations of each image into --out, in which the largest density is white,
and densities.json with the places looked at most.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from common import script
from common.image_files import decoded, found, stems_of
from common.places import run_folder

import numpy as np
import tyro
from PIL import Image

from jaxvision import data, train
from jaxvision.files import write_csv, write_json


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Tiles of a segmenter."""

    tile: int | None = None
    """Segmenter: height and width of a tile, in pixels; None takes 512."""
    overlap: int | None = None
    """Segmenter: overlap of neighboring tiles, in pixels, where they are blended; None takes 64."""
    views: Literal["none", "horizontal_flip", "flips", "dihedral"] | None = None
    """Segmenter: transformed copies of each tile whose predictions are averaged: horizontal_flip,
    flips (horizontal and vertical) or dihedral (all flips and rotations by multiples of 90
    degrees). None and none use the tile alone."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a prediction."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """Folder of a run, which a training script has written."""
    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE...")]
    """Image files of any size, or folders of images. A classifier resizes and crops them like the
    images of its training; other models resize them if their training did."""
    top: int = 3
    """Classifier: number of most probable classes to print for each image."""
    out: str | None = None
    """Folder to write masks, densities or predictions.csv to; None takes the folder masks (of a
    segmenter), densities (of a model of fixations) or predictions (of a classifier) in the run
    folder."""
    tiling: Annotated[Tiling, script.FLAT] = dataclasses.field(default_factory=Tiling)
    step: int | None = None
    """Step of the checkpoint to use; None takes the newest checkpoint."""


def main(settings: Settings) -> int:
    """Prints a line for every image; returns the number of images that cannot be read."""
    if settings.top < 1:
        raise SystemExit(f"--top must be at least 1, got {settings.top}")
    if settings.out and _is_other_file(pathlib.Path(settings.out).expanduser()):
        raise SystemExit(f"--out {settings.out} is a file: name a folder")
    if not settings.images:
        start = script.command("predict", settings.run_dir)
        raise SystemExit(f"name at least one image, or a folder of images: {start} IMAGE...")
    train.start()
    trained = train.restore(run_folder(settings.run_dir), step=settings.step)
    if trained.preprocessing is None:
        raise SystemExit(f"{settings.run_dir} is not a run on images")
    channels = trained.record.data["image_shape"][2]
    given = {name: x for name, x in vars(settings.tiling).items() if x is not None}
    paths = found(settings.images)
    names: list[str] = []
    pictures = Pictures(settings, paths)
    rows: list[list[Any]] = []
    with script.asking(), script.checking(), pictures:
        images = decoded(paths, channels, names)
        for number, answer in enumerate(trained.answers(images, top=settings.top, **given)):
            print(f"{names[number]}: {answer.words}")
            if answer.mask is not None or answer.density is not None:
                pictures.write(names[number], answer)
            elif "classes" in answer.content:
                pairs = zip(*(answer.content[key] for key in COLUMNS.values()), strict=True)
                rows.append([names[number], *(_short(cell) for pair in pairs for cell in pair)])
    if rows and (settings.out or any(pathlib.Path(each).is_dir() for each in settings.images)):
        write_table(settings, rows)
    return len(paths) - len(names)


def _is_other_file(path: pathlib.Path) -> bool:
    """Whether a path is a file other than a table, which may be written again."""
    return path.is_file() and path.suffix.lower() != ".csv"


def _short(cell: Any) -> Any:
    return round(cell, 6) if isinstance(cell, float) else cell


COLUMNS = {"class": "classes", "probability": "probabilities"}
"""Columns of the table of predictions, and their names in an answer."""


def write_table(settings: Settings, rows: Sequence[Sequence[Any]]) -> None:
    """Writes predictions.csv."""
    path = pathlib.Path(settings.out or pathlib.Path(settings.run_dir, "predictions")).expanduser()
    if path.suffix.lower() != ".csv":
        path = path / "predictions.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ["file", *COLUMNS]
    for number in range(2, len(rows[0]) // 2 + 1):
        header += [f"{name}_{number}" for name in COLUMNS]
    write_csv(path, header, rows)
    print(path)


class Pictures:
    """Writer of masks or densities, and at the end of areas.json or densities.json."""

    def __init__(self, settings: Settings, paths: Sequence[str]) -> None:
        self.settings = settings
        self.tables: dict[pathlib.Path, dict[str, Any]] = {}
        self.stems = stems_of(paths)

    def __enter__(self) -> "Pictures":
        return self

    def __exit__(self, *_: object) -> None:
        for path, table in self.tables.items():
            write_json(path, table)
            print(path)

    def write(self, name: str, answer: train.Answer) -> None:
        """Writes a picture, named after its image."""
        kind, table = ("density", "densities") if answer.mask is None else ("mask", "areas")
        usual = pathlib.Path(self.settings.run_dir, "masks" if kind == "mask" else "densities")
        folder = pathlib.Path(self.settings.out or usual).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.stems[name]}.png"
        if answer.mask is not None:
            data.write_mask(path, answer.mask)
        elif answer.density is not None:
            gray = np.round(answer.density * (255 / answer.density.max())).astype(np.uint8)
            Image.fromarray(gray).save(path)
        rows = self.tables.setdefault(folder / f"{table}.json", {})
        rows[name] = {kind: path.name, **answer.content}
        print(f"  {path}")


if __name__ == "__main__":
    sys.exit(1 if script.start(main, Settings, __doc__) else 0)
