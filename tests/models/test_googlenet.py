import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models

KEY = jax.random.key(0)
IMAGES = jnp.zeros((1, 33, 47, 3))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 13_004_888),
        ({"auxiliary_heads": False}, 6_624_904),
        ({"auxiliary_heads": False, "original": True}, 6_998_552),
    ],
)
def test_parameters(options, count, count_parameters):
    assert count_parameters(models.create_model("googlenet", **options), IMAGES.shape) == count


def test_maps_of_table_1():
    model = models.create_model("googlenet", original=True)
    features, variables = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        KEY,
        jnp.zeros((1, 224, 224, 3)),
    )
    assert {key: value.shape[1:] for key, value in features.items()} == {
        "stride2": (112, 112, 64),
        "stride4": (56, 56, 192),
        "stride8": (28, 28, 480),
        "stride16": (14, 14, 832),
        "stride32": (7, 7, 1024),
    }
    assert set(variables) == {"params"}


def test_small_images_keep_their_size_at_first():
    model = models.create_model("googlenet", small_images=True)
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        KEY,
        jnp.zeros((1, 32, 32, 3)),
    )
    sizes = {key: value.shape[1] for key, value in features.items()}
    assert sizes == {"stride1": 32, "stride2": 16, "stride4": 8}


def test_auxiliary_heads_are_made_and_asked_for_only():
    model = models.create_model("googlenet", num_classes=7)
    variables = jax.eval_shape(model.init, KEY, IMAGES)
    for name in ("auxiliary1", "auxiliary2"):
        assert variables["params"][name]["head"]["kernel"].shape == (1024, 7)
    logits, auxiliary = jax.eval_shape(
        lambda variables, x: model.apply(variables, x, method="with_auxiliary"), variables, IMAGES
    )
    assert [value.shape for value in (logits, *auxiliary)] == [(1, 7)] * 3
    for name in ("auxiliary1", "auxiliary2"):
        del variables["params"][name], variables["batch_stats"][name]
    assert jax.eval_shape(model.apply, variables, IMAGES).shape == (1, 7)
    without = models.create_model("googlenet", num_classes=7, auxiliary_heads=False)
    assert jax.tree.structure(jax.eval_shape(without.init, KEY, IMAGES)) == jax.tree.structure(
        variables
    )
    _, none = jax.eval_shape(
        lambda variables, x: without.apply(variables, x, method="with_auxiliary"), variables, IMAGES
    )
    assert none == ()


def test_weights_of_auxiliary_heads_may_be_left_out_or_made_anew(tmp_path):
    model = models.create_model("googlenet", num_classes=10)
    shapes = jax.eval_shape(model.init, KEY, IMAGES)
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 2.0, leaf.dtype), shapes)
    path = tmp_path / "googlenet.safetensors"
    models.save_weights(model, variables, path)

    without = models.create_model("googlenet", num_classes=10, auxiliary_heads=False)
    with pytest.warns(UserWarning, match="the auxiliary heads are left out"):
        loaded = models.load_weights(without, path)
    assert not [name for name in loaded["params"] if name.startswith("auxiliary")]

    fewer = models.create_model("googlenet", num_classes=3)
    with pytest.warns(UserWarning, match=r"auxiliary1/head/kernel \(1024, 10\) -> \(1024, 3\)"):
        loaded = models.load_weights(fewer, path)
    assert not loaded["params"]["auxiliary2"]["head"]["kernel"].any()
    assert loaded["params"]["auxiliary2"]["dense"]["kernel"].all()


def test_original_has_what_the_paper_has():
    model = models.create_model("googlenet", original=True, auxiliary_heads=False)
    images = jnp.zeros((1, 33, 47, 3))
    variables = jax.eval_shape(model.init, KEY, images)
    assert variables["params"]["inception3a"]["branch2_conv1"]["conv"]["kernel"].shape[:2] == (5, 5)
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    assert {path[-1].key for path, _ in leaves} == {"kernel", "bias"}
    assert not model.layouts()


@pytest.mark.parametrize("options", [{"norm": "group"}, {"small_images": True}])
def test_original_refuses_what_it_cannot_have(options):
    with pytest.raises(ValueError, match="original=True has no normalization layers"):
        models.create_model("googlenet", original=True, **options)


@pytest.mark.parametrize(("original", "least"), [(False, 15), (True, 31)])
def test_images_that_are_too_small(original, least):
    model = models.create_model("googlenet", original=original)
    logits, _ = jax.eval_shape(model.init_with_output, KEY, jnp.zeros((1, least, least, 3)))
    assert logits.shape == (1, 1000)
    with pytest.raises(ValueError, match=f"at least {least}x{least}, got the shape"):
        model.init(KEY, jnp.zeros((1, least, least - 1, 3)))


def test_rates_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("googlenet", dropout=1.0)
    with pytest.raises(ValueError, match=r"auxiliary_dropout must be in \[0, 1\), got -1"):
        models.create_model("googlenet", auxiliary_dropout=-1.0)


def test_the_loss_counts_auxiliary_heads_with_the_papers_weight():
    assert models.create_model("googlenet").auxiliary_weight == 0.3


def test_every_branch_is_stacked_in_the_order_of_the_paper():
    # #1x1, #3x3, #5x5, pool proj of inception (3a) are 64, 128, 32 and 32.
    model = models.create_model("googlenet")
    params = jax.eval_shape(model.init, KEY, IMAGES)["params"]["inception3a"]
    last = ["branch0_conv0", "branch1_conv1", "branch2_conv1", "branch3_conv1"]
    widths = [params[name]["conv"]["kernel"].shape[-1] for name in last]
    np.testing.assert_array_equal(widths, [64, 128, 32, 32])
