import re

import jax
import numpy as np
import pytest
import quick
from safetensors.numpy import load_file, save_file
from traced import shapes_of

from jaxvision import models
from jaxvision.models.densenet import DenseLayer


@pytest.mark.parametrize(
    ("name", "count"),
    # test_torch_zoo.py holds the others to the shapes of torchvision and timm.
    quick.only(
        [
            ("densenet121", 7_978_856),
            ("densenet161", 28_681_000),
            ("densenet169", 14_149_480),
            ("densenet201", 20_013_928),
        ],
        "densenet121",
        slow=(),
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 63, 63).num_parameters == count


def test_maps_have_all_channels_of_their_block():
    assert shapes_of(models.create_model("densenet121"), 63, 63).maps == {
        2: (32, 32, 64),
        4: (16, 16, 256),
        8: (8, 8, 512),
        16: (4, 4, 1024),
        32: (2, 2, 1024),
    }
    # Transitions round down.
    shallow = models.create_model("densenet121", small_images=True).clone(block_sizes=(2, 4, 8, 1))
    assert shapes_of(shallow, 31, 31).maps == {
        1: (31, 31, 64 + 2 * 32),
        2: (15, 15, 64 + 4 * 32),
        4: (7, 7, 96 + 8 * 32),
        8: (3, 3, 176 + 32),
    }


def test_a_layer_keeps_its_input():
    layer = DenseLayer(growth_rate=3)

    @quick.jit
    def start(x):
        return layer.init_with_output(jax.random.key(1), x, train=False)

    x = np.random.default_rng(0).normal(size=(2, 5, 5, 6)).astype(np.float32)
    y, variables = jax.device_get(start(x))
    np.testing.assert_array_equal(y[..., :6], x)
    assert y.shape == (2, 5, 5, 9)
    assert variables["params"]["conv1"]["kernel"].shape == (1, 1, 6, 12)
    assert variables["params"]["conv2"]["kernel"].shape == (3, 3, 12, 3)


def test_dropout_leaves_the_input_alone():
    layer = DenseLayer(growth_rate=50, dropout=0.5)

    @quick.jit
    def start(x):
        keys = {"params": jax.random.key(1), "dropout": jax.random.key(2)}
        return layer.init_with_output(keys, x, train=True)[0]

    x = np.random.default_rng(0).normal(size=(2, 5, 5, 6)).astype(np.float32)
    y = np.asarray(start(x))
    np.testing.assert_array_equal(y[..., :6], x)
    assert 0.4 < (y[..., 6:] == 0).mean() < 0.6


@pytest.mark.parametrize(("small_images", "least"), [(False, 29), (True, 8)])
def test_the_least_size(small_images, least):
    model = models.create_model("densenet121", small_images=small_images)
    model = model.clone(block_sizes=(1, 1, 1, 1))
    assert [*shapes_of(model, least, least).maps.values()][-1][:2] == (1, 1)
    match = rf"at least {least}x{least}, got the shape \(1, {least - 1}, {least - 1}, 3\)"
    with pytest.raises(ValueError, match=match):
        shapes_of(model, least - 1, least - 1)


def test_files_of_torchvision_have_older_names(tmp_path):
    # densenet121-a639ec97.pth has norm.1 and conv.2 where the modules are norm1 and conv2.
    model = models.create_model("densenet121", num_classes=2).clone(block_sizes=(2, 1))
    variables = jax.tree.map(
        lambda leaf: np.random.default_rng(leaf.size).random(leaf.shape),
        shapes_of(model, 32, 32).variables,
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
