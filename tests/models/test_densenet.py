import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from safetensors.numpy import load_file, save_file

from jaxvision import models
from jaxvision.models.densenet import DenseLayer


@pytest.mark.parametrize(
    ("name", "count"),
    quick.only(
        [
            ("densenet121", 7_978_856),
            ("densenet161", 28_681_000),
            ("densenet169", 14_149_480),
            ("densenet201", 20_013_928),
        ],
        "densenet121",
    ),
)
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 64, 64, 3)) == count


def shapes_of(model, size):
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        jnp.zeros((1, size, size, 3)),
    )
    return {key: value.shape[1:] for key, value in features.items()}


def test_maps_have_all_channels_of_their_block():
    assert shapes_of(models.create_model("densenet121"), 63) == {
        "stride2": (32, 32, 64),
        "stride4": (16, 16, 256),
        "stride8": (8, 8, 512),
        "stride16": (4, 4, 1024),
        "stride32": (2, 2, 1024),
    }
    # Transitions round down.
    assert shapes_of(models.create_model("densenet121", small_images=True), 31) == {
        "stride1": (31, 31, 256),
        "stride2": (15, 15, 512),
        "stride4": (7, 7, 1024),
        "stride8": (3, 3, 1024),
    }


def test_a_layer_keeps_its_input():
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 6))
    layer = DenseLayer(growth_rate=3)
    y, variables = jax.jit(partial(layer.init_with_output, train=False))(jax.random.key(1), x)
    np.testing.assert_array_equal(y[..., :6], x)
    assert y.shape == (2, 5, 5, 9)
    assert variables["params"]["conv1"]["kernel"].shape == (1, 1, 6, 12)
    assert variables["params"]["conv2"]["kernel"].shape == (3, 3, 12, 3)


def test_dropout_leaves_the_input_alone():
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 6))
    layer = DenseLayer(growth_rate=50, dropout=0.5)
    keys = {"params": jax.random.key(1), "dropout": jax.random.key(2)}
    y, _ = jax.jit(partial(layer.init_with_output, train=True))(keys, x)
    np.testing.assert_array_equal(y[..., :6], x)
    assert 0.4 < (y[..., 6:] == 0).mean() < 0.6


@pytest.mark.parametrize(("small_images", "least"), [(False, 29), (True, 8)])
def test_the_least_size(small_images, least):
    model = models.create_model("densenet121", small_images=small_images)
    assert (1, 1, 1024) in shapes_of(model, least).values()
    match = rf"at least {least}x{least}, got the shape \(1, {least - 1}, {least - 1}, 3\)"
    with pytest.raises(ValueError, match=match):
        shapes_of(model, least - 1)


def test_files_of_torchvision_have_older_names(tmp_path):
    # densenet121-a639ec97.pth has norm.1 and conv.2 where the modules are norm1 and conv2.
    model = models.create_model("densenet121", num_classes=2).clone(block_sizes=(2, 1))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    variables = jax.tree.map(
        lambda leaf: np.random.default_rng(leaf.size).random(leaf.shape), shapes
    )
    models.save_weights(model, variables, tmp_path / "new.safetensors")
    state = load_file(tmp_path / "new.safetensors")
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer2.norm.1.running_var" in old
    save_file(old, tmp_path / "old.safetensors")
    for name in ("new", "old"):
        loaded = models.load_weights(model, tmp_path / f"{name}.safetensors")
        for value, expected in zip(
            jax.tree.leaves(loaded), jax.tree.leaves(variables), strict=True
        ):
            np.testing.assert_array_equal(value, expected.astype(np.float32))


def test_a_share_is_below_one():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.0"):
        models.create_model("densenet121", dropout=1.0)
