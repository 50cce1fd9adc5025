"""Decoders over backbones: sizes, names, and what other libraries compute with the same weights."""

import gzip
import json
import math
import pathlib
import warnings

import jax
import jax.numpy as jnp
import make_torch_zoo as zoo
import numpy as np
import pytest
import quick
from safetensors.numpy import load_file

from jaxvision import models, ops
from jaxvision._trees import by_path

FOLDER = pathlib.Path(__file__).parents[2] / "fixtures" / "torch_segmenters"
CASES = sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))
KEY = jax.random.key(0)

# Over ResNet-34, one class: segmentation_models_pytorch 0.6.0, which has no FCN.
COUNTS = {
    "deeplabv3": 26_007_105,
    "deeplabv3_plus": 22_437_457,
    "fcn": 21_284_672 + 512 * 128 * 9 + 256 + 129,
    "fpn": 23_155_393,
    "linknet": 21_771_937,
    "manet": 31_783_633,
    "pan": 21_475_816,
    "pspnet": 21_437_985,
    "unet": 24_436_369,
    "unet_plus_plus": 26_078_609,
}
# One of each kind of backbone: small maps, no padding, no stride of 2, one map, no convolution.
BACKBONES = ("lenet5", "alexnet", "convnext_tiny", "vit_ti_16", "swin_t", "mobilenet_v2")


def images(height: int, width: int, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((2, height, width, 3), dtype)


def traced(model: models.Segmenter, shape: jax.ShapeDtypeStruct) -> tuple:
    return jax.eval_shape(model.init_with_output, KEY, shape)


def test_every_segmenter_has_a_count() -> None:
    assert {*models.list_segmenters()} == COUNTS.keys()


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_parameters(name: str) -> None:
    model = models.create_segmenter(name, num_classes=1)
    logits, variables = traced(model, images(192, 160))
    assert logits.shape == (2, 192, 160, 1)
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
    assert count == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "expected"), [("fcn", 35_322_218), ("deeplabv3", 39_638_869 + 2_365_205)]
)
def test_counts_with_torchvisions_auxiliary_classifier(name: str, expected: int) -> None:
    model = models.create_segmenter(name, backbone="resnet50", num_classes=21, auxiliary=True)
    _, variables = traced(model, images(64, 64))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"])) == expected


def test_auxiliary_logits_need_two_maps() -> None:
    backbone = models.create_model("vit_ti_16")
    model = models.create_segmenter("fcn", backbone=backbone, num_classes=3, auxiliary=True)
    with pytest.raises(ValueError, match="a backbone of two maps or more"):
        traced(model, images(224, 224))


@pytest.mark.parametrize("name", COUNTS)
def test_sizes_that_are_no_multiple_of_the_stride(name: str) -> None:
    model = models.create_segmenter(name, backbone="resnet18", num_classes=3, dtype="bfloat16")
    logits, variables = traced(model, images(131, 190, jnp.bfloat16))
    assert logits.shape == (2, 131, 190, 3)
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


@pytest.mark.parametrize("backbone", quick.only(models.list_models(), "lenet5", slow=BACKBONES))
def test_unet_over_any_backbone(backbone: str) -> None:
    if backbone in ("linear_classifier", "mlp"):
        pytest.skip("it has no maps")
    model = models.create_segmenter("unet", backbone=backbone, num_classes=2)
    size = model.default_image_size + 3
    logits, _ = traced(model, images(size, size))
    assert logits.shape == (2, size, size, 2)


@pytest.mark.parametrize("name", quick.only(CASES, "smp-Unet-resnet18"))
def test_logits_are_torchs(name: str, tmp_path: pathlib.Path) -> None:
    case = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    state = {key: zoo.draw(key, tuple(shape), case["gain"]) for key, shape in case["state"].items()}
    backbone = models.create_model(**case["backbone"])
    model = models.create_segmenter(case["name"], backbone=backbone, num_classes=3, **case["ours"])
    with warnings.catch_warnings(record=True, action="always") as said:
        variables = models.load_weights(model, state)

    @quick.jit
    def apply(variables, images):
        logits, coarse = model.apply(variables, images, method="with_auxiliary")
        return logits, [ops.resize(each, logits.shape[1:3]) for each in coarse]

    logits, coarse = apply(variables, zoo.draw_images(tuple(case["size"])))
    np.testing.assert_allclose(logits[:, ::8, ::8], case["logits"], atol=1e-4)
    for each in coarse:
        np.testing.assert_allclose(each[:, ::8, ::8], case["auxiliary"], atol=1e-4)
    assert len(coarse) == ("auxiliary" in case)

    models.save_weights(model, variables, tmp_path / "again.safetensors", library=case["package"])
    again = load_file(tmp_path / "again.safetensors")
    for key, array in again.items():
        np.testing.assert_array_equal(state[key], array)
    # One block has attention there that is never applied.
    left = state.keys() - again.keys()
    assert all(key.startswith("decoder.blocks.4.attention1.") for key in left)
    assert len(left) == (6 if "attention" in case["ours"] else 0)
    assert ["attention where no map is appended" in str(each.message) for each in said] == (
        [True] if left else []
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == case["num_parameters"] - sum(state[key].size for key in left)


@pytest.mark.parametrize("name", COUNTS)
def test_descriptions_make_the_same_model_again(name: str) -> None:
    model = models.create_segmenter(name, backbone="resnet18", num_classes=5, norm="group")
    description = json.loads(json.dumps(models.describe(model)))
    assert models.from_description(description) == model


def test_weights_of_a_classifier_become_those_of_the_backbone() -> None:
    classifier = models.create_model("lenet5", in_channels=1)
    model = models.create_segmenter("unet", backbone=classifier, num_classes=2)
    image = np.zeros((1, 28, 28, 1), np.float32)
    variables, trained = (jax.jit(each.init)(KEY, image) for each in (model, classifier))
    tuned = by_path(models.with_backbone(variables, trained))
    before, given = by_path(variables), by_path(trained)
    for path, leaf in tuned.items():
        inner = path.replace("params/backbone/", "params/")
        assert leaf is (given[inner] if "/backbone/" in path else before[path])
    other = jax.jit(models.create_model("lenet5", in_channels=3).init)(
        KEY, np.zeros((1, 28, 28, 3))
    )
    with pytest.raises(ValueError, match=r"params/c1/kernel has the shape \(5, 5, 3, 6\)"):
        models.with_backbone(variables, other)
    with pytest.raises(ValueError, match="params has no c1"):
        models.with_backbone(variables, {"params": {}})


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("u_net", {}, ValueError, "unknown segmenter 'u_net'; did you mean 'unet'"),
        ("unet", {"atention": True}, TypeError, "unknown unet option 'atention'"),
        ("unet", {"backbone": "resnet19"}, ValueError, "unknown model 'resnet19'"),
        ("unet", {"num_classes": 0}, ValueError, "num_classes must be 1 or more, got 0"),
        ("unet", {"backbone": "lenet5", "output_stride": 8}, TypeError, "output_stride"),
        ("unet", {"upsampling": "cubic"}, ValueError, "unknown upsampling 'cubic'"),
        ("unet", {"channels": (8, 8)}, ValueError, "for each of the strides 16, 8, 4, 2, 1"),
        ("pspnet", {"stride": 3}, ValueError, "stride must be one of the backbone's, 2, 4, 8"),
        ("deeplabv3_plus", {"stride": 3}, ValueError, "stride must be one of the backbone's"),
    ],
)
def test_options_that_are_not_allowed(name, options, error, message) -> None:
    given = {"backbone": "resnet18", "num_classes": 2, **options}
    with pytest.raises(error, match=message):
        traced(models.create_segmenter(name, **given), images(64, 64))


def test_a_backbone_that_is_given_keeps_its_options() -> None:
    backbone = models.create_model("resnet18", dtype="bfloat16")
    model = models.create_segmenter("unet", backbone=backbone, num_classes=2)
    assert model.decoder.dtype == model.dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="has its own in_channels, dtype, output_stride and"):
        models.create_segmenter("unet", backbone=backbone, num_classes=2, in_channels=1)


@pytest.mark.parametrize(("stride", "asked"), [(8, {}), (16, {"output_stride": 16})])
def test_options_of_a_named_backbone_leave_the_usual_stride(stride, asked) -> None:
    backbone_options = {"channels": 16, "dtype": "bfloat16", **asked}
    model = models.create_segmenter("deeplabv3", num_classes=2, backbone_options=backbone_options)
    assert (model.backbone.output_stride, model.backbone.channels) == (stride, 16)
    assert model.decoder.dtype == model.dtype == jnp.bfloat16


def test_an_option_of_the_backbone_that_is_given_twice() -> None:
    with pytest.raises(TypeError, match="dtype is given twice, as an argument and in backbone_opt"):
        models.create_segmenter(
            "unet", num_classes=2, dtype="float32", backbone_options={"dtype": "float32"}
        )


def test_images_that_are_too_small_for_attention() -> None:
    model = models.create_segmenter("pan", backbone="resnet18", num_classes=2)
    with pytest.raises(ValueError, match="the coarsest map must be at least 8x8, got 4x6"):
        traced(model, images(64, 96))


def test_multiply_adds_are_those_of_maps_that_are_written_out() -> None:
    """Maps that are doubled by the nearest pixel are not; those that are interpolated are."""
    doubled, written = (
        models.summary(
            models.create_segmenter(
                "unet", backbone="lenet5", num_classes=2, upsampling=method, in_channels=1
            ),
            (32, 32, 1),
            show=False,
        )
        for method in ("nearest", "bilinear")
    )
    convolutions = [
        {layer.path: layer.multiply_adds for layer in each.layers if "conv" in layer.path}
        for each in (doubled, written)
    ]
    assert len(convolutions[0]) > 4
    assert convolutions[0] == convolutions[1]
