import functools

import jax
import numpy as np
import pytest

from jaxvision import models


@functools.cache
def trace(method, height, width, **options):
    """Gives the shapes that a method of a network makes, and those of the variables."""
    model = models.create_model("googlenet", **options)
    return jax.eval_shape(
        lambda image: model.init_with_output(jax.random.key(0), image, method=method),
        np.zeros((1, height, width, 3)),
    )


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_parameters_and_maps_of_the_original():
    maps, variables = trace("features", 224, 224, original=True)
    assert {stride: value.shape[1:] for stride, value in maps.items()} == {  # Table 1
        2: (112, 112, 64),
        4: (56, 56, 192),
        8: (28, 28, 480),
        16: (14, 14, 832),
        32: (7, 7, 1024),
    }
    assert set(variables) == {"params"}
    head = 1025 * 1000
    assert count(variables) + head == 6_998_552


def test_the_original_has_what_the_paper_has():
    _, variables = trace("features", 224, 224, original=True)
    convolution = variables["params"]["inception3a"]["branch2_conv1"]["conv"]
    assert convolution["kernel"].shape[:2] == (5, 5)
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    assert {path[-1].key for path, _ in leaves} == {"kernel", "bias"}
    assert not models.create_model("googlenet", original=True).torch_names()


def test_small_images_keep_their_size_at_first():
    maps, _ = trace("features", 32, 32, small_images=True)
    sizes = {stride: value.shape[1] for stride, value in maps.items()}
    assert sizes == {1: 32, 2: 16, 4: 8}


def test_auxiliary_heads_are_made_and_asked_for_only():
    (logits, auxiliary), variables = trace("with_auxiliary", 15, 15)
    assert [value.shape for value in (logits, *auxiliary)] == [(1, 1000)] * 3
    assert count(variables) == 13_004_888
    for name in ("auxiliary1", "auxiliary2"):
        assert variables["params"][name]["head"]["kernel"].shape == (1024, 1000)
    needed = {
        collection: {name: value for name, value in tree.items() if "auxiliary" not in name}
        for collection, tree in variables.items()
    }
    apply = models.create_model("googlenet").apply
    assert jax.eval_shape(apply, needed, np.zeros((1, 15, 15, 3))).shape == (1, 1000)

    (_, none), without = trace("with_auxiliary", 15, 15, auxiliary_heads=False)
    assert none == ()
    assert jax.tree.structure(without) == jax.tree.structure(needed)
    assert count(without) == 6_624_904


def test_every_branch_is_stacked_in_the_order_of_the_paper():
    # #1x1, #3x3, #5x5, pool proj of inception (3a) are 64, 128, 32 and 32.
    params = trace("with_auxiliary", 15, 15)[1]["params"]["inception3a"]
    last = ["branch0_conv0", "branch1_conv1", "branch2_conv1", "branch3_conv1"]
    widths = [params[name]["conv"]["kernel"].shape[-1] for name in last]
    assert widths == [64, 128, 32, 32]


@pytest.mark.release  # The narrower Inception-v3 tells the same of one auxiliary head.
def test_weights_of_auxiliary_heads_may_be_left_out_or_made_anew(tmp_path):
    model = models.create_model("googlenet", num_classes=10)
    shapes = trace("with_auxiliary", 15, 15, num_classes=10)[1]
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 2, leaf.dtype), shapes)
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


@pytest.mark.parametrize("options", [{"norm": "group"}, {"small_images": True}])
def test_original_refuses_what_it_cannot_have(options):
    with pytest.raises(ValueError, match="original=True has no normalization layers"):
        models.create_model("googlenet", original=True, **options)


def test_images_that_are_too_small():
    (logits, _), _ = trace("with_auxiliary", 15, 15)
    assert logits.shape == (1, 1000)
    with pytest.raises(ValueError, match="at least 15x15, got the shape"):
        trace("with_auxiliary", 15, 14)


@pytest.mark.slow
def test_images_that_are_too_small_for_the_original():
    maps, _ = trace("features", 31, 31, original=True)
    assert maps[32].shape == (1, 1, 1, 1024)
    with pytest.raises(ValueError, match="at least 31x31, got the shape"):
        trace("features", 31, 30, original=True)


def test_rates_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("googlenet", dropout=1.0)
    with pytest.raises(ValueError, match=r"auxiliary_dropout must be in \[0, 1\), got -1"):
        models.create_model("googlenet", auxiliary_dropout=-1.0)


def test_the_loss_counts_auxiliary_heads_with_the_papers_weight():
    assert models.create_model("googlenet").auxiliary_weight == 0.3
