"""Examples by index, and how to get them all into memory."""

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
    """Examples by index. Workers read it too, so that it has to survive pickling."""

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def __getitem__(self, index: int) -> Example:
        """Reads one example; an image that cannot be decoded raises `CorruptImageError`."""
        ...


def first_readable(source: Source, corrupt: Corrupt, name: str) -> Example:
    """The first example that can be decoded.

    Args:
        source: Examples by index.
        corrupt: Whether to pass over those that cannot be decoded.
        name: What to call the data in errors.

    Returns:
        An example, for shapes and types.

    Raises:
        DatasetError: There is none.
    """
    for index in range(len(source)):
        try:
            return source[index]
        except CorruptImageError:
            if corrupt == "stop":
                raise
    raise DatasetError(f"{name} has no example that can be decoded")


def check_names(names: Collection[str], name: str) -> None:
    """Makes sure that features can stand in a batch.

    Args:
        names: What the features are called.
        name: What to call the data in errors.

    Raises:
        DatasetError: There are none, or one has a name that batches need.

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
    """Puts examples together along a new first axis.

    Args:
        examples: At least one.
        name: What to call the data in errors.

    Returns:
        One array per name.

    Raises:
        DatasetError: Shapes differ, or `check_names` objects.

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
    """Decodes every example.

    Args:
        source: Examples by index.
        corrupt: Whether to leave out those that cannot be decoded.
        name: What to call the data in errors.

    Returns:
        The stacked examples, and the indices of those that were left out.

    Raises:
        CorruptImageError: An image cannot be decoded and `corrupt` is `"stop"`.
        DatasetError: None can, or shapes differ.
    """
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
