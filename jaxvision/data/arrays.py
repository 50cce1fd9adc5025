"""Checks of the arrays that a data set is made of."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxvision.checks import channels_first
from jaxvision.data.fields import Fields

Examples = Shaped[np.ndarray, "examples ..."]

_LARGE = 50
"""Floating-point images above this are not scaled to [0, 1] or normalized."""

_LOOKED_AT = 256
"""How many images are looked at, because all of them may take long."""


def as_arrays(arrays: Any) -> dict[str, Examples]:
    """Returns NumPy arrays by name; raises TypeError or ValueError for what does not become one.

    >>> as_arrays({"image": [np.zeros((2, 2)), np.zeros((3, 2))]})
    Traceback (most recent call last):
    ValueError: the examples of 'image' have different shapes, such as (2, 2) and (3, 2): ...
    """
    if not hasattr(arrays, "items"):
        raise TypeError(
            "arrays must be a dict such as {'image': images, 'label': labels}, got "
            f"{type(arrays).__name__}"
        )
    made: dict[str, Examples] = {}
    for name, values in arrays.items():
        try:
            made[name] = np.asarray(values)
        except ValueError as error:
            shapes = sorted({np.shape(each) for each in values})
            raise ValueError(
                f"the examples of {name!r} have different shapes, such as {shapes[0]} and "
                f"{shapes[-1]}: resize them first (data.resize_and_crop), or keep them in files "
                "and read these by load_folder(..., image_size=...)"
            ) from error
        if made[name].ndim == 0:
            raise ValueError(
                f"{name!r} must have its examples along the first axis, got {made[name]!r}"
            )
    return made


def check_labels(arrays: Mapping[str, Examples], fields: Fields) -> None:
    """Raises ValueError for labels that are text.

    >>> from jaxvision.data.fields import Field
    >>> check_labels({"label": np.array(["cat", "dog"])}, {"label": Field("label")})
    Traceback (most recent call last):
    ValueError: 'label' must hold whole numbers, got text such as 'cat': ...
    """
    for name, field in fields.items():
        values = arrays[name]
        if field.kind == "label" and values.dtype.kind in "USO" and values.size:
            raise ValueError(
                f"{name!r} must hold whole numbers, got text such as {str(values.flat[0])!r}: "
                "class_names, labels = np.unique(labels, return_inverse=True) numbers it"
            )


def doubts(arrays: Mapping[str, Examples], fields: Fields, *, named: bool) -> Iterator[str]:
    """Yields a sentence for everything that is allowed, but probably a mistake.

    `named` says whether the class names are given.

    >>> list(doubts({"images": np.zeros((3, 8, 8, 1))}, {}, named=False))
    ["the arrays have 'images' and no 'image', the name that losses look for: rename it"]
    """
    for wanted in ("image", "label"):
        near = [name for name in arrays if name.lower().removesuffix("s") == wanted]
        is_of_objects = near and wanted == "label" and arrays[near[0]].ndim > 1
        if wanted not in arrays and near and not is_of_objects:
            yield (
                f"the arrays have {near[0]!r} and no {wanted!r}, the name that losses look for: "
                "rename it"
            )
    for name, field in fields.items():
        if field.kind == "image":
            yield from _of_images(name, arrays[name])
    if "label" in arrays and not (named or fields["label"].names):
        yield from _of_labels(arrays["label"])


def _of_images(name: str, images: Examples) -> Iterator[str]:
    if remedy := channels_first(images.shape):
        yield f"{name!r} has the shape {images.shape}, and {remedy}"
    some = images[:_LOOKED_AT]
    is_floating = np.issubdtype(some.dtype, np.floating) and some.size
    if is_floating and some.min() >= 0 and some.max() > _LARGE:
        yield (
            f"{name!r} holds floating-point pixels up to {some.max():g}, which are taken as they "
            "are: divide them by 255, or keep uint8, which losses bring to 0 to 1"
        )


def _of_labels(labels: Examples) -> Iterator[str]:
    if labels.dtype.kind not in "biuf" or not labels.size:
        return
    if labels.ndim == 2 and labels.shape[1] > 1:
        if np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
            yield (
                f"'label' has the shape {labels.shape} and a single 1 per row (one-hot), and "
                "classes are whole numbers: labels.argmax(axis=1)"
            )
    elif labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        yield f"'label' is {labels.dtype}, and classes are whole numbers: labels.astype(int)"
    elif labels.dtype.kind in "iu":
        seen = np.unique(labels[labels >= 0])
        if len(seen) > 1 and seen[0] == 1 and seen[-1] == len(seen):
            yield (
                "class 0 has no examples; do the labels begin at 1? Then subtract 1 from them; "
                "else give class_names"
            )
