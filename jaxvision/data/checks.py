"""What options and names can be."""

import numbers
from collections.abc import Sequence
from typing import Any


def whole(name: str, value: Any) -> int:
    """Makes sure that an option is a whole number.

    Args:
        name: Of the option.
        value: What it is.

    Returns:
        The number as Python's `int`, which JSON takes.

    Raises:
        ValueError: It is of another type.

    >>> whole("batch_size", 8.0)
    Traceback (most recent call last):
    ValueError: batch_size must be a whole number, got 8.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(value)


def seed_of(value: Any) -> int:
    """Makes sure that something is a seed.

    Args:
        value: What it is.

    Returns:
        The seed.

    Raises:
        ValueError: It is no whole number from 0 to 2**64 - 1.

    >>> seed_of(-1)
    Traceback (most recent call last):
    ValueError: seed must be in [0, 2**64), got -1
    """
    seed = whole("seed", value)
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be in [0, 2**64), got {seed}")
    return seed


def different_names(names: Sequence[str]) -> tuple[str, ...]:
    """Makes sure that every class has a name of its own.

    Args:
        names: What the classes are called.

    Returns:
        The names.

    Raises:
        ValueError: They are one text rather than a sequence, or a name is there twice.

    >>> different_names(["cat", "dog", "cat"])
    Traceback (most recent call last):
    ValueError: class_names must be different names, got 'cat' twice
    """
    if isinstance(names, str):
        raise ValueError(f"class_names must be a sequence of names, got the text {names!r}")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"class_names must be different names, got {name!r} twice")
        seen.add(name)
    return tuple(names)
