"""Validated reading of the values of a record."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxvision.train.checkpoint import CheckpointError

Check = Callable[[Any], bool]


def read_field(content: Any, path: str, check: Check, what: str, where: str) -> Any:
    """Returns the value at a dotted path of a record; a missing value is None.

    Raises CheckpointError for a value that fails `check`; its message names the record by `where`,
    and allowed values by `what`.

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
    """Returns whether a value is a mapping with strings as keys."""
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def is_name(value: Any) -> bool:
    """Returns whether a value is a string."""
    return isinstance(value, str)


def is_whole(value: Any) -> bool:
    """Returns whether a value is an integer and not negative."""
    return type(value) is int and value >= 0


def is_number(value: Any) -> bool:
    """Returns whether a value is an integer or a float."""
    return type(value) in (int, float)


def list_of(check: Check, *, least: int = 0) -> Check:
    """Returns a check of lists with at least `least` members, which all pass `check`."""
    return lambda value: (
        isinstance(value, list | tuple) and len(value) >= least and all(map(check, value))
    )


def shown(value: Any) -> str:
    """Formats a value for a message, truncated if it is long.

    >>> shown("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:41]}..."
