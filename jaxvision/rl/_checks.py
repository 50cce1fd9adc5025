"""What options can be."""

import math
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
        raise ValueError(f"{name} must be a whole number{things}, at least 1, got {value!r}")


def check_share(name: str, value: Any, *, schedule: bool = False) -> None:
    """Makes sure that something is a share or a probability.

    Args:
        name: Of the option.
        value: What it is.
        schedule: Whether it may be a function of the step, too.

    Raises:
        ValueError: It is no number from 0 to 1.

    >>> check_share("discount", 1.1)
    Traceback (most recent call last):
    ValueError: discount must be in [0, 1], got 1.1
    """
    if schedule and callable(value):
        return
    if not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        others = ", or a schedule" if schedule else ""
        raise ValueError(f"{name} must be in [0, 1]{others}, got {value!r}")


def check_not_negative(name: str, value: Any) -> None:
    """Makes sure that something is a weight, or the like.

    Args:
        name: Of the option.
        value: What it is.

    Raises:
        ValueError: It is negative, infinite or no number.

    >>> check_not_negative("value_weight", -0.5)
    Traceback (most recent call last):
    ValueError: value_weight must be a number, not negative, got -0.5
    """
    if not isinstance(value, numbers.Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be a number, not negative, got {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Makes sure that something is a size, or the like.

    Args:
        name: Of the option.
        value: What it is.

    Raises:
        ValueError: It is 0, negative or no number.

    >>> check_positive("clip", 0.0)
    Traceback (most recent call last):
    ValueError: clip must be positive, got 0.0
    """
    if not isinstance(value, numbers.Real) or not float(value) > 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
