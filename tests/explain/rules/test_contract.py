"""Relevance is conserved on every registered model."""

from functools import partial

import jax
import numpy as np
import pytest
import quick
from relevance_networks import numbers

from jaxvision import models
from jaxvision.explain import lrp
from jaxvision.explain.rules import AlphaBeta, Composite, Epsilon, Flat, Gamma, ZPlus

NAMES = models.list_models()
QUICK = {"lenet5"}
SLOW = {"resnet18", "mobilenet_v3_small", "vit_ti_16"}
# What makes models smaller without another path through them, by the start of their names.
SMALLER = {
    **{start: {"hidden_sizes": (32, 16)} for start in ("alexnet", "vgg", "zfnet")},
    **{start: {"num_blocks": 2} for start in ("vit_ti", "mixer")},
}
SHORTER = {"mobilenet_v3_small": {"rows": 1}, "resnet18": {"stage_sizes": (1, 1, 1, 1)}}
# Those that need larger images than 33x47.
LARGER = {"alexnet": (63, 65), "inception": (75, 77), "zfnet": (47, 49)}


def starting(table, name):
    return next((value for start, value in table.items() if name.startswith(start)), None)


def build(name):
    model = models.create_model(name, num_classes=5)
    options = {**(starting(SMALLER, name) or {}), **SHORTER.get(name, {})}
    if "rows" in options:
        options = {"rows": tuple(rows[:1] for rows in model.rows)}
    return model.clone(**options)


def draw_variables(model, images):
    """Random variables in the images' type, by which signals keep their scale."""
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return random.uniform(0.5, 1.5, leaf.shape).astype(images.dtype)
        fan_in = max(1, np.prod(leaf.shape[:-1]))
        scale = 0.1 if path[-1].key in ("bias", "mean") else 1.4 / np.sqrt(fan_in)
        return (random.normal(size=leaf.shape) * scale).astype(images.dtype)

    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.mark.parametrize("name", quick.only(NAMES, *QUICK, slow=SLOW))
def test_relevance_is_conserved(name):
    """In float64 without stabilizer: what is not in the map is with the biases."""
    size = starting(LARGER, name) or (33, 47)
    with jax.enable_x64(True):
        model = build(name)
        images = np.random.default_rng(1).normal(size=(2, *size, 3))
        variables = draw_variables(model, images)

        @quick.jit
        def explain(variables, images):
            f = partial(model.apply, variables)
            return lrp(f, images, 3, rule=Epsilon(0.0)), f(images)

        found, logits = explain(variables, images)
    found = numbers(found)
    total = found.map.sum((1, 2, 3)) + found.biases + found.stabilizers
    np.testing.assert_allclose(total, np.asarray(logits)[:, 3], rtol=1e-4)
    assert (np.abs(found.map).max((1, 2, 3)) > 0).all()


@pytest.mark.release
@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "mobilenet_v2", "vit_ti_16", "swin_t"])
@pytest.mark.parametrize(
    "rule",
    [
        Epsilon(),
        Gamma(),
        AlphaBeta(),
        Composite(Epsilon(), convolutions=ZPlus(), first=Flat()),
    ],
)
def test_relevance_is_conserved_in_float32(name, rule):
    images = np.random.default_rng(1).normal(size=(2, 33, 47, 3)).astype(np.float32)
    model = build(name)
    variables = draw_variables(model, images)

    @quick.jit
    def explain(variables, images):
        return lrp(partial(model.apply, variables), images, 3, rule=rule)

    assert np.asarray(explain(variables, images).error).max() < 1e-4
