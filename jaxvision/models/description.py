"""Models as data, so that the same can be made again."""

from collections.abc import Mapping
from typing import Any

from jaxvision.models.base import Model
from jaxvision.models.multi_head import MultiHead
from jaxvision.models.registry import create_model


def describe(model: Model | MultiHead) -> dict[str, Any]:
    """Describes a model by what makes it again.

    Args:
        model: A model that `create_model` made, or several heads on one.

    Returns:
        A dict fit for JSON, so that `from_description(describe(model)) == model`. Of a model of
        `create_model`, the name and every option: `create_model(**describe(model))` makes it too.

    Raises:
        ValueError: The model was not made by `create_model`, or was changed since.

    >>> describe(create_model("linear_classifier", num_classes=10, dtype="bfloat16"))
    {'name': 'linear_classifier', 'num_classes': 10, 'in_channels': None, 'dtype': 'bfloat16'}
    """
    if isinstance(model, MultiHead):
        return {
            "backbone": describe(model.backbone),
            "heads": dict(model.heads),
            "learned_weights": model.learned_weights,
        }
    if model.spec is None:
        raise ValueError(
            f"this {type(model).__name__} was not made by create_model, so there is no name to "
            "make it again from; make it with create_model(name, ...)"
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


def from_description(description: Mapping[str, Any]) -> Model | MultiHead:
    """Makes a model again.

    Args:
        description: What `describe` gave.

    Returns:
        The model.

    Raises:
        TypeError: An option is unknown.
        ValueError: A model is unknown, or a value is not allowed.

    >>> from_description({"name": "lenet5", "num_classes": 3}).num_classes
    3
    """
    if "backbone" not in description:
        return create_model(**description)
    options = {**description, "backbone": create_model(**description["backbone"])}
    return MultiHead(**options)
