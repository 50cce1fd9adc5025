"""Examples that are read by index, and functions that read all of them into memory."""

import warnings
from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from jaxvision.data.errors import CorruptImageError, DatasetError
from jaxvision.data.fields import kind_of

Example = dict[str, Any]  # arrays and single numbers by name; before `transform`, text too
Corrupt = Literal["stop", "skip"]


@runtime_checkable
class Source(Protocol):
    """Protocol of objects that read examples by index. Worker processes need them picklable."""

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def __getitem__(self, index: int) -> Example:
        """Reads one example; raises a CorruptImageError if its image cannot be decoded."""
        ...


def first_readable(source: Source, corrupt: Corrupt, name: str) -> Example:
    """Returns the first example that can be decoded, for shapes and types.

    Raises a CorruptImageError at one that cannot be decoded if `corrupt` is "stop".
    """
    for index in range(len(source)):
        try:
            return source[index]
        except CorruptImageError:
            if corrupt == "stop":
                raise
    raise DatasetError(f"{name} has no example that can be decoded")


def check_names(names: Collection[str], name: str) -> None:
    """Raises a DatasetError if there are no features, or if one is called `weight`.

    >>> check_names(["image", "label"], "digits")
    """
    if not names:
        raise DatasetError(f"{name} has no feature that is an array of numbers")
    if "weight" in names:
        raise DatasetError(
            f"{name} has a feature called weight; in a batch that says which rows are padding: "
            "give the feature another name"
        )


def stack(examples: Sequence[Example], name: str) -> dict[str, np.ndarray]:
    """Stacks examples along a new first axis; raises a DatasetError if their shapes differ.

    >>> stack([{"label": np.int64(3)}, {"label": np.int64(5)}], "pair")["label"].tolist()
    [3, 5]
    """
    check_names(examples[0], name)
    for key in examples[0]:
        shapes = sorted({np.shape(example[key]) for example in examples})
        if len(shapes) > 1:
            kind = kind_of(key) or ("image" if len(shapes[0]) == 3 else "number")
            if kind in ("image", "map", "mask", "instances", "volume"):
                remedy = "image_size=... to resize and crop them to one"
            else:
                group = key.partition("/")[0]
                remedy = (
                    f"pad={{{group!r}: ...}} to fill them up with rows that do not count, or "
                    "transform=... to make them one, or to leave them out"
                )
            raise DatasetError(
                f"{key} has different shapes in {name}, such as {shapes[0]} and {shapes[-1]}; "
                f"give {remedy}"
            )
    return {key: np.stack([example[key] for example in examples]) for key in examples[0]}


def read_all(
    source: Source, corrupt: Corrupt, name: str
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Decodes all examples; returns them stacked, and the indices of those that were skipped."""
    examples, errors = [], {}
    for index in range(len(source)):
        try:
            examples.append(source[index])
        except CorruptImageError as error:
            if corrupt == "stop":
                raise
            errors[index] = error
    if not examples:
        raise DatasetError(f"{name} has no example that can be decoded")
    if errors:
        warnings.warn(
            f"skipped {len(errors)} of {len(source)} images of {name}; the first: "
            f"{next(iter(errors.values()))}",
            stacklevel=2,
        )
    return stack(examples, name), list(errors)
