import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models

KEY = jax.random.key(0)
IMAGES = jnp.zeros((1, 75, 75, 3))


@pytest.mark.parametrize(("auxiliary_heads", "count"), [(True, 27_161_264), (False, 23_834_568)])
def test_parameters(auxiliary_heads, count, count_parameters):
    model = models.create_model("inception_v3", auxiliary_heads=auxiliary_heads)
    assert count_parameters(model, IMAGES.shape) == count


def test_maps_of_its_images():
    model = models.create_model("inception_v3")
    size = model.default_image_size
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        KEY,
        jnp.zeros((1, size, size, 3)),
    )
    assert {key: value.shape[1:] for key, value in features.items()} == {
        "stride2": (147, 147, 64),
        "stride4": (71, 71, 192),
        "stride8": (35, 35, 288),
        "stride16": (17, 17, 768),
        "stride32": (8, 8, 2048),
    }


def test_auxiliary_head_is_made_and_asked_for_only():
    model = models.create_model("inception_v3", num_classes=7)
    variables = jax.eval_shape(model.init, KEY, IMAGES)
    logits, auxiliary = jax.eval_shape(
        lambda variables, x: model.apply(variables, x, method="with_auxiliary"), variables, IMAGES
    )
    assert [value.shape for value in (logits, *auxiliary)] == [(1, 7)] * 2
    del variables["params"]["auxiliary"], variables["batch_stats"]["auxiliary"]
    assert jax.eval_shape(model.apply, variables, IMAGES).shape == (1, 7)


def test_weights_of_the_auxiliary_head_may_be_left_out(tmp_path):
    options = {"num_classes": 2, "pooled_widths": (32,), "narrow_widths": (128,)}
    model = models.create_model("inception_v3", **options)
    shapes = jax.eval_shape(model.init, KEY, IMAGES)
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    models.save_weights(model, variables, tmp_path / "inception_v3.safetensors")
    without = models.create_model("inception_v3", auxiliary_heads=False, **options)
    with pytest.warns(UserWarning, match="the auxiliary heads are left out"):
        loaded = models.load_weights(without, tmp_path / "inception_v3.safetensors")
    assert "auxiliary" not in loaded["params"]


@pytest.mark.parametrize("size", [(74, 80), (80, 74)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 75x75, got the shape \(1, \d+, \d+, 3\)"):
        models.create_model("inception_v3").init(KEY, jnp.zeros((1, *size, 3)))


def test_options_that_are_refused():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("inception_v3", dropout=1.0)
    with pytest.raises(ValueError, match="unknown norm 'btch'"):
        models.create_model("inception_v3", norm="btch")
