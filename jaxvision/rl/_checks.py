"""What options can be."""

import math
import numbers
from typing import Any

import jax


def check_count(name: str, value: Any, *, of: str = "", least: int = 1) -> None:
    """Makes sure that something is counted.

    Args:
        name: Of the option.
        value: What it is.
        of: What is counted.
        least: How many there must be.

    Raises:
        ValueError: It is no whole number, or there are fewer.

    >>> check_count("capacity", 0, of="transitions")
    Traceback (most recent call last):
    ValueError: capacity must be a whole number of transitions, at least 1, got 0
    """
    if not isinstance(value, numbers.Integral) or value < least:
        things = f" of {of}" if of else ""
        raise ValueError(f"{name} must be a whole number{things}, at least {least}, got {value!r}")


def check_share(name: str, value: Any, *, schedule: bool = False) -> None:
    """Makes sure that something is a share or a probability.

    Args:
        name: Of the option.
        value: What it is.
        schedule: Whether it may be a function of the step, too, of which only what it begins with
            is looked at.

    Raises:
        ValueError: It is no number from 0 to 1.

    >>> check_share("discount", 1.1)
    Traceback (most recent call last):
    ValueError: discount must be in [0, 1], got 1.1
    >>> check_share("exploration", lambda step: 2.0 - step, schedule=True)
    Traceback (most recent call last):
    ValueError: exploration(0) must be in [0, 1], got 2.0
    """
    others = ", or a schedule" if schedule else ""
    if schedule and callable(value):
        with jax.ensure_compile_time_eval():
            name, value, others = f"{name}(0)", float(value(0)), ""
    if not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
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
