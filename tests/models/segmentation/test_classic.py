"""U-Net, SegNet, FCN-8s and the context module as they were published."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import models
from jaxvision.models.segmentation.fcn import bilinear

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def shape(height: int, width: int, channels: int = 1, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((2, height, width, channels), dtype)


def traced(model, images) -> tuple:
    return jax.eval_shape(model.init_with_output, KEY, images)


def count(variables) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_unet_has_the_parameters_and_sizes_of_the_paper() -> None:
    logits, variables = traced(models.ClassicUNet(num_classes=2), shape(572, 572))
    assert logits.shape == (2, 388, 388, 2)
    assert count(variables) == 31_030_658
    assert list(variables) == ["params"]
    padded, more = traced(models.ClassicUNet(num_classes=2, padded=True), shape(75, 118))
    assert padded.shape == (2, 75, 118, 2)
    assert count(more) == 31_030_658


def test_every_scale_of_a_unet_may_have_logits() -> None:
    model = models.ClassicUNet(num_classes=3, channels=(4, 8, 8), padded=True, auxiliary=True)
    images = shape(37, 50)
    variables = jax.eval_shape(model.init, KEY, images)
    logits, coarse = jax.eval_shape(
        lambda v, x: model.apply(v, x, method="with_auxiliary"), variables, images
    )
    assert logits.shape == (2, 37, 50, 3)
    assert [each.shape for each in coarse] == [(2, 9, 12, 3), (2, 18, 25, 3)]
    assert {name for name in variables["params"] if "head" in name} == {"head", "head1", "head2"}
    patched = models.PatchedSegmenter(segmenter=model.clone(num_classes=12), patch_size=2)
    variables = jax.eval_shape(patched.init, KEY, images)
    logits, coarse = jax.eval_shape(
        lambda v, x: patched.apply(v, x, method="with_auxiliary"), variables, images
    )
    assert logits.shape == (2, 37, 50, 3)
    assert [each.shape for each in coarse] == [(2, 8, 12, 3), (2, 18, 24, 3)]
    with pytest.raises(ValueError, match="auxiliary=True needs padded=True"):
        models.ClassicUNet(num_classes=3, auxiliary=True)


def test_unet_without_padding_sees_the_middle() -> None:
    """Each logit is that of the pixel in its place: 8 pixels and more from each border."""
    model = models.ClassicUNet(num_classes=1, channels=(2, 3), dropout=0.0)
    images = RNG.normal(size=(1, 28, 36, 1)).astype(np.float32)
    variables = jax.jit(model.init)(KEY, images)
    apply = quick.jit(model.apply)
    logits = np.asarray(apply(variables, images))
    border = (images.shape[1] - logits.shape[1]) // 2
    assert logits.shape == (1, 12, 20, 1)
    moved = np.roll(images, (2, 4), (1, 2))
    np.testing.assert_allclose(
        np.asarray(apply(variables, moved))[:, 2:, 4:], logits[:, :-2, :-4], atol=1e-6
    )
    changed = images.copy()
    changed[0, border + 5, border + 7] += 1
    rows, columns = np.nonzero(np.abs(np.asarray(apply(variables, changed)) - logits)[0, ..., 0])
    assert (rows.min() + rows.max()) / 2 == pytest.approx(5, abs=1)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(7, abs=1)


def test_segnet_puts_maxima_back() -> None:
    """With convolutions that copy, what comes back is the maxima of the image, in their places."""
    model = models.SegNet(num_classes=1, channels=(1,), depths=(1,))
    images = RNG.uniform(1, 2, (1, 6, 9, 1)).astype(np.float32)
    variables = jax.tree.map(np.zeros_like, jax.jit(model.init)(KEY, images))
    for name in ("down0_0", "head"):
        layer = variables["params"][name]
        layer = layer.get("conv", layer)
        layer["kernel"][1, 1] = 1
    variables["params"]["down0_0"]["norm"]["scale"][:] = 1
    variables["batch_stats"]["down0_0"]["norm"]["var"][:] = 1 - 1e-5
    found = np.asarray(quick.jit(model.apply)(variables, images))[0, ..., 0]
    blocks = images[0, :, :8, 0].reshape(3, 2, 4, 2)
    kept = np.where(blocks == blocks.max((1, 3), keepdims=True), blocks, 0).reshape(6, 8)
    np.testing.assert_allclose(found[:, :8], kept, rtol=1e-6)
    assert not found[:, 8].any()


def test_segnet_is_vgg16_and_its_mirror() -> None:
    logits, variables = traced(models.SegNet(num_classes=12), shape(99, 130, 3))
    assert logits.shape == (2, 99, 130, 12)
    assert sum(name.startswith("down") for name in variables["params"]) == 13
    assert sum(name.startswith("up") for name in variables["params"]) == 12
    convolutions = 2 * 14_710_464 - 64 * 3 * 9 - 64 * 64 * 9  # VGG-16's, without biases
    assert count(variables) > convolutions


@pytest.mark.parametrize(("finest", "heads"), [(8, 3), (16, 2), (32, 1)])
def test_fcn_scores_as_many_maps_as_its_name_says(finest: int, heads: int) -> None:
    backbone = models.create_model("resnet18")
    model = models.SkipFCN(backbone=backbone, num_classes=5, finest=finest, hidden_channels=16)
    logits, variables = traced(model, shape(97, 70, 3))
    assert logits.shape == (2, 97, 70, 5)
    assert sum(name.startswith("head") for name in variables["params"]) == heads
    with pytest.raises(ValueError, match="at most the coarsest stride of the backbone, 32, got 64"):
        traced(models.SkipFCN(backbone=backbone, num_classes=5, finest=64), shape(97, 70, 3))


def test_fcn_doubles_as_bilinear_interpolation() -> None:
    layer = models.segmentation.fcn.ConvTranspose(
        2, (4, 4), strides=(2, 2), use_bias=False, kernel_init=bilinear
    )
    x = RNG.normal(size=(1, 5, 6, 2)).astype(np.float32)
    doubled = quick.jit(lambda x: layer.init_with_output(KEY, x)[0])(x)
    wanted = jax.image.resize(x, (1, 10, 12, 2), "bilinear")
    np.testing.assert_allclose(doubled[:, 2:-2, 2:-2], wanted[:, 2:-2, 2:-2], atol=1e-6)


@pytest.mark.parametrize("widths", [(1,) * 7, (2, 2, 4, 8, 16, 32, 32)])
def test_the_context_module_starts_as_the_identity(widths) -> None:
    scores = RNG.uniform(size=(1, 9, 7, 3)).astype(np.float32)
    module = models.ContextModule(widths=widths)
    found = quick.jit(lambda x: module.init_with_output(KEY, x)[0])(scores)
    np.testing.assert_allclose(found, scores, rtol=1e-6)


def test_the_context_module_sees_67_pixels() -> None:
    module = models.ContextModule()
    scores = np.ones((1, 81, 81, 1), np.float32)
    variables = jax.tree.map(lambda leaf: np.ones_like(leaf), jax.jit(module.init)(KEY, scores))
    middle = quick.jit(jax.grad(lambda x: module.apply(variables, x)[0, 40, 40, 0]))
    seen = np.asarray(middle(scores))[0, ..., 0] != 0
    assert seen[7:74, 7:74].all()
    assert seen.sum() == 67 * 67


@pytest.mark.parametrize(
    "model",
    [
        models.ClassicUNet(num_classes=2, padded=True, norm="group", dtype="bfloat16"),
        models.SegNet(num_classes=2, channels=(8, 16), depths=(1, 2), dtype="bfloat16"),
        models.SkipFCN(
            backbone=models.create_model("lenet5", dtype="bfloat16"), num_classes=2, finest=2
        ),
        models.ContextModule(dtype="bfloat16"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_they_compute_in_bfloat16_and_are_made_again(model) -> None:
    logits, variables = traced(model, shape(52, 61, dtype=jnp.bfloat16))
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    assert models.from_description(json.loads(json.dumps(models.describe(model)))) == model


def test_scales_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="one number for each scale"):
        models.SegNet(num_classes=2, channels=(8, 16), depths=(1,))
    with pytest.raises(ValueError, match="at least 16x16"):
        traced(models.ClassicUNet(num_classes=2, padded=True), shape(9, 40))
