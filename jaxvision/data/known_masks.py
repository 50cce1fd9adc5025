"""Renames fields and classes of TFDS segmentation data sets to those of this library."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from jaxvision._labels import IGNORED
from jaxvision.data.fields import Field, Fields
from jaxvision.data.source import Example, Source


@dataclasses.dataclass(frozen=True)
class KnownMasks:
    """Fields and classes of a segmentation data set of TFDS.

    Attributes:
        image: Name of the image field in TFDS.
        mask: Name of the mask field in TFDS.
        names: Class names.
        classes: Class of each value in TFDS's masks; other values become 255 (unlabeled).
    """

    image: str
    mask: str
    names: tuple[str, ...]
    classes: Mapping[int, int]


@dataclasses.dataclass(frozen=True)
class Relabeled:
    """Examples whose image and mask are renamed to `image` and `mask`, with new class indices."""

    source: Source
    known: KnownMasks

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = {_renamed(name, self.known): value for name, value in self.source[index].items()}
        table = np.full(256, IGNORED, np.uint8)
        table[[*self.known.classes]] = [*self.known.classes.values()]
        return {**example, "mask": table[example["mask"]]}


def relabeled(source: Source, fields: Fields, name: str) -> tuple[Source, Fields]:
    """Renames the image and mask of data sets in `KNOWN` that have masks; translates classes."""
    known = KNOWN.get(name)
    if known is None or known.mask not in fields:
        return source, fields
    renamed = {_renamed(name, known): field for name, field in fields.items()}
    return Relabeled(source, known), {**renamed, "mask": Field("mask", known.names)}


def _renamed(name: str, known: KnownMasks) -> str:
    return {known.image: "image", known.mask: "mask"}.get(name, name)


_CITYSCAPES = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""The 19 classes that the benchmark evaluates, with their values in `labelIds` files."""

KNOWN: Mapping[str, KnownMasks] = {
    "cityscapes": KnownMasks(
        "image_left",
        "segmentation_label",
        tuple(_CITYSCAPES),
        {value: number for number, value in enumerate(_CITYSCAPES.values())},
    ),
    # 0 is neither road nor obstacle, 1 the free road, and each other value a kind of obstacle.
    "lost_and_found": KnownMasks(
        "image_left",
        "segmentation_label",
        ("road", "obstacle"),
        {1: 0, **dict.fromkeys(range(2, 44), 1)},
    ),
    # 1 is the animal, 2 the background, and 3 the border, which is not classified.
    "oxford_iiit_pet": KnownMasks(
        "image", "segmentation_mask", ("background", "pet"), {1: 1, 2: 0}
    ),
}
"""Fields and classes by the name of the data set."""
