import pathlib

import jax
import numpy as np
import pytest
import quick
from safetensors.numpy import load_file, save_file
from traced import shapes_of

from jaxvision import models


def shallow(name="vit_ti_16", **options):
    return models.create_model(name, **options).clone(num_blocks=1)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def tiny(fill):
    """A ViT-Ti/16 with fewer blocks, and variables for 64x64 images."""
    model = models.create_model("vit_ti_16", num_classes=5).clone(num_blocks=2)
    return model, fill(model, np.zeros((1, 64, 64, 3)))


@pytest.mark.parametrize(
    ("name", "count"),
    # test_torch_zoo.py holds the others to the shapes of torchvision and timm.
    quick.only(
        [
            ("vit_ti_16", 5_717_416),
            ("vit_s_16", 22_050_664),
            ("vit_s_32", 22_878_952),
            ("vit_b_16", 86_567_656),
            ("vit_b_32", 88_224_232),
            ("vit_l_16", 304_326_632),
            ("vit_l_32", 306_535_400),
        ],
        "vit_ti_16",
        slow=(),
    ),
)
def test_parameters(name, count):
    # Without the maps, which would be traced apart.
    init = models.create_model(name).init
    variables = jax.eval_shape(init, jax.random.key(0), np.zeros((1, 224, 224, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("vit_ti_16", {}, {16: (3, 4, 192)}),
        ("vit_s_32", {}, {32: (2, 2, 384)}),
        ("vit_ti_16", {"small_images": True}, {4: (9, 13, 192)}),
    ],
)
def test_maps(name, options, expected):
    assert shapes_of(shallow(name, **options), 33, 50).maps == expected


def test_every_patch_has_its_place(tiny):
    model, variables = tiny
    images = draw(1, 64, 64, 3)
    swapped = np.concatenate([images[:, :, 16:32], images[:, :, :16], images[:, :, 32:]], axis=2)
    apply, both = quick.jit(model.apply), np.concatenate([images, swapped])
    logits = np.asarray(apply(variables, both))
    assert np.abs(logits[0] - logits[1]).max() > 1e-2
    # Without positions, a transformer takes patches in any order.
    positions = np.zeros((4, 4, 192), np.float32)
    tokens = {**variables["params"]["tokens"], "patch_position": positions}
    logits = np.asarray(apply({"params": {**variables["params"], "tokens": tokens}}, both))
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-4)


def test_the_head_starts_from_zero_and_tokens_from_small_positions():
    model = shallow()

    @quick.jit
    def some(images):
        params = model.init(jax.random.key(0), images)["params"]
        return params["head"]["kernel"], params["tokens"]

    head, tokens = jax.device_get(some(np.zeros((1, 224, 224, 3))))
    assert not head.any()
    assert not tokens["class_token"].any()
    np.testing.assert_allclose(tokens["patch_position"].std(), 0.02, rtol=0.02)
    np.testing.assert_allclose(tokens["class_position"].std(), 0.02, rtol=0.2)


def test_positions_are_interpolated_at_loading_as_at_run_time(tiny, tmp_path: pathlib.Path):
    model, variables = tiny
    path = tmp_path / "tiny.safetensors"
    models.save_weights(model, variables, path)
    with pytest.warns(UserWarning, match=r"tokens/patch_position \(4, 4, 192\) -> \(5, 6, 192\)"):
        adapted = models.load_weights(model, path, image_size=(80, 95))
    assert adapted["params"]["tokens"]["patch_position"].shape == (5, 6, 192)

    @quick.jit
    def calls(adapted, variables, images):
        return model.apply(adapted, images), model.apply(variables, images)

    at_loading, at_run_time = calls(adapted, variables, draw(2, 80, 95, 3))
    np.testing.assert_allclose(at_loading, at_run_time, atol=1e-5)
    assert np.abs(at_loading).max() > 0.1


@pytest.mark.parametrize("size", [(64, 64), (64, 48), (16, 48), (16, 16)])
def test_positions_for_any_size_are_saved_and_loaded(fill, size, tmp_path: pathlib.Path):
    model = shallow(num_classes=5)
    variables = fill(model, np.zeros((1, *size, 3)))
    path = tmp_path / "tiny.safetensors"
    models.save_weights(model, variables, path)
    patches = size[0] // 16 * size[1] // 16
    assert load_file(path)["pos_embed"].shape == (1, 1 + patches, 192)
    if size == (64, 48):  # the file has 12 positions, without their rows and columns
        with pytest.warns(UserWarning, match=r"\(1, 12, 192\) -> \(4, 3, 192\)"):
            loaded = models.load_weights(model, path, image_size=size)
    else:
        loaded = models.load_weights(model, path, image_size=size)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


@pytest.mark.parametrize("num_blocks", quick.only([1, 12], 1))
def test_names_of_torchvisions_older_files(num_blocks, tmp_path: pathlib.Path):
    model = models.create_model("vit_b_32", num_classes=2).clone(num_blocks=num_blocks)
    variables = jax.tree.map(
        lambda leaf: np.full(leaf.shape, 0.5, np.float32), shapes_of(model, 224, 224).variables
    )
    path = tmp_path / "vit.safetensors"
    models.save_weights(model, variables, path)
    state = load_file(path)
    last = f"encoder.layers.encoder_layer_{num_blocks - 1}"
    assert f"{last}.mlp.3.bias" in state
    old = {
        name.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): array
        for name, array in state.items()
    }
    assert f"{last}.mlp.linear_2.bias" in old
    save_file(old, path)
    loaded = models.load_weights(model, path)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


def test_older_names_of_blocks_whose_numbers_have_two_digits():
    names = models.create_model("vit_b_32").torch_names()["torchvision"]
    for block in range(12):
        for layer, now, before in (("dense1", "0", "linear_1"), ("dense2", "3", "linear_2")):
            name, _ = names.find(f"block{block}/mlp/{layer}/bias", 1)
            assert name == f"encoder.layers.encoder_layer_{block}.mlp.{now}.bias"
            older = f"encoder.layers.encoder_layer_{block}.mlp.{before}.bias"
            assert names.current_name(older) == name


def test_whose_weights_there_are():
    assert list(models.create_model("vit_s_16").torch_names()) == ["timm"]
    assert list(models.create_model("vit_b_16").torch_names()) == ["torchvision", "timm"]


def test_stochastic_depth_rises_over_the_blocks():
    model = models.create_model("vit_ti_16", stochastic_depth=0.22).bind({})
    rates = [getattr(model, f"block{i}").stochastic_depth for i in range(12)]
    np.testing.assert_allclose(rates, 0.02 * np.arange(12))


@pytest.mark.parametrize("option", ["dropout", "attention_dropout", "stochastic_depth"])
def test_rates_that_are_refused(option):
    with pytest.raises(ValueError, match=rf"{option} must be in \[0, 1\), got 1"):
        models.create_model("vit_ti_16", **{option: 1.0})
