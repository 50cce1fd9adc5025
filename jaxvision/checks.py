"""Checks of options, which raise a ValueError for values that are not allowed."""

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from jaxvision.suggest import shortened, unknown

Given = ParamSpec("Given")
Result = TypeVar("Result")


def called_as(example: str) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Decorates a function whose TypeError for missing or too many arguments shows a right call.

    >>> area = called_as("area(2, 3)")(lambda height, width: height * width)
    >>> area(2)
    Traceback (most recent call last):
    TypeError: missing a required argument: 'width'; call it as area(2, 3)
    """

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: Given.args, **options: Given.kwargs) -> Result:
            try:
                signature.bind(*args, **options)
            except TypeError as error:
                raise TypeError(f"{error}; call it as {example}") from None
            return function(*args, **options)

        return called

    return decorate


def check_count(name: str, value: Any, *, of: str = "", least: int = 1) -> None:
    """Checks a whole number of at least `least`; `of` names the counted things in the message.

    >>> check_count("capacity", 0, of="transitions")
    Traceback (most recent call last):
    ValueError: capacity must be a whole number of transitions, at least 1, got 0
    """
    if not isinstance(value, numbers.Integral) or value < least:
        things = f" of {of}" if of else ""
        raise ValueError(f"{name} must be a whole number{things}, at least {least}, got {value!r}")


def check_share(name: str, value: Any, *, schedule: bool = False) -> None:
    """Checks a share in [0, 1]; if `schedule`, the value may be a function, checked at step 0.

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


def is_number(value: Any) -> bool:
    """Whether a value is a real number, or an array of a single one without axes.

    >>> is_number(1e-3), is_number("1e-3")
    (True, False)
    """
    is_array = isinstance(value, np.ndarray | jax.Array) and value.ndim == 0
    return isinstance(value, numbers.Real) or is_array


def check_not_negative(name: str, value: Any) -> None:
    """Checks a finite number of at least 0.

    >>> check_not_negative("value_weight", -0.5)
    Traceback (most recent call last):
    ValueError: value_weight must be a number, not negative, got -0.5
    """
    if not is_number(value) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be a number, not negative, got {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Checks a number above 0.

    >>> check_positive("clip", 0.0)
    Traceback (most recent call last):
    ValueError: clip must be positive, got 0.0
    """
    if not isinstance(value, numbers.Real) or not float(value) > 0:
        raise ValueError(f"{name} must be positive, got {value!r}")


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Checks that a name is known; the message suggests the nearest one. `kind` is for the message.

    >>> check_name("loss", "focall", ["cross_entropy", "focal"])
    Traceback (most recent call last):
    ValueError: unknown loss 'focall'; did you mean 'focal'? (known: cross_entropy, focal)
    """
    names = tuple(known)
    if name not in names:
        if not isinstance(name, str):
            raise TypeError(f"{kind} must be one of {shortened(names)}, got {name!r}")
        raise ValueError(unknown(kind, name, names))


def channels_first(shape: tuple[int, ...]) -> str:
    """Returns what to do about the shape of a batch if its channels seem to be first, else "".

    >>> channels_first((64, 3, 32, 32))
    'channels come last: x.transpose(0, 2, 3, 1) has the shape (64, 32, 32, 3)'
    >>> channels_first((64, 32, 32, 3))
    ''
    """
    if len(shape) != 4 or shape[1] not in (1, 3, 4) or min(shape[2:]) <= 4:
        return ""
    rows, channels, *size = shape
    return f"channels come last: x.transpose(0, 2, 3, 1) has the shape {(rows, *size, channels)}"
