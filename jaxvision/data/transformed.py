"""Examples on their way from the disk into a batch."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxvision._preprocessing import Preprocessing
from jaxvision.data.errors import DatasetError
from jaxvision.data.images import resize_and_crop
from jaxvision.data.source import Example, Source


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A source whose examples are resized, then changed by a function of the user's.

    What is not an array of numbers afterwards, such as text, cannot go into a step and is left out.

    Attributes:
        source: Examples by index.
        resize: How `image` is resized and cut, and with it, by nearest pixels, whatever has its
            height and width, such as `mask`. Nothing is normalized.
        transform: From example to example; it has to survive pickling where workers are used.
    """

    source: Source
    resize: Preprocessing | None = None
    transform: Callable[[Example], Example] | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = dict(self.source[index])
        if self.resize is not None:
            example.update(_resized(example, self.resize))
        if self.transform is not None:
            example = self.transform(example)
            if not isinstance(example, dict):
                raise TypeError(f"transform must return a dict, and returned {example!r}")
        return {key: value for key, value in example.items() if _is_numeric(value)}


def _resized(example: Example, how: Preprocessing) -> Example:
    if "image" not in example:
        raise DatasetError(
            f"image_size and preprocessing are for `image`, and there is none among "
            f"{', '.join(example)}; give transform=... that makes one, and leave them out"
        )
    shape = np.shape(example["image"])[:2]
    return {
        key: resize_and_crop(value, how, nearest=key != "image")
        for key, value in example.items()
        if isinstance(value, np.ndarray) and value.ndim in (2, 3) and value.shape[:2] == shape
    }


def _is_numeric(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:  # lists of different lengths
        return False
