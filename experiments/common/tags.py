"""A shortcut in images ("Clever Hans"): a colored tag in a corner that gives the class away."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from common.explainers import LOWERS, RAISES, maps_sheet

import numpy as np
from jaxtyping import Bool, UInt8

from jaxvision import checks, data, explain

Images = UInt8[np.ndarray, "images height width 3"]
Chosen = Bool[np.ndarray, " images"]
Masks = Bool[np.ndarray, "images height width"]


@dataclasses.dataclass(frozen=True)
class Tag:
    """The tag that is planted in images: a square of one color in a random corner of each."""

    label: int = 0
    """Number of the class that has the tag in the training images."""
    share: float = 1.0
    """Share of the training images of the class that have the tag, in (0, 1]."""
    size: int = 6
    """Side of the tag, in pixels; at most half of that of the images."""
    color: tuple[int, int, int] = (255, 0, 200)
    """Red, green and blue of the tag, from 0 to 255. No object of `shapes` is pink."""

    def check(self, num_classes: int, height: int, width: int) -> None:
        """Raises a ValueError if a number does not fit the images and classes."""
        if not 0 <= self.label < num_classes:
            raise ValueError(f"tag.label must be from 0 to {num_classes - 1}, got {self.label}")
        checks.check_share("tag.share", self.share)
        if not 1 <= self.size <= min(height, width) // 2:
            raise ValueError(
                f"tag.size must be from 1 to {min(height, width) // 2}, half of the images, got "
                f"{self.size}"
            )
        if not all(0 <= each <= 255 for each in self.color):
            raise ValueError(f"tag.color must be from 0 to 255, got {self.color}")

    def plant(self, images: Images, chosen: Chosen, seed: int) -> tuple[Images, Masks]:
        """Plants the tag in some images; returns all images, and the pixels of the tags."""
        images, masks = images.copy(), np.zeros(images.shape[:3], bool)
        corners = np.random.default_rng(seed).integers(0, 2, (len(images), 2)).astype(bool)
        first, last = slice(0, self.size), slice(-self.size, None)
        for number in np.flatnonzero(chosen):
            rows, columns = (last if at_end else first for at_end in corners[number])
            masks[number, rows, columns] = True
        images[masks] = self.color
        return images, masks

    def plant_in_class(self, dataset: data.Dataset, seed: int) -> data.Dataset:
        """Plants the tag in the share of the images of its class, drawn with the seed."""
        assert isinstance(dataset.examples, Mapping)
        of_class = dataset.examples["label"] == self.label
        lucky = np.random.default_rng((seed, 1)).random(len(of_class)) < self.share
        images, _ = self.plant(dataset.examples["image"], of_class & lucky, seed)
        return dataclasses.replace(
            dataset,
            name=f"{dataset.name} with tags",
            examples={**dataset.examples, "image": images},
        )


def draw(images: Any, masks: Masks, maps: Mapping[str, Any], class_name: str) -> Any:
    """Draws images with tags, and after each its maps by some explainers.

    Args:
        images: Images in [0, 1].
        masks: The pixels of the tags.
        maps: The maps of all images, by the title of the explainer.
        class_name: The class that has the tag in training images.
    """

    def note(title: str, row: int) -> str:
        (share,) = explain.quality.relevance_mass(maps[title][[row]], masks[[row]])
        return f"{title}\n{share:.0%} on the tag"

    return maps_sheet(
        images,
        [f"{class_name} with a tag"] * len(images),
        maps,
        note=note,
        title=f"The classifier has learned that a pink tag in a corner means {class_name}. "
        "Which explainers show it?",
        legend={
            f"raises the logit of {class_name}": RAISES,
            f"lowers the logit of {class_name}": LOWERS,
            "no effect; full colors begin at the 99.5th percentile of each map": "#DDDDDD",
        },
    )
