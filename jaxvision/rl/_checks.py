"""What options can be."""

import numbers
from typing import Any


def check_count(name: str, value: Any, *, of: str = "") -> None:
    """Makes sure that something is counted.

    Args:
        name: Of the option.
        value: What it is.
        of: What is counted.

    Raises:
        ValueError: It is no whole number, or below 1.

    >>> check_count("capacity", 0, of="transitions")
    Traceback (most recent call last):
    ValueError: capacity must be a whole number of transitions, at least 1, got 0
    """
    if not isinstance(value, numbers.Integral) or value < 1:
        things = f" of {of}" if of else ""
        raise ValueError(f"{name} must be a whole number{things}, at least 1, got {value}")


def check_share(name: str, value: Any) -> None:
    """Makes sure that something is a share or a probability, or a schedule of it.

    Args:
        name: Of the option.
        value: What it is.

    Raises:
        ValueError: It is a number outside of 0 to 1.

    >>> check_share("discount", 1.1)
    Traceback (most recent call last):
    ValueError: discount must be in [0, 1], got 1.1
    """
    if not callable(value) and not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
