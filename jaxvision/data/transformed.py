"""Examples whose images are resized, transformed and padded as they are read."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from jaxvision._preprocessing import Preprocessing
from jaxvision.data.errors import DatasetError
from jaxvision.data.fields import Fields, known_fields, pad_rows
from jaxvision.data.images import placement, resize_and_crop
from jaxvision.data.movement import move
from jaxvision.data.source import Example, Source


@dataclasses.dataclass(frozen=True)
class Transformed:
    """Examples of another source, resized, transformed and padded as they are read.

    Nested fields get joined names, such as `objects/bbox`. After the transform, values that are not
    numeric arrays, such as text, are dropped, because batches cannot hold them.

    Attributes:
        source: Source of the examples.
        resize: How `image`, and the fields that move with it, are resized and cropped; see `move`.
            Nothing is normalized.
        transform: Function from example to example; worker processes need it to be picklable.
        fields: Fields whose name does not tell their kind.
        pad: Number of rows to pad fields of objects to; see `pad_rows`.
    """

    source: Source
    resize: Preprocessing | None = None
    transform: Callable[[Example], Example] | None = None
    fields: Fields = dataclasses.field(default_factory=dict)
    pad: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def known_labels(self) -> Int[np.ndarray, " examples"] | None:
        """Labels, if they are known without reading an example."""
        return None if self.transform is not None else getattr(self.source, "known_labels", None)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = flatten(self.source[index])
        if self.resize is not None:
            example = self._resized(example, self.resize)
        if self.transform is not None:
            example = self.transform(example)
            if not isinstance(example, dict):
                raise TypeError(f"transform must return a dict, and returned {example!r}")
            example = flatten(example)
        numeric = {key: value for key, value in example.items() if is_numeric(value)}
        return pad_rows(numeric, self.pad, self.fields)

    def _resized(self, example: Example, how: Preprocessing) -> Example:
        if "image" not in example:
            raise DatasetError(
                f"image_size and preprocessing are for `image`, and there is none among "
                f"{', '.join(example)}; give transform=... that makes one, and leave them out"
            )
        image = np.asarray(example["image"])
        if image.ndim not in (2, 3):
            raise DatasetError(
                f"image_size and preprocessing are for `image` of shape (height, width, channels), "
                f"and this one has {image.shape}; give transform=... that resizes it, and leave "
                "them out"
            )
        resizing = Resizing((image.shape[0], image.shape[1]), how)
        numeric = {key: np.asarray(value) for key, value in example.items() if is_numeric(value)}
        fields = known_fields(
            list(numeric), {name: field for name, field in self.fields.items() if name in numeric}
        )
        for name, array in numeric.items():
            _check(name, array, fields, resizing)
        return {**example, **move(numeric, fields, resizing)}


@dataclasses.dataclass(frozen=True)
class Resizing:
    """Motion of the pixels of an image of size `old` under `resize_and_crop`; see `Motion`."""

    old: tuple[int, int]
    how: Preprocessing

    @property
    def new(self) -> tuple[int, int]:
        """Height and width of the resized image."""
        return self.how.size

    def resample(
        self, pixels: Shaped[np.ndarray, "..."], *, nearest: bool, fill: int | None
    ) -> Shaped[np.ndarray, "..."]:
        """Resizes pixels; `fill` is unused, because no pixels come from beyond the border."""
        del fill
        return resize_and_crop(pixels, self.how, nearest=nearest)

    def points(self, points: Shaped[np.ndarray, "*points 2"]) -> Shaped[np.ndarray, "*points 2"]:
        """Moves points `x, y`."""
        covered, start = placement(self.old, self.how)
        scale = np.divide(covered, self.old)[::-1]
        return (points + 0.5) * scale - start[::-1] - 0.5


def flatten(example: Mapping[str, Any]) -> Example:
    """Replaces nested dicts by fields with joined names.

    >>> flatten({"id": 1, "objects": {"bbox": [0.0], "label": [3]}})
    {'id': 1, 'objects/bbox': [0.0], 'objects/label': [3]}
    """
    flat: Example = {}
    for name, value in example.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}/{inner}": part for inner, part in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def is_numeric(value: Any) -> bool:
    """Whether a batch can hold a value: numbers or bools that form one array.

    >>> is_numeric([1, 2]), is_numeric(b"text"), is_numeric([[1], [2, 3]])
    (True, False, False)
    """
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:  # lists of unequal length
        return False


def _check(name: str, array: np.ndarray, fields: Fields, resizing: Resizing) -> None:
    """Refuses fields that would silently not move with the image."""
    if name not in fields:
        if array.ndim > 1 and resizing.old in (array.shape[:2], array.shape[1:3]):
            raise DatasetError(
                f"{name} has the size of the image, and its name does not say whether it is an "
                f"image, a mask or something else: give fields={{{name!r}: 'mask'}} or another kind"
            )
        return
    relative = array.size and max(resizing.old) > 2 and 0 <= array.min() <= array.max() <= 1
    if fields[name].kind in ("boxes", "points") and relative:
        raise DatasetError(
            f"{name} must be in pixels, and all its numbers lie from 0 to 1: multiply them by the "
            "size of the image in a source of your own"
        )
