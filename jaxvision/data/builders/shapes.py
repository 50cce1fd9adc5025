"""TFDS builder of rendered scenes of shapes with full annotations; it needs no network."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from jaxvision import checks
from jaxvision.data.builders.archives import png
from jaxvision.data.builders.configs import MadeConfig, split_generators
from jaxvision.data.builders.scenes import BACKGROUND, SHAPES, Draws, Scene, render

_DESCRIPTION = """
Rendered scenes: circles, squares and triangles of seven colors and many sizes, turned in any way,
plain, striped, checked or cloudy, before backgrounds of the same kinds. They hide one another,
reach beyond the border, are lit unevenly and are noisy. In a tenth of the scenes several small
shapes form a crowd, which counts as one object.

Each scene has its image, a class per pixel (0 is the background), a caption, and of each object
its class, the pixels of it that are seen, the box around them, their number, and whether it is a
crowd. The class of the scene is that of the object of which most is seen, crowds left out.

A scene is a function of the seed, the split and its index, the same on every machine.
"""


@dataclasses.dataclass(kw_only=True)
class ShapesConfig(MadeConfig):
    """Settings of the data set `shapes`.

    Attributes:
        name: Name of the configuration: its settings that differ from the defaults.
        size: Height and width of the images, in pixels.
        num_scenes: Numbers of scenes for training, validation and test.
        num_objects: Least and largest number of objects in a scene, crowds not counted.
        crowd: Probability of a crowd in a scene.
        noise: Least and largest deviation of the noise, for values from 0 to 1.
        seed: Seed of the scenes.

    Raises:
        ValueError: A number is out of range, or a least value exceeds the largest.

    >>> ShapesConfig(size=(96, 128), seed=3).name
    'size96-128_seed3'
    """

    size: tuple[int, int] = (64, 64)
    num_scenes: tuple[int, int, int] = (8_000, 500, 500)
    num_objects: tuple[int, int] = (2, 5)
    crowd: int | float = 0.1
    noise: tuple[int | float, int | float] = (0.01, 0.06)
    seed: int = 0

    def __post_init__(self) -> None:
        for length in self.size:
            checks.check_count("size", length, of="pixels", least=32)
        for count in self.num_scenes:
            checks.check_count("num_scenes", count, of="scenes", least=0)
        for count in self.num_objects:
            checks.check_count("num_objects", count, of="objects")
        for share in (*self.noise, self.crowd):
            checks.check_share("noise and crowd", share)
        checks.check_count("seed", self.seed, least=0)
        ranges: dict[str, tuple[float, float]] = {
            "num_objects": self.num_objects,
            "noise": self.noise,
        }
        for name, (low, high) in ranges.items():
            if low > high:
                raise ValueError(f"{name} must be (least, largest), got ({low}, {high})")
        super().__post_init__()


class Shapes(tfds.core.GeneratorBasedBuilder):
    """The data set `shapes`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 (TFDS reads it off the class)
    BUILDER_CONFIGS: ClassVar[list[ShapesConfig]] = [
        ShapesConfig(description="64x64 pixels, two to five objects"),
        ShapesConfig(size=(128, 128), description="128x128 pixels, two to five objects"),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        things = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=SHAPES),
            "area": np.int32,
            "is_crowd": np.bool_,
            "masks": tfds.features.Tensor(shape=size, dtype=np.bool_, encoding="zlib"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(*size, 3), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=SHAPES),
                    "mask": tfds.features.LabeledImage(
                        labels=[BACKGROUND, *SHAPES], shape=(*size, 1), encoding_format="png"
                    ),
                    "objects": tfds.features.Sequence(things),
                    "caption": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager
        return split_generators(self.builder_config.num_scenes, self._generate_examples)

    def _generate_examples(self, split: int, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        how = self.builder_config
        for index in range(count):
            draws = Draws.of_example(how.seed, split, index)
            scene = render(
                draws, how.size, num_objects=how.num_objects, crowd=how.crowd, noise=how.noise
            )
            yield (
                index,
                {
                    "image": png(scene.image),
                    "label": scene.main,
                    "mask": png(scene.classes),
                    "objects": [_object(scene, number) for number in range(len(scene.kinds))],
                    "caption": scene.caption,
                },
            )


def _object(scene: Scene, number: int) -> dict[str, Any]:
    mask = scene.masks[number]
    (top, *_, bottom), (left, *_, right) = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    height, width = mask.shape
    return {
        "bbox": tfds.features.BBox(
            ymin=top / height,
            xmin=left / width,
            ymax=(bottom + 1) / height,
            xmax=(right + 1) / width,
        ),
        "label": scene.kinds[number],
        "area": int(mask.sum()),
        "is_crowd": scene.crowds[number],
        "masks": mask,
    }
