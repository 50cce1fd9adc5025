import jax
import jax.numpy as jnp
import pytest
import quick

from jaxvision import models


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize(
    ("name", "count"),
    quick.only(
        [
            ("se_resnet50", 28_088_024),
            ("se_resnext50_32x4d", 27_559_896),
            ("senet154", 115_088_984),
        ],
        "se_resnet50",
        "se_resnext50_32x4d",
    ),
)
def test_parameters(name, count, original, count_parameters):
    assert count_parameters(models.create_model(name, original=original), (1, 64, 64, 3)) == count


def shapes_of(model, size=32):
    features, variables = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        jnp.zeros((1, size, size, 3)),
    )
    return {key: value.shape[1:] for key, value in features.items()}, variables["params"]


def test_maps():
    small = {f"stride{2**i}": (-(-33 // 2**i),) * 2 + (256 * 2**i,) for i in range(4)}
    assert shapes_of(models.create_model("se_resnet50", small_images=True), 33)[0] == small
    assert shapes_of(models.create_model("senet154", small_images=True), 33)[0] == small
    padded, _ = shapes_of(models.create_model("se_resnet50"), 33)
    assert {shape[0] for shape in padded.values()} == {17, 9, 5, 3, 2}
    original, _ = shapes_of(models.create_model("se_resnet50", original=True), 33)
    assert {shape[0] for shape in original.values()} == {17, 8, 4, 2, 1}


def test_senet154_is_what_its_authors_say():
    _, params = shapes_of(models.create_model("senet154"))
    kernels = {name: params["stage2_block0"][name] for name in ("conv1", "conv2", "shortcut")}
    shapes = {name: tree["conv"]["kernel"].shape for name, tree in kernels.items()}
    # The first 1x1 convolution has half the channels; the shortcut is 3x3 where it has a stride.
    assert shapes == {
        "conv1": (1, 1, 256, 256),
        "conv2": (3, 3, 4, 512),
        "shortcut": (3, 3, 256, 512),
    }
    assert params["stage1_block0"]["shortcut"]["conv"]["kernel"].shape == (1, 1, 128, 256)
    assert [params["stem"][f"conv{i}"]["conv"]["kernel"].shape[3] for i in (1, 2, 3)] == [
        64,
        64,
        128,
    ]
    assert models.create_model("senet154").dropout == 0.2
    assert models.create_model("se_resnet50").dropout == 0


@pytest.mark.parametrize(
    ("name", "original", "first"), [("se_resnet50", True, 2), ("se_resnext50_32x4d", True, 1)]
)
def test_where_the_stride_is(name, original, first, monkeypatch):
    strides = {}
    conv = models.layers.convolution.conv

    def note(*args, **options):
        if options["stride"] != 1:
            strides.setdefault(args[1], []).append(options["stride"])
        return conv(*args, **options)

    monkeypatch.setattr(models.layers.convolution, "conv", note)
    shapes_of(models.create_model(name, original=original))
    # The stem; the shortcuts, with the first convolutions or without; the others.
    assert strides.get(3, []) == ([] if first == 2 else [2] * 3)
    assert strides[1] == [2] * (6 if first == 2 else 3)


def test_the_original_needs_pixels_for_its_pooling():
    model = models.create_model("se_resnet50", original=True)
    assert shapes_of(model, 3)[0]["stride32"] == (1, 1, 2048)
    with pytest.raises(ValueError, match=r"at least 3x3, got the shape \(1, 2, 2, 3\)"):
        shapes_of(model, 2)
    shapes_of(models.create_model("se_resnet50"), 1)


def test_a_share_is_below_one():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.0"):
        models.create_model("senet154", dropout=1.0)
