"""Values of a record, read one by one, with a message that names what is wrong."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxvision.train.checkpoint import CheckpointError

Check = Callable[[Any], bool]


def read_field(content: Any, path: str, check: Check, what: str, where: str) -> Any:
    """Reads one value of a record.

    Args:
        content: The record.
        path: The names that lead to the value, joined by dots.
        check: Whether a value is allowed.
        what: What values are allowed, in words.
        where: Where the record was read, for the message.

    Returns:
        The value; None if it is missing and None is allowed.

    Raises:
        CheckpointError: The value is not allowed.

    >>> read_field({"data": {"name": "digits"}}, "data.name", is_name, "a string", "runs/x")
    'digits'
    """
    value = content
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if not check(value):
        raise CheckpointError(f"{where}: {path} must be {what}, and is {shown(value)}")
    return value


def is_mapping(value: Any) -> bool:
    """Whether a value is an object with names."""
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def is_name(value: Any) -> bool:
    """Whether a value is a string."""
    return isinstance(value, str)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, not negative."""
    return type(value) is int and value >= 0


def is_number(value: Any) -> bool:
    """Whether a value is a number."""
    return type(value) in (int, float)


def list_of(check: Check, *, least: int = 0) -> Check:
    """A check of lists.

    Args:
        check: A check of their members.
        least: How many members there must be.

    Returns:
        The check.
    """
    return lambda value: (
        isinstance(value, list | tuple) and len(value) >= least and all(map(check, value))
    )


def shown(value: Any) -> str:
    """A value in a message, cut where it is long.

    >>> shown("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:41]}..."
