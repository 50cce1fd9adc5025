"""Kinds of the fields of examples and batches: images, labels, masks, boxes and so on."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from jaxvision.checks import check_name
from jaxvision.data.checks import different_names
from jaxvision.data.errors import DatasetError
from jaxvision.suggest import unknown

Kind = Literal[
    "image",
    "volume",
    "map",
    "mask",
    "instances",
    "boxes",
    "points",
    "label",
    "number",
    "tokens",
    "caption",
]
"""Kind of a field. The first seven kinds have positions in the image and move with it.

- `image`: pixels, (height, width, channels).
- `volume`: slices or frames that move alike, (depth, height, width, channels).
- `map`: one float per pixel, such as a depth or a weight, (height, width) or (height, width, maps);
  0 beyond the border.
- `mask`: one class per pixel, (height, width) or (height, width, masks), or per voxel of a volume,
  (depth, height, width); 255 marks unlabeled pixels.
- `instances`: one mask per object, (objects, height, width).
- `boxes`: corners `x_min, y_min, x_max, y_max` in pixels, (..., 4); see `ops.boxes`.
- `points`: positions `x, y` in pixels, (..., 2); the center of the first pixel is (0, 0).
- `label`: classes; -1 marks unlabeled examples.
- `number`: any value without a position in the image.
- `tokens`: indices in a vocabulary.
- `caption`: text, which batches leave out.
"""

KINDS: tuple[str, ...] = get_args(Kind)
_BY_NAME: Mapping[str, Kind] = {
    "image": "image",
    "volume": "volume",
    "video": "volume",
    "pixel_weight": "map",
    "fixation_density": "map",
    "mask": "mask",
    "segmentation_mask": "mask",
    "segmentation_label": "mask",
    "instances": "instances",
    "masks": "instances",
    "bbox": "boxes",
    "bboxes": "boxes",
    "box": "boxes",
    "boxes": "boxes",
    "points": "points",
    "keypoint": "points",
    "keypoints": "points",
    "landmarks": "points",
    "fixations": "points",
    "label": "label",
    "labels": "label",
    "tokens": "tokens",
    "caption": "caption",
}


@dataclasses.dataclass(frozen=True)
class Field:
    """Kind of a field, and the names of its classes.

    Attributes:
        kind: One of `Kind`.
        names: Class names of a label or mask, or the vocabulary of tokens; empty if unknown.

    Raises:
        ValueError: The kind is unknown, or a name is duplicated.
    """

    kind: Kind
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name("kind of field", self.kind, KINDS)
        object.__setattr__(self, "names", different_names(self.names))


Fields = Mapping[str, Field]


def kind_of(name: str) -> Kind | None:
    """Returns the kind that the name of a field implies, by its part after the last `/`.

    Args:
        name: Name of the field.

    Returns:
        The kind, or None if the name implies none.

    >>> kind_of("objects/bbox"), kind_of("temperature")
    ('boxes', None)
    """
    return _BY_NAME.get(name.rpartition("/")[2].lower())


def known_fields(
    names: Sequence[str], declared: Mapping[str, Field | Kind] | None = None
) -> Fields:
    """Returns the fields whose kind is declared or follows from their name, in the given order.

    >>> {name: field.kind for name, field in known_fields(["image", "a"], {"a": "mask"}).items()}
    {'image': 'image', 'a': 'mask'}
    """
    given = declared or {}
    for name in given:
        if name not in names:
            raise DatasetError(unknown("field", name, list(names)))
    fields: dict[str, Field] = {}
    for name in names:
        known: Any = given.get(name) or kind_of(name)
        if known is not None:
            fields[name] = known if isinstance(known, Field) else Field(known)
    return fields


def with_class_names(fields: Fields, class_names: Sequence[str]) -> Fields:
    """Returns the fields with class names added to `label`, unless either is missing."""
    if not class_names or "label" not in fields:
        return fields
    named = dataclasses.replace(fields["label"], names=tuple(class_names))
    return {**fields, "label": named}


def valid_name(name: str) -> str:
    """Returns the name of the field that says which rows of a padded field are real.

    The fields of one group share it: `objects/bbox` and `objects/label` have `objects/valid`.

    >>> valid_name("objects/bbox"), valid_name("boxes")
    ('objects/valid', 'boxes_valid')
    """
    parent, slash, _ = name.rpartition("/")
    return f"{parent}/valid" if slash else f"{name}_valid"


def pad_rows(
    example: Mapping[str, Any], lengths: Mapping[str, int], fields: Fields | None = None
) -> dict[str, Any]:
    """Pads the fields of one example that have a row per object to a fixed number of rows.

    `lengths` has that number by the name of a field or of a group such as `objects`. Added rows are
    zeros (-1 for labels), and a bool field (`objects/valid`, `boxes_valid`) marks the real rows.

    >>> padded = pad_rows({"boxes": np.ones((1, 4))}, {"boxes": 3})
    >>> padded["boxes"].shape, padded["boxes_valid"].tolist()
    ((3, 4), [True, False, False])
    """
    padded = dict(example)
    for name, length in lengths.items():
        members = [key for key in example if key == name or key.startswith(f"{name}/")]
        if not members:
            raise DatasetError(unknown("field or group of fields", name, list(example)))
        for key in members:
            kind = fields[key].kind if fields and key in fields else kind_of(key)
            empty = -1 if kind == "label" else 0
            padded[key] = _lengthened(name, key, np.asarray(example[key]), length, empty)
        for key in {valid_name(key) for key in members} - {*members}:
            count = len(np.asarray(example[members[0]]))
            known = np.asarray(example.get(key, np.ones(count, bool)))
            padded[key] = _lengthened(name, key, known, length, False)
    return padded


def _lengthened(name: str, key: str, array: np.ndarray, length: int, empty: int) -> np.ndarray:
    count = len(array)
    if count > length:
        raise DatasetError(
            f"{key} has {count} rows in an example, and is padded to {length}: give "
            f"pad={{{name!r}: {count}}} or more"
        )
    rows = np.full((length - count, *array.shape[1:]), empty, array.dtype)
    return np.concatenate([array, rows])
