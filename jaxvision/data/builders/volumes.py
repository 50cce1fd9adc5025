"""TFDS builder of rendered volumes of balls and tubes; it needs no network."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from jaxvision import checks
from jaxvision.data.builders.archives import png
from jaxvision.data.builders.configs import MadeConfig, split_generators
from jaxvision.data.builders.scenes import BACKGROUND, Draws
from jaxvision.data.builders.solids import SOLIDS, render_solids

_DESCRIPTION = """
Rendered volumes: balls and curved tubes of many sizes, which do not touch. They are brighter or
darker than the tissue around them, each by a contrast of its own, and lie among thin plates and
specks, which are background and have the same intensities. All of it is multiplied by a smooth bias
field and is noisy.

Each volume has its image, a class per voxel (0 is the background), and a label: the class of the
two of which there are more voxels.

A volume is a function of the seed, the split and its index, the same on every machine.
"""


@dataclasses.dataclass(kw_only=True)
class VolumesConfig(MadeConfig):
    """Settings of the data set `volumes`.

    Attributes:
        name: Name of the configuration: its settings that differ from the defaults.
        size: Depth, height and width of the volumes, in voxels.
        num_volumes: Numbers of volumes for training, validation and test.
        num_balls: Least and largest number of balls in a volume.
        num_tubes: Least and largest number of tubes.
        num_plates: Least and largest number of plates, which are background.
        noise: Least and largest deviation of the noise, for values from 0 to 1.
        seed: Seed of the volumes.

    Raises:
        ValueError: A number is out of range, or a least value exceeds the largest.

    >>> VolumesConfig(size=(24, 32, 40), num_volumes=(8, 2, 2)).name
    'size24-32-40_volumes8-2-2'
    """

    size: tuple[int, int, int] = (32, 32, 32)
    num_volumes: tuple[int, int, int] = (160, 20, 40)
    num_balls: tuple[int, int] = (1, 4)
    num_tubes: tuple[int, int] = (1, 3)
    num_plates: tuple[int, int] = (1, 3)
    noise: tuple[int | float, int | float] = (0.02, 0.08)
    seed: int = 0

    def __post_init__(self) -> None:
        for length in self.size:
            checks.check_count("size", length, of="voxels", least=16)
        for count in self.num_volumes:
            checks.check_count("num_volumes", count, of="volumes", least=0)
        for share in self.noise:
            checks.check_share("noise", share)
        checks.check_count("seed", self.seed, least=0)
        for name, least in (("num_balls", 1), ("num_tubes", 1), ("num_plates", 0)):
            for count in getattr(self, name):
                checks.check_count(name, count, of="objects", least=least)
        for name in ("num_balls", "num_tubes", "num_plates", "noise"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (least, largest), got ({low}, {high})")
        super().__post_init__()


class Volumes(tfds.core.GeneratorBasedBuilder):
    """The data set `volumes`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 (TFDS reads it off the class)
    BUILDER_CONFIGS: ClassVar[list[VolumesConfig]] = [
        VolumesConfig(description="32x32x32 voxels, a ball to four and a tube to three")
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        depth, *plane = self.builder_config.size
        slices = {"shape": (*plane, 1), "encoding_format": "png"}
        mask = tfds.features.LabeledImage(labels=[BACKGROUND, *SOLIDS], **slices)
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Sequence(tfds.features.Image(**slices), length=depth),
                    "label": tfds.features.ClassLabel(names=SOLIDS),
                    "mask": tfds.features.Sequence(mask, length=depth),
                }
            ),
            supervised_keys=("image", "mask"),
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager
        return split_generators(self.builder_config.num_volumes, self._generate_examples)

    def _generate_examples(self, split: int, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        how = self.builder_config
        for index in range(count):
            solids = render_solids(
                Draws.of_example(how.seed, split, index),
                how.size,
                num_balls=how.num_balls,
                num_tubes=how.num_tubes,
                num_plates=how.num_plates,
                noise=how.noise,
            )
            yield (
                index,
                {
                    "image": [png(plane) for plane in solids.volume],
                    "label": solids.main,
                    "mask": [png(plane) for plane in solids.classes],
                },
            )
