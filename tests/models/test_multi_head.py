import json

import jax
import numpy as np
import pytest
import quick

from jaxvision import models

HEADS = {"digit": 10, "slant": 1}
IMAGES = np.random.default_rng(1).normal(size=(3, 32, 32, 1)).astype(np.float32)


def make(name="lenet5", **options):
    return models.MultiHead(backbone=models.create_model(name), heads=HEADS, **options)


def test_heads_on_the_vector_of_the_backbone(fill):
    model = make()
    variables = fill(model, IMAGES)
    params = variables["params"]
    assert set(params) == {"backbone", "head_digit", "head_slant"}
    assert "head" not in params["backbone"]

    @quick.jit
    def calls(variables, images):
        alone = {"params": variables["params"]["backbone"]}
        vector = model.backbone.apply(alone, images, method="embed")
        return vector, model.apply(variables, images)

    vector, outputs = jax.device_get(calls(variables, IMAGES))
    for name, size in HEADS.items():
        head = params[f"head_{name}"]
        assert outputs[name].shape == (3, size)
        np.testing.assert_allclose(outputs[name], vector @ head["kernel"] + head["bias"], rtol=1e-5)


def test_log_variances_start_at_zero():
    model = make("linear_classifier", learned_weights=True)

    @quick.jit
    def start(images):
        return model.init_with_output(jax.random.key(0), images, method="with_log_variances")

    (outputs, log_variances), variables = start(IMAGES)
    assert {name: float(value) for name, value in log_variances.items()} == dict.fromkeys(HEADS, 0)
    assert set(outputs) == set(HEADS)
    assert set(variables["params"]["head_weights"]) == set(HEADS)


def test_half_precision():
    backbone = models.create_model("resnet18", dtype="bfloat16").clone(stage_sizes=(1,))
    model = models.MultiHead(backbone=backbone, heads=HEADS)
    outputs, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGES)
    assert {output.dtype for output in outputs.values()} == {np.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


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


def test_a_name_may_begin_with_a_digit():
    model = models.MultiHead(backbone=models.create_model("lenet5"), heads={"3d_pose": 2})
    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    assert "head_3d_pose" in shapes["params"]


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({}, "heads must name at least one task"),
        ({"digit": 0}, "the head of 'digit' must have 1 or more outputs, got 0"),
        ({"a/b": 2}, "letters, digits and _, not 'a/b'"),
        ({"": 2}, "letters, digits and _, not ''"),
    ],
)
def test_heads_that_cannot_be(heads, message):
    with pytest.raises(ValueError, match=message):
        models.MultiHead(backbone=models.create_model("lenet5"), heads=heads)
