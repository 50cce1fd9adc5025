"""Models by name: register, create and list."""

import dataclasses
import fnmatch
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar, Unpack, get_args, get_origin, get_type_hints

import numpy as np
from jax.typing import DTypeLike

from jaxvision.models.base import Model, ModelSpec, canonical_dtype
from jaxvision.models.timm_names import TIMM_NAMES, without_tag
from jaxvision.suggest import nearest, unknown

Builder = TypeVar("Builder", bound=Callable[..., Model])

_BUILDERS: dict[str, Callable[..., Model]] = {}

# What an option must be, told from its default.
_KINDS: Mapping[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "an integer"),
    float: (Real, "a number"),
    str: (str, "a string"),
    tuple: (Sequence, "a list or tuple"),
}


def register(builder: Builder) -> Builder:
    """Makes a model known to `create_model` under the name of the function that builds it.

    Args:
        builder: A function that returns a model. Its parameters are the model's options, all
            keyword-only with a default, or `**options: Unpack[T]` with a TypedDict T of fields of
            the model class, whose defaults are theirs. `num_classes`, `in_channels` and `dtype`
            are among them.

    Returns:
        The function itself.

    Raises:
        TypeError: The parameters are not as above.
        ValueError: Another module has registered the name.

        class MyNetOptions(ModelOptions, total=False):
            norm: str

        @register
        def my_net(**options: Unpack[MyNetOptions]) -> MyNet:
            return MyNet(depth=3, **options)

    >>> from jaxvision import models
    >>> register(models.resnet18) is models.resnet18
    True
    """
    name = builder.__name__
    options = _options(builder)
    missing = [
        option for option in ("num_classes", "in_channels", "dtype") if option not in options
    ]
    if missing:
        raise TypeError(f"{name} must take {', '.join(missing)}, as every model does")
    # A module that is loaded again (a notebook does so) may register its own models again.
    if name in _BUILDERS and _BUILDERS[name].__module__ != builder.__module__:
        raise ValueError(f"model {name!r} is already registered by {_BUILDERS[name].__module__}")
    _BUILDERS[name] = builder
    return builder


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    dtype: DTypeLike | None = None,
    **options: Any,
) -> Model:
    """Creates a registered model.

    Args:
        name: One of `list_models()`.
        num_classes: The number of logits; None takes the model's own default (1000, or 10 for the
            models that were made for ten classes).
        in_channels: The number of channels images must have; None takes what the first image has.
        dtype: What to compute in, a floating-point dtype or its name; None promotes the types of
            images and parameters. Parameters are float32 whatever it is.
        **options: The model's own options: fields of its class, listed in the signature of the
            function of its name.

    Returns:
        A Flax Linen module; see `Model` for the three calls it answers.

    Raises:
        TypeError: The model has no such option.
        ValueError: There is no such model, or a value is not allowed.

    >>> model = create_model("resnet18", num_classes=10, small_images=True)
    >>> type(model).__name__, model.num_classes
    ('ResNet', 10)
    """
    if name not in _BUILDERS:
        raise ValueError(unknown_model(name, _BUILDERS))
    builder = _BUILDERS[name]
    defaults = _options(builder)
    given = {**options, "in_channels": in_channels, "dtype": dtype}
    if num_classes is not None:
        given["num_classes"] = num_classes
    settings = dict(defaults)
    for option, value in given.items():
        if option not in defaults:
            raise TypeError(unknown(f"{name} option", option, defaults))
        settings[option] = _plain(f"{name}: {option}", value, defaults[option])
    if settings["dtype"] is not None:
        settings["dtype"] = str(canonical_dtype(settings["dtype"]))
    return builder(**settings).clone(spec=ModelSpec(name, tuple(settings.items())))


def list_models(pattern: str = "*") -> list[str]:
    """Lists the registered models.

    Args:
        pattern: A shell-style pattern: `*` any characters, `?` any one, `[...]` one of several.

    Returns:
        The matching names, sorted; none if nothing matches.

    >>> list_models("resnet*")
    ['resnet101', 'resnet152', 'resnet18', 'resnet34', 'resnet50']
    """
    return sorted(fnmatch.filter(_BUILDERS, pattern))


def unknown_model(name: str, known: Iterable[str]) -> str:
    """Says that there is no such model; names of timm's lead to the model of the same kind here.

    Args:
        name: The name that was not found.
        known: The names of the models that there are.

    Returns:
        One sentence for an exception.

    >>> unknown_model("vit_base_patch16_224.augreg_in21k", ["mlp", "vit_b_16"])
    "unknown model 'vit_base_patch16_224.augreg_in21k'; did you mean 'vit_b_16'? ..."
    """
    names = tuple(known)
    meant = nearest(without_tag(name), names, TIMM_NAMES)
    elsewhere = TIMM_NAMES if meant is None else {**TIMM_NAMES, name: meant}
    return unknown("model", name, names, elsewhere)


def _options(builder: Callable[..., Model]) -> dict[str, Any]:
    """The options of the model that a function builds, with their defaults."""
    options: dict[str, Any] = {}
    signature = inspect.signature(builder)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and get_origin(parameter.annotation) is Unpack:
            fields = dataclasses.fields(signature.return_annotation)
            defaults = {field.name: field.default for field in fields}
            (typed,) = get_args(parameter.annotation)
            options |= {option: defaults[option] for option in get_type_hints(typed)}
        elif parameter.kind is not parameter.KEYWORD_ONLY or parameter.default is parameter.empty:
            raise TypeError(
                f"{builder.__name__}: parameter {parameter} must be keyword-only with a default"
            )
        else:
            options[parameter.name] = parameter.default
    return options


def _plain(where: str, value: Any, default: Any) -> Any:
    """Checks an option against the kind of its default; gives it as a hashable Python value."""
    if isinstance(value, np.generic):
        value = value.item()
    kind, allowed = _KINDS.get(type(default), (object, ""))
    # A bool is an int to Python, and a string is a sequence; neither is meant where they pass.
    misread = (isinstance(value, bool) and kind is not bool) or (
        isinstance(value, str) and kind is Sequence
    )
    if kind is not object and (misread or not isinstance(value, kind)):
        raise ValueError(f"{where} must be {allowed}, got {value!r}")
    if isinstance(value, list | tuple):
        of = default[0] if default else None
        return tuple(_plain(f"{where}[{i}]", item, of) for i, item in enumerate(value))
    return value
