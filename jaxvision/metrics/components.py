"""Areas and connected components of masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from jaxvision._labels import IGNORED
from jaxvision.checks import check_count
from jaxvision.metrics import _checks
from jaxvision.metrics._checks import ArrayLike


def areas(
    classes: ArrayLike,
    class_names: Sequence[str] = (),
    *,
    min_pixels: int = 1,
    most_listed: int = 100,
) -> dict[str, Any]:
    """The area of each class of a mask and of each of its connected components.

    A component is a set of pixels of one class that are neighbors along a row, a column or a
    diagonal (8-connectivity).

    Args:
        classes: A mask of shape (height, width): the class of each pixel, or 255 for none.
        class_names: The names of all classes, in order. With names, all classes are listed,
            otherwise only those in the mask.
        min_pixels: The size of the smallest component to list.
        most_listed: The largest number of components to list per class.

    Returns:
        A dictionary that JSON accepts: `labelled`, the number of pixels with a class, and `none`,
        the number of the others; `connectivity`, 8; and `classes`, a list with, for each class, its
        number `class`, its `name` if names are given, its number of `pixels`, their `share` of the
        labeled ones (None if there are none), the number of `components`, the number of
        `large_components` (with at least `min_pixels`), and `listed`, the largest of these, in
        order of size and then of their topmost pixel, each with its `pixels` and its `box`, the
        list `x_min, y_min, x_max, y_max` in pixels (exclusive maxima).

    Raises:
        ValueError: The mask does not have two axes or has no pixels, a class is out of range, or
            `min_pixels` or `most_listed` is.

    >>> mask = np.array([[0, 1, 0, 0], [0, 0, 1, 255], [1, 0, 0, 255]])
    >>> found = areas(mask, ["ground", "tree"])
    >>> found["labelled"], found["none"], found["classes"][1]["share"]
    (10, 2, 0.3)
    >>> found["classes"][1]["listed"]
    [{'pixels': 2, 'box': [1, 0, 3, 2]}, {'pixels': 1, 'box': [0, 2, 1, 3]}]
    """
    check_count("min_pixels", min_pixels, of="pixels")
    check_count("most_listed", most_listed, of="components", least=0)
    mask = _mask(classes, len(class_names))
    counts = np.bincount(mask.ravel(), minlength=IGNORED + 1)
    labelled = int(counts[:IGNORED].sum())
    shown = range(len(class_names)) if class_names else np.flatnonzero(counts[:IGNORED]).tolist()
    return {
        "labelled": labelled,
        "none": int(counts[IGNORED]),
        "connectivity": 8,
        "classes": [
            {
                "class": number,
                **({"name": class_names[number]} if class_names else {}),
                "pixels": int(counts[number]),
                "share": int(counts[number]) / labelled if labelled else None,
                **_components(mask, number, min_pixels, most_listed),
            }
            for number in shown
        ],
    }


def _mask(classes: ArrayLike, num_names: int) -> np.ndarray:
    mask = _checks.classes("classes", classes, IGNORED + 1)
    if mask.ndim != 2:
        raise ValueError(f"classes must be of shape (height, width), got {mask.shape}")
    if num_names > IGNORED:
        raise ValueError(f"a mask has at most {IGNORED} classes, got {num_names} class_names")
    largest = int(mask.max(initial=-1, where=mask != IGNORED))
    if num_names and largest >= num_names:
        raise ValueError(
            f"classes has the class {largest}, and there are {num_names} class_names: give a name "
            f"for each class, and {IGNORED} to pixels without one"
        )
    return mask.astype(np.uint8)


def _components(
    mask: UInt8[np.ndarray, "height width"], number: int, min_pixels: int, most_listed: int
) -> dict[str, Any]:
    from scipy import ndimage

    pixels, top, left = _cropped(mask == number)
    parts, count = ndimage.label(pixels, structure=np.ones((3, 3)))
    sizes = np.bincount(parts[pixels], minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")  # equal ones stay in the order of their first pixel
    large = order[sizes[order] >= min_pixels]
    places = ndimage.find_objects(parts) if count else []
    boxes = {index: places[index] for index in large[:most_listed].tolist()}
    return {
        "components": int(count),
        "large_components": len(large),
        "listed": [
            {
                "pixels": int(sizes[index]),
                "box": [left + x.start, top + y.start, left + x.stop, top + y.stop],
            }
            for index, (y, x) in boxes.items()
        ],
    }


def _cropped(
    pixels: Bool[np.ndarray, "height width"],
) -> tuple[Bool[np.ndarray, "_ _"], int, int]:
    """The smallest crop with all pixels, which is faster to label, and its top and left."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return pixels[:0, :0], 0, 0
    top, left = int(rows[0]), int(columns[0])
    return pixels[top : rows[-1] + 1, left : columns[-1] + 1], top, left
