import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models

HEADS = {"digit": 10, "slant": 1}
IMAGES = jax.random.normal(jax.random.key(1), (3, 32, 32, 1))


def make(name="lenet5", **options):
    return models.MultiHead(backbone=models.create_model(name), heads=HEADS, **options)


def test_heads_on_the_vector_of_the_backbone():
    model = make()
    variables = model.init(jax.random.key(0), IMAGES)
    params = variables["params"]
    assert set(params) == {"backbone", "head_digit", "head_slant"}
    assert "head" not in params["backbone"]
    vector = model.backbone.apply({"params": params["backbone"]}, IMAGES, method="embed")
    outputs = model.apply(variables, IMAGES)
    for name, size in HEADS.items():
        head = params[f"head_{name}"]
        assert outputs[name].shape == (3, size)
        np.testing.assert_allclose(outputs[name], vector @ head["kernel"] + head["bias"], rtol=1e-5)


def test_log_variances_start_at_zero():
    model = make(learned_weights=True)
    variables = model.init(jax.random.key(0), IMAGES)
    outputs, log_variances = model.apply(variables, IMAGES, method="with_log_variances")
    assert {name: float(value) for name, value in log_variances.items()} == dict.fromkeys(HEADS, 0)
    assert set(outputs) == set(HEADS)
    assert set(variables["params"]["head_weights"]) == set(HEADS)


def test_half_precision():
    backbone = models.create_model("resnet18", dtype="bfloat16", small_images=True)
    model = models.MultiHead(backbone=backbone, heads=HEADS)
    outputs, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGES)
    assert {output.dtype for output in outputs.values()} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_layers_are_those_of_the_backbone_and_all_heads_the_last():
    order = models.layer_order(make(learned_weights=True), IMAGES.shape[1:])
    assert order == (
        *((f"backbone/{name}",) for name in ("c1", "c3", "c5", "f6")),
        ("head_digit", "head_slant", "head_weights"),
    )


@pytest.mark.parametrize("learned_weights", [False, True])
def test_the_description_makes_the_same(learned_weights):
    model = make("resnet18", learned_weights=learned_weights)
    again = models.from_description(json.loads(json.dumps(models.describe(model))))
    assert again == model
    assert hash(again) == hash(model)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({}, "heads must name at least one task"),
        ({"digit": 0}, "the head of 'digit' must have 1 or more outputs, got 0"),
        ({"a/b": 2}, "letters, digits and _, not 'a/b'"),
    ],
)
def test_heads_that_cannot_be(heads, message):
    with pytest.raises(ValueError, match=message):
        models.MultiHead(backbone=models.create_model("lenet5"), heads=heads)
