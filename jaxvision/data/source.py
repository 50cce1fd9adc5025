"""Examples by index, and how to get them all into memory."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from jaxvision.data.errors import CorruptImageError, DatasetError

Example = dict[str, Any]  # arrays and NumPy scalars by name
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


def stack(examples: Sequence[Example], name: str) -> dict[str, np.ndarray]:
    """Puts examples together along a new first axis.

    Args:
        examples: At least one.
        name: What to call the data in errors.

    Returns:
        One array per name.

    Raises:
        DatasetError: Shapes differ.

    >>> stack([{"label": np.int64(3)}, {"label": np.int64(5)}], "pair")["label"].tolist()
    [3, 5]
    """
    for key, value in examples[0].items():
        shapes = sorted({np.shape(example[key]) for example in examples})
        if len(shapes) > 1:
            raise DatasetError(
                f"{name} has {key}s of different shapes, such as {shapes[0]} and {shapes[-1]}; "
                "give image_size=... to resize and crop them to one"
            )
        del value
    return {key: np.stack([example[key] for example in examples]) for key in examples[0]}


def read_all(source: Source, corrupt: Corrupt, name: str) -> tuple[dict[str, np.ndarray], int]:
    """Decodes every example.

    Args:
        source: Examples by index.
        corrupt: Whether to leave out those that cannot be decoded.
        name: What to call the data in errors.

    Returns:
        The stacked examples, and how many were left out.

    Raises:
        CorruptImageError: An image cannot be decoded and `corrupt` is `"stop"`.
        DatasetError: None can, or shapes differ.
    """
    examples, errors = [], []
    for index in range(len(source)):
        try:
            examples.append(source[index])
        except CorruptImageError as error:
            if corrupt == "stop":
                raise
            errors.append(error)
    if not examples:
        raise DatasetError(f"{name} has no example that can be decoded")
    if errors:
        warnings.warn(
            f"skipped {len(errors)} of {len(source)} images of {name}; the first: {errors[0]}",
            stacklevel=2,
        )
    return stack(examples, name), len(errors)
