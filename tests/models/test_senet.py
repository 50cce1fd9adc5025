from functools import partial

import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.residual import Bottleneck


def shallow(name, **options):
    return models.create_model(name, **options).clone(stage_sizes=(1, 1, 1, 1))


def sizes_of(model, size):
    return {stride: shape[0] for stride, shape in shapes_of(model, size, size).maps.items()}


@pytest.mark.parametrize(
    ("name", "count"),
    # test_torch_zoo.py holds the others to the shapes of timm, and the originals too.
    quick.only(
        [
            ("se_resnet50", 28_088_024),
            ("se_resnext50_32x4d", 27_559_896),
            ("senet154", 115_088_984),
        ],
        "se_resnet50",
        slow=(),
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 64, 64).num_parameters == count


@pytest.mark.parametrize("name", ["se_resnet50", "se_resnext50_32x4d", "senet154"])
def test_originals_have_as_many_parameters(name):
    count, original = (
        shapes_of(shallow(name, original=original), 33, 33).num_parameters
        for original in (False, True)
    )
    assert count == original


@pytest.mark.parametrize("name", ["se_resnet50", "senet154"])
def test_maps(name):
    assert shapes_of(shallow(name, small_images=True), 33, 33).maps == {
        2**i: (-(-33 // 2**i),) * 2 + (256 * 2**i,) for i in range(4)
    }
    assert set(sizes_of(shallow(name), 33).values()) == {17, 9, 5, 3, 2}
    assert set(sizes_of(shallow(name, original=True), 33).values()) == {17, 8, 4, 2, 1}


def test_senet154_is_what_its_authors_say():
    params = shapes_of(shallow("senet154"), 33, 33).variables["params"]
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
    init = shallow(name, original=original).init
    jax.eval_shape(init, jax.random.key(0), np.zeros((1, 32, 32, 3)))
    # The stem; the shortcuts, with the first convolutions or without; the others.
    assert strides.get(3, []) == ([] if first == 2 else [2] * 3)
    assert strides[1] == [2] * (6 if first == 2 else 3)


def test_the_original_needs_pixels_for_its_pooling():
    model = shallow("se_resnet50", original=True)
    assert shapes_of(model, 3, 3).maps[32] == (1, 1, 2048)
    with pytest.raises(ValueError, match=r"at least 3x3, got the shape \(1, 2, 2, 3\)"):
        shapes_of(model, 2, 2)
    shapes_of(shallow("se_resnet50"), 1, 1)


def test_a_share_is_below_one():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.0"):
        models.create_model("senet154", dropout=1.0)


def test_a_deep_stem_and_gates_go_with_any_bottlenecks():
    make = partial(models.ResNet, stage_sizes=(1,), block=Bottleneck, channels=16)
    plain = shapes_of(make(), 33, 33)
    deep = shapes_of(make(stem_type="deep", reduction=8), 33, 33)
    assert [*deep.variables["params"]["stem"]] == ["conv1", "conv2", "conv3"]
    assert deep.variables["params"]["stem"]["conv3"]["conv"]["kernel"].shape == (3, 3, 16, 32)
    assert "squeeze_excite" in deep.variables["params"]["stage1_block0"]
    assert deep.maps[4] == plain.maps[4]
    with pytest.raises(ValueError, match=r"unknown stem_type 'depe'; did you mean 'deep'"):
        make(stem_type="depe")
