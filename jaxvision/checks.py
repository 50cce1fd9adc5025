"""Checks of options: a value that is not allowed is one clear ValueError."""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import jax

from jaxvision.suggest import unknown


def check_count(name: str, value: Any, *, of: str = "", least: int = 1) -> None:
    """Checks that an option is a count.

    Args:
        name: The option's name.
        value: The option's value.
        of: The things that are counted, for the message.
        least: The smallest count that is allowed.

    Raises:
        ValueError: The value is no whole number, or is below `least`.

    >>> check_count("capacity", 0, of="transitions")
    Traceback (most recent call last):
    ValueError: capacity must be a whole number of transitions, at least 1, got 0
    """
    if not isinstance(value, numbers.Integral) or value < least:
        things = f" of {of}" if of else ""
        raise ValueError(f"{name} must be a whole number{things}, at least {least}, got {value!r}")


def check_share(name: str, value: Any, *, schedule: bool = False) -> None:
    """Checks that an option is a share or a probability.

    Args:
        name: The option's name.
        value: The option's value.
        schedule: Whether the value may also be a function of the step; its value at step 0 is
            checked then.

    Raises:
        ValueError: The value is no number from 0 to 1.

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
    """Checks that an option, such as a weight, is not negative.

    Args:
        name: The option's name.
        value: The option's value.

    Raises:
        ValueError: The value is negative, infinite, NaN or no number.

    >>> check_not_negative("value_weight", -0.5)
    Traceback (most recent call last):
    ValueError: value_weight must be a number, not negative, got -0.5
    """
    if not isinstance(value, numbers.Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be a number, not negative, got {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Checks that an option, such as a size, is positive.

    Args:
        name: The option's name.
        value: The option's value.

    Raises:
        ValueError: The value is 0, negative, NaN or no number.

    >>> check_positive("clip", 0.0)
    Traceback (most recent call last):
    ValueError: clip must be positive, got 0.0
    """
    if not isinstance(value, numbers.Real) or not float(value) > 0:
        raise ValueError(f"{name} must be positive, got {value!r}")


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Checks that an option is one of several names.

    Args:
        kind: What the name is of, for the message.
        name: The option's value.
        known: The names that are allowed.

    Raises:
        ValueError: The name is none of them; the message has the nearest.

    >>> check_name("loss", "focall", ["cross_entropy", "focal"])
    Traceback (most recent call last):
    ValueError: unknown loss 'focall'; did you mean 'focal'? (known: cross_entropy, focal)
    """
    names = tuple(known)
    if name not in names:
        raise ValueError(unknown(kind, name, names))
