"""Registry of models: registers, creates and lists them by name."""

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

# The type that an option must have and its description, by the type of its default.
_KINDS: Mapping[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "an integer"),
    float: (Real, "a number"),
    str: (str, "a string"),
    tuple: (Sequence, "a list or tuple"),
}


def register(builder: Builder) -> Builder:
    """Registers a model for `create_model`, under the name of the function that builds it.

    For example:

        class MyNetOptions(ModelOptions, total=False):
            norm: str

        @register
        def my_net(**options: Unpack[MyNetOptions]) -> MyNet:
            return MyNet(depth=3, **options)

    Args:
        builder: Function that returns a model. Its parameters are the options of the model: each
            keyword-only with a default, or `**options: Unpack[T]`, where the TypedDict T names
            fields of the model class, which have the defaults. `num_classes`, `in_channels` and
            `dtype` must be among the options.

    Returns:
        The same function.

    Raises:
        TypeError: The parameters do not have these forms, or a required option is missing.
        ValueError: Another module has registered the name.

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
    # A module that is reloaded, as in notebooks, may register its models again.
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
        num_classes: Number of logits; None takes the model's default: 1000, or 10 for models made
            for ten classes.
        in_channels: Number of image channels; None takes that of the images at initialization.
        dtype: Floating-point dtype of the computation, or its name; None promotes the dtypes of
            images and parameters. Parameters are float32 in any case.
        **options: Other options of the model. They are fields of its class, and the signature of
            the function called `name` lists them.

    Returns:
        A Flax Linen module; see `Model` for its methods.

    Raises:
        TypeError: The name is none, or the model has no such option.
        ValueError: No model has this name, or the value of an option is not allowed.

    >>> model = create_model("resnet18", num_classes=10, small_images=True)
    >>> type(model).__name__, model.num_classes
    ('ResNet', 10)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be one of models.list_models(), got {name!r}")
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
            hint = ""
            if option in ("pretrained", "weights"):
                hint = "; models.load_pretrained makes a model with trained weights"
            raise TypeError(unknown(f"{name} option", option, defaults) + hint)
        settings[option] = _plain(f"{name}: {option}", value, defaults[option])
    if settings["dtype"] is not None:
        settings["dtype"] = str(canonical_dtype(settings["dtype"]))
    return builder(**settings).clone(spec=ModelSpec(name, tuple(settings.items())))


def list_models(pattern: str = "*") -> list[str]:
    """Lists the registered models.

    Args:
        pattern: Shell-style pattern: `*` matches any characters, `?` any one, `[...]` one of
            several.

    Returns:
        The matching names, sorted.

    >>> list_models("resnet*")
    ['resnet101', 'resnet152', 'resnet18', 'resnet34', 'resnet50']
    """
    return sorted(fnmatch.filter(_BUILDERS, pattern))


def unknown_model(name: str, known: Iterable[str]) -> str:
    """Words the error for an unknown model; for names from timm, it suggests the same model here.

    >>> unknown_model("vit_base_patch16_224.augreg_in21k", ["mlp", "vit_b_16"])
    "unknown model 'vit_base_patch16_224.augreg_in21k'; did you mean 'vit_b_16'? ..."
    """
    names = tuple(known)
    meant = nearest(without_tag(name), names, TIMM_NAMES)
    elsewhere = TIMM_NAMES if meant is None else {**TIMM_NAMES, name: meant}
    return unknown("model", name, names, elsewhere)


def _options(builder: Callable[..., Model]) -> dict[str, Any]:
    """Lists the options that a builder takes, with their defaults."""
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
    """Checks an option against the type of its default, and makes it a hashable Python value."""
    if isinstance(value, np.generic):
        value = value.item()
    kind, allowed = _KINDS.get(type(default), (object, ""))
    # In Python, bools are integers and strings are sequences; here, they are not.
    misread = (isinstance(value, bool) and kind is not bool) or (
        isinstance(value, str) and kind is Sequence
    )
    if kind is not object and (misread or not isinstance(value, kind)):
        raise ValueError(f"{where} must be {allowed}, got {value!r}")
    if isinstance(value, list | tuple):
        of = default[0] if default else None
        return tuple(_plain(f"{where}[{i}]", item, of) for i, item in enumerate(value))
    return value
