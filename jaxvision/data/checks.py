"""Checks of options and class names."""

import numbers
from collections.abc import Sequence
from typing import Any


def whole(name: str, value: Any) -> int:
    """Returns a whole number as `int`, which JSON accepts; raises a ValueError for anything else.

    >>> whole("batch_size", 8.0)
    Traceback (most recent call last):
    ValueError: batch_size must be a whole number, got 8.0
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(value)


def seed_of(value: Any) -> int:
    """Returns a seed as `int`; raises a ValueError unless it is a whole number in [0, 2**64).

    >>> seed_of(-1)
    Traceback (most recent call last):
    ValueError: seed must be in [0, 2**64), got -1
    """
    seed = whole("seed", value)
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be in [0, 2**64), got {seed}")
    return seed


def different_names(names: Sequence[str]) -> tuple[str, ...]:
    """Returns class names as a tuple; raises a ValueError for a string or a duplicate.

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
