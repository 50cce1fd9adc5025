"""Environments by name."""

import dataclasses
import fnmatch
import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any, TypeVar

from jaxvision.rl.environment import Environment
from jaxvision.suggest import unknown

_ENVIRONMENTS: dict[str, type[Environment]] = {}
Class = TypeVar("Class", bound=type[Environment])


def register(name: str) -> Callable[[Class], Class]:
    """Makes an environment known to `make`, as a decorator of its class.

    Args:
        name: What it is to be called.

    Returns:
        The decorator.

    Raises:
        ValueError: There is an environment of that name.

    >>> from jaxvision.rl.environments import Catch
    >>> @register("WideCatch-v0")
    ... class WideCatch(Catch):
    ...     def __init__(self):
    ...         super().__init__(columns=20)
    >>> make("WideCatch-v0")[0].columns
    20
    >>> del _ENVIRONMENTS["WideCatch-v0"]  # only so that this example can run again
    """

    def decorate(cls: Class) -> Class:
        if name in _ENVIRONMENTS:
            raise ValueError(f"there is an environment {name!r} already")
        _ENVIRONMENTS[name] = cls
        cls.registered_name = name
        return cls

    return decorate


def list_environments(pattern: str = "*") -> list[str]:
    """Lists what `make` knows.

    Args:
        pattern: As of file names.

    Returns:
        The names in alphabetical order.

    >>> list_environments("C*")
    ['CartPole-v1', 'Catch']
    """
    return sorted(fnmatch.filter(_ENVIRONMENTS, pattern))


def make(name: str, **options: Any) -> tuple[Environment, Any]:
    """Makes an environment and its parameters.

    Args:
        name: One of `list_environments`.
        options: Of the environment itself (the size of its frames), or constants in its parameters
            (`max_steps_in_episode`) that shall differ from the usual.

    Returns:
        The environment, and its parameters.

    Raises:
        ValueError: The name or an option is unknown, or a constant is no number that it can be.

    >>> environment, params = make("CartPole-v1", max_steps_in_episode=200)
    >>> environment.name, params.max_steps_in_episode
    ('CartPole-v1', 200)
    """
    if name not in _ENVIRONMENTS:
        raise ValueError(unknown("environment", name, list_environments()))
    cls = _ENVIRONMENTS[name]
    own = [key for key in inspect.signature(cls).parameters if key in options]
    given = {key: options.pop(key) for key in own}
    environment = cls(**given)
    environment.options = given
    params = environment.default_params
    constants = [field.name for field in dataclasses.fields(params)]
    for key in options:
        if key not in constants:
            known = [*inspect.signature(cls).parameters, *constants]
            raise ValueError(unknown(f"option of {name}", key, known))
        if not isinstance(options[key], numbers.Real) or not math.isfinite(options[key]):
            raise ValueError(f"{key} of {name} must be a number, got {options[key]!r}")
    params = params.replace(**options)
    params.check()
    return environment, params
