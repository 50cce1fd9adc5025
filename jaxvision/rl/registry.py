"""Registry of environments."""

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
    """Registers an environment class, as a decorator.

    Args:
        name: The name for `make`.

    Raises:
        ValueError: An environment of that name is registered already.

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
    """Lists the names of registered environments in alphabetical order.

    Args:
        pattern: Shell-style wildcard, such as "Cart*".

    >>> list_environments("C*")
    ['CartPole-v1', 'Catch']
    """
    return sorted(fnmatch.filter(_ENVIRONMENTS, pattern))


def make(name: str, **options: Any) -> tuple[Environment, Any]:
    """Creates an environment and its parameters.

    Args:
        name: One of `list_environments()`.
        options: Arguments of the environment's constructor (such as `size`), or constants that
            replace the defaults in its parameters (such as `max_steps_in_episode`).

    Returns:
        The environment and its parameters.

    Raises:
        ValueError: The name or an option is unknown, or a constant is not a number within its
            range.

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
