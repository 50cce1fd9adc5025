"""Examples on their way from the disk into a batch."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from jaxvision._preprocessing import Preprocessing
from jaxvision.data.errors import DatasetError
from jaxvision.data.images import placement, resize_and_crop
from jaxvision.data.source import Example, Source

_BOXES = ("box", "boxes")
_POINTS = ("keypoint", "keypoints", "landmark", "landmarks", "polygon", "polygons")


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A source whose examples are resized, then changed by a function of the user's.

    What is not an array of numbers afterwards, such as text, cannot go into a step and is left out.

    Attributes:
        source: Examples by index.
        resize: How `image` is resized and cut, and with it what belongs to it; see `follow`.
            Nothing is normalized.
        transform: From example to example; it has to survive pickling where workers are used.
    """

    source: Source
    resize: Preprocessing | None = None
    transform: Callable[[Example], Example] | None = None

    @property
    def known_labels(self) -> Int[np.ndarray, " examples"] | None:
        """The labels, if they are known without reading an example."""
        return None if self.transform is not None else getattr(self.source, "known_labels", None)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = dict(self.source[index])
        if self.resize is not None:
            example = _resized(example, self.resize, nested=self.transform is not None)
        if self.transform is not None:
            example = self.transform(example)
            if not isinstance(example, dict):
                raise TypeError(f"transform must return a dict, and returned {example!r}")
        return {key: value for key, value in example.items() if _is_numeric(value)}


def _resized(example: Example, how: Preprocessing, *, nested: bool) -> Example:
    if "image" not in example:
        raise DatasetError(
            f"image_size and preprocessing are for `image`, and there is none among "
            f"{', '.join(example)}; give transform=... that makes one, and leave them out"
        )
    image = np.asarray(example["image"])
    if image.ndim not in (2, 3):
        raise DatasetError(
            f"image_size and preprocessing are for `image` of shape (height, width, channels), and "
            f"this one has {image.shape}; give transform=... that resizes it, and leave them out"
        )
    size = image.shape[:2]
    if size == how.size and placement(size, how) == (size, (0, 0)):
        return example
    return {
        key: resize_and_crop(image, how) if key == "image" else follow(key, value, size, how)
        for key, value in example.items()
        if nested or not isinstance(value, dict)  # which is left out without a transform
    }


def follow(key: str, value: Any, size: tuple[int, ...], how: Preprocessing) -> Any:
    """Brings what belongs to an image to where the image is after `resize_and_crop`.

    - Boxes, which are what has a name that ends in `box` or `boxes`, and four numbers along its
      last axis, are moved if they are as TFDS has them: `[ymin, xmin, ymax, xmax]`, from 0 to 1.
      What the cut takes away of a box is taken away, so that a box outside has no area.
    - A second image, which is three channels of 8 bits in the size of the image, is interpolated
      like the image.
    - Other maps of that size, such as `mask`, and stacks of them, such as the masks of instances
      (instances, height, width), take the nearest pixels.
    - What is inside a dict follows likewise; all else stays.

    Args:
        key: The name of the feature.
        value: The feature.
        size: Height and width of the image as it was.
        how: How the image is resized.

    Returns:
        The feature, to go with the resized image.

    Raises:
        DatasetError: These are boxes of another kind, or points (keypoints, landmarks, polygons),
            or an array that may be a map or a stack of maps.

    >>> boxes = np.array([[0.0, 0.5, 1.0, 0.75]])
    >>> follow("boxes", boxes, (10, 20), Preprocessing(10)).tolist()
    [[0.0, 0.5, 1.0, 1.0]]
    """
    if isinstance(value, dict):
        return {name: follow(f"{key}/{name}", part, size, how) for name, part in value.items()}
    if not _is_numeric(value):
        return value
    array = np.asarray(value)
    name = key.lower()
    if name.endswith(_BOXES) and array.ndim and array.shape[-1] == 4:
        return _moved(key, array, size, how)
    is_map, is_stack = array.shape[:2] == size, array.ndim > 2 and array.shape[1:3] == size
    if is_map and is_stack and array.shape[2:] not in ((1,), (3,), (4,)):
        raise _cannot_follow(key, f"an array of shape {array.shape} is a map or a stack of maps")
    if is_map:
        return _map(array, how)
    if is_stack:
        maps = [_map(each, how) for each in array]
        return np.stack(maps) if maps else np.zeros((0, *how.size, *array.shape[3:]), array.dtype)
    if name.endswith(_BOXES + _POINTS) and array.ndim and array.size:
        raise _cannot_follow(key, f"it is not known what an array of shape {array.shape} is there")
    return value


def _moved(
    key: str, boxes: Shaped[np.ndarray, "*boxes 4"], size: tuple[int, ...], how: Preprocessing
) -> Shaped[np.ndarray, "*boxes 4"]:
    exact = boxes.astype(np.float64).reshape(-1, 4)
    fits = (np.abs(exact - 0.5) <= 0.501).all(axis=1)  # with room for rounding
    fits &= (exact[:, :2] <= exact[:, 2:]).all(axis=1) & (boxes.dtype.kind == "f")
    if not fits.all():
        raise _cannot_follow(
            key,
            "boxes are moved if they are [ymin, xmin, ymax, xmax] from 0 to 1, unlike "
            f"{exact[~fits][0].tolist()}",
        )
    covered, start = placement((size[0], size[1]), how)
    scale, offset, cut = (np.array(pair * 2) for pair in (covered, start, how.size))
    moved = (exact * scale - offset) / cut
    return moved.clip(0, 1).astype(boxes.dtype).reshape(boxes.shape)


def _map(array: Shaped[np.ndarray, "height width ..."], how: Preprocessing) -> np.ndarray:
    is_image = array.dtype == np.uint8 and array.shape[2:] == (3,)
    planes = array if array.ndim < 4 else array.reshape(*array.shape[:2], -1)
    resized = resize_and_crop(planes, how, nearest=not is_image)
    return resized.reshape(*how.size, *array.shape[2:])


def _cannot_follow(key: str, reason: str) -> DatasetError:
    return DatasetError(
        f"{key} cannot follow the image to its new size: {reason}; give transform=... that resizes "
        "the image (data.resize_and_crop) and all that belongs to it, and leave image_size and "
        "preprocessing out"
    )


def _is_numeric(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:  # lists of different lengths
        return False
