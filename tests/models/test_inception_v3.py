import functools

import jax
import numpy as np
import pytest
from traced import shapes_of

from jaxvision import models

NARROW = {"pooled_widths": (32,), "narrow_widths": (128,)}


def test_maps_and_parameters():
    model = models.create_model("inception_v3")
    size = model.default_image_size
    traced = shapes_of(model, size, size)
    assert traced.num_parameters == 27_161_264
    head = sum(leaf.size for leaf in jax.tree.leaves(traced.variables["params"]["auxiliary"]))
    assert traced.num_parameters - head == 23_834_568
    assert traced.maps == {
        2: (147, 147, 64),
        4: (71, 71, 192),
        8: (35, 35, 288),
        16: (17, 17, 768),
        32: (8, 8, 2048),
    }


@functools.cache
def shapes_of_a_narrow_one():
    """Traces a narrower network: its logits, its variables, and these without auxiliary head."""
    model = models.create_model("inception_v3", num_classes=2, **NARROW)
    logits, variables = jax.eval_shape(
        lambda image: model.init_with_output(jax.random.key(0), image, method="with_auxiliary"),
        np.zeros((1, 75, 75, 3)),
    )
    without = {
        collection: {name: value for name, value in tree.items() if name != "auxiliary"}
        for collection, tree in variables.items()
    }
    return logits, variables, without


def test_auxiliary_head_is_made_and_asked_for_only():
    (logits, auxiliary), _, without = shapes_of_a_narrow_one()
    assert [value.shape for value in (logits, *auxiliary)] == [(1, 2)] * 2
    apply = models.create_model("inception_v3", num_classes=2, **NARROW).apply
    assert jax.eval_shape(apply, without, np.zeros((1, 75, 75, 3))).shape == (1, 2)


def test_weights_of_the_auxiliary_head_may_be_left_out_or_made_anew(tmp_path):
    model = models.create_model("inception_v3", num_classes=2, **NARROW)
    _, shapes, shapes_without = shapes_of_a_narrow_one()
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    path = tmp_path / "inception_v3.safetensors"
    models.save_weights(model, variables, path)

    without = models.create_model("inception_v3", num_classes=2, auxiliary_heads=False, **NARROW)
    with pytest.warns(UserWarning, match="the auxiliary heads are left out"):
        loaded = models.load_weights(without, path)
    assert jax.tree.structure(loaded) == jax.tree.structure(shapes_without)

    more = models.create_model("inception_v3", num_classes=3, **NARROW)
    with pytest.warns(UserWarning, match=r"auxiliary/head/kernel \(768, 2\) -> \(768, 3\)"):
        loaded = models.load_weights(more, path)
    auxiliary = loaded["params"]["auxiliary"]
    assert not auxiliary["head"]["kernel"].any()
    assert (auxiliary["conv2"]["conv"]["kernel"] == 1).all()


@pytest.mark.parametrize("size", [(74, 80), (80, 74)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 75x75, got the shape \(1, \d+, \d+, 3\)"):
        shapes_of(models.create_model("inception_v3"), *size)


def test_options_that_are_refused():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("inception_v3", dropout=1.0)
    with pytest.raises(ValueError, match="unknown norm 'btch'"):
        models.create_model("inception_v3", norm="btch")
