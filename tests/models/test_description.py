"""Models as data: those of `create_model`, and classes of one's own, composed or not."""

import json
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models


@models.register_module
class Decoder(nn.Module):
    """Fields of every kind that can be described."""

    backbone: nn.Module
    sizes: tuple[int, ...] = (3, 5)
    heads: Mapping[str, int] | None = None
    dtype: object = None
    rate: float = 0.5
    name_of_norm: str = "batch"
    others: tuple[nn.Module, ...] = ()


@models.register_module
class Strange(nn.Module):
    field: object


BACKBONE = models.create_model("resnet18", num_classes=3, small_images=True)


@pytest.mark.parametrize(
    "model",
    [
        BACKBONE,
        models.MultiHead(backbone=BACKBONE, heads={"digit": 10}, learned_weights=True),
        Decoder(BACKBONE),
        Decoder(
            Decoder(models.create_model("lenet5", dtype="bfloat16"), sizes=()),
            heads={"name": 3, "kind": 2},
            rate=np.float32(0.25).item(),
            others=(Strange("a"), Strange(((1, 2.5), "b", None, True))),
        ),
    ],
    ids=["created", "heads", "composed", "nested"],
)
def test_a_description_makes_the_same_model(model) -> None:
    described = json.loads(json.dumps(models.describe(model)))
    again = models.from_description(described)
    assert type(again) is type(model)
    assert models.describe(again) == described
    if not isinstance(model, Decoder) or not model.others:
        assert again == model


def test_types_of_numbers_are_their_names() -> None:
    described = models.describe(Decoder(BACKBONE, dtype=jnp.bfloat16))
    assert described["dtype"] == "bfloat16"
    assert models.from_description(described).dtype == "bfloat16"


def test_a_module_that_was_bound_is_described_alone() -> None:
    """As it is inside of another, where it has a parent and a name."""
    decoder = Decoder(BACKBONE).bind({})
    assert models.describe(decoder.backbone) == models.describe(BACKBONE)


class Unknown(nn.Module):
    pass


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Unknown(), "class Unknown is not registered, .* decorate it with models.register_module"),
        (Decoder(Unknown()), "class Unknown is not registered"),
        (Strange(nn.relu), r"Strange.field is .*, which cannot be described; make it a number"),
        (Decoder(BACKBONE.clone(num_classes=7)), "no longer is what create_model"),
        (Decoder(BACKBONE.clone(spec=None)), "was not made by create_model"),
    ],
)
def test_what_cannot_be_described(model, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.describe(model)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"name": "Decodr"}, "unknown model 'Decodr'; did you mean 'Decoder'"),
        ({"name": 3}, "unknown model '3'"),
        ({}, "unknown model 'None'"),
        ({"name": "Decoder", "backbone": {"name": "resnet81"}}, "did you mean 'resnet18'"),
    ],
)
def test_what_describes_nothing(description, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.from_description(description)


def test_a_name_that_is_taken() -> None:
    other = type("Decoder", (nn.Module,), {"__module__": "elsewhere"})
    with pytest.raises(ValueError, match="Decoder is already registered as 'Decoder'; rename"):
        models.register_module(other)
    assert models.register_module(Decoder) is Decoder
