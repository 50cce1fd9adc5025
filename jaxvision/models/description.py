"""Descriptions of models as plain data, from which the models can be rebuilt."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxvision.models.base import Model
from jaxvision.models.registry import create_model, list_models, unknown_model

Module = TypeVar("Module", bound=type[nn.Module])

_MODULES: dict[str, type[nn.Module]] = {}
_PLAIN = (bool, int, float, str, type(None))


def register_module(module: Module) -> Module:
    """Class decorator that registers a module for `describe` and `from_description`.

    It is for models that `create_model` does not make: compositions (a decoder over a backbone,
    several heads), generators, critics and so on. A module is described by its fields. These may be
    numbers, strings, None, tuples, mappings, dtypes, and modules that can be described themselves.
    Fields listed in a class attribute `supplied` are left out of the description; whoever rebuilds
    the module supplies them.

    Args:
        module: The class. Its name identifies it in descriptions.

    Returns:
        The same class.

    Raises:
        ValueError: Another class is registered under the same name.

    >>> @register_module
    ... class Ruler(nn.Module):
    ...     length: int
    >>> describe(Ruler(length=30))
    {'name': 'Ruler', 'length': 30}
    """
    name = module.__name__
    known = _MODULES.get(name)
    # A module that is reloaded, as in notebooks, may register its classes again.
    if known is not None and (known.__module__, known.__qualname__) != (
        module.__module__,
        module.__qualname__,
    ):
        raise ValueError(
            f"the class {known.__module__}.{known.__qualname__} is already registered as {name!r}; "
            "rename one of the two"
        )
    _MODULES[name] = module
    return module


def describe(model: nn.Module) -> dict[str, Any]:
    """Describes a model as data from which `from_description` can rebuild it.

    Args:
        model: Model made by `create_model`, or instance of a class registered with
            `register_module`.

    Returns:
        A dict that JSON can store: the `name`, and every option or field. For models of
        `create_model`, `create_model(**describe(model))` rebuilds the model too.

    Raises:
        ValueError: The model was not made by `create_model` and its class is not registered, the
            model was changed afterwards, or a field cannot be described.

    >>> describe(create_model("linear_classifier", num_classes=10, dtype="bfloat16"))
    {'name': 'linear_classifier', 'num_classes': 10, 'in_channels': None, 'dtype': 'bfloat16'}
    """
    if isinstance(model, Model) and type(model) not in _MODULES.values():
        return _describe_created(model)
    names = [name for name, module in _MODULES.items() if module is type(model)]
    if not names:
        raise ValueError(
            f"the class {type(model).__name__} is not registered, so it cannot be described; "
            "decorate it with models.register_module"
        )
    supplied = getattr(model, "supplied", ())
    fields = {
        field.name: _value(f"{names[0]}.{field.name}", getattr(model, field.name))
        for field in dataclasses.fields(model)
        if field.name not in ("parent", "name", *supplied)
    }
    description = {"name": names[0], **fields}
    if not supplied and _describe_again(description) != description:
        raise ValueError(f"this {type(model).__name__} differs from what {description} makes")
    return description


def from_description(
    description: Mapping[str, Any], *, supply: Mapping[str, Any] | None = None
) -> nn.Module:
    """Rebuilds a model from its description.

    Args:
        description: Result of `describe`.
        supply: Values of the fields that a class lists in `supplied`; see `register_module`.

    Raises:
        TypeError: The model has no such option.
        ValueError: No model has this name, or the value of an option is not allowed.

    >>> from_description({"name": "lenet5", "num_classes": 3}).num_classes
    3
    """
    name = description.get("name")
    if not isinstance(name, str) or (name not in _MODULES and name not in list_models()):
        raise ValueError(unknown_model(str(name), [*list_models(), *_MODULES]))
    if name not in _MODULES:
        return create_model(**description)
    module = _MODULES[name]
    fields = {key: _made(value) for key, value in description.items() if key != "name"}
    wanted = getattr(module, "supplied", ())
    return module(**fields, **{key: v for key, v in (supply or {}).items() if key in wanted})


def _describe_again(description: Mapping[str, Any]) -> dict[str, Any]:
    """Describes the model that a description rebuilds."""
    made = from_description(description)
    fields = {key: _value(key, getattr(made, key)) for key in description if key != "name"}
    return {"name": description["name"], **fields}


def _describe_created(model: Model) -> dict[str, Any]:
    if model.spec is None:
        raise ValueError(
            f"this {type(model).__name__} was not made by create_model, so it cannot be described; "
            "make it with create_model(name, ...)"
        )
    options: dict[str, Any] = {
        option: list(value) if isinstance(value, tuple) else value
        for option, value in model.spec.options
    }
    description = {"name": model.spec.name, **options}
    if create_model(model.spec.name, **options) != model.clone(parent=None, name=None):
        raise ValueError(
            f"this {type(model).__name__} no longer is what create_model(**{description}) makes: "
            "it was cloned with other values; give those to create_model"
        )
    return description


def _value(where: str, value: Any) -> Any:
    """Converts a field to a value that JSON can store."""
    if isinstance(value, nn.Module):
        return describe(value.clone(parent=None, name=None))
    if isinstance(value, Mapping):
        return {str(key): _value(f"{where}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(f"{where}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    try:
        return jnp.dtype(value).name
    except TypeError:
        raise ValueError(
            f"{where} is {value!r}, which cannot be described; make it a number, a string, a tuple "
            "or a mapping of such, a type of numbers, or a module of a registered class"
        ) from None


def _made(value: Any) -> Any:
    """Converts a value from JSON to a field."""
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            return from_description(value)
        return {key: _made(item) for key, item in value.items()}
    return tuple(_made(item) for item in value) if isinstance(value, list | tuple) else value
