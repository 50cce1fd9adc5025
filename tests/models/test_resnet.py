import json
import pathlib
import re
import zlib
from functools import partial

import flax.linen as nn
import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models.residual import BasicBlock, Bottleneck

FIXTURE = pathlib.Path(__file__).parent.parent / "fixtures" / "torch_resnet.json"
CASES = {
    "{name} {shape[1]}x{shape[2]}".format(**case): case
    for case in json.loads(FIXTURE.read_text())["cases"]
}


def shallow(name, **options):
    return models.create_model(name, **options).clone(stage_sizes=(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("name", "count"),
    # test_torch_zoo.py holds the others to the shapes of torchvision and timm.
    quick.only(
        [
            ("resnet18", 11_689_512),
            ("resnet34", 21_797_672),
            ("resnet50", 25_557_032),
            ("resnet101", 44_549_160),
            ("resnet152", 60_192_808),
        ],
        "resnet18",
        "resnet50",
        slow=(),
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 32, 32).num_parameters == count


@pytest.mark.parametrize(
    ("name", "field"),
    quick.only(
        [
            ("resnet18", 435),
            ("resnet34", 899),
            ("resnet50", 427),
            ("resnet101", 971),
            ("resnet152", 1451),
        ],
        "resnet18",
        slow=(),
    ),
)
def test_receptive_fields(name, field, receptive_field_of):
    # It tells the stride in the 3x3 convolution from that in the first 1x1; parameters do not.
    assert receptive_field_of(models.create_model(name)) == field


def test_receptive_field_by_what_spreads(receptive_field):
    # A NaN reaches all that sees it. Over the places it can have in one step of the map, the
    # outputs it reaches number as many as an output's inputs.
    model = models.create_model("resnet18").clone(stage_sizes=(2,))
    images = np.zeros((4, 1, 96, 3), np.float32)
    images[np.arange(4), 0, 48 + np.arange(4)] = np.nan
    variables = jax.tree.map(
        lambda p: np.zeros(p.shape, p.dtype), shapes_of(model, 32, 32).variables
    )

    def early_map(images):
        return model.apply(variables, images, method="features")[4]

    spread = np.isnan(quick.jit(early_map)(images)[:, 0, :, 0]).sum()
    assert spread == receptive_field(early_map, np.zeros((1, 96, 96, 3), np.float32)) == 43


@pytest.mark.parametrize(
    ("taps", "field"), [([(3, 1)] * 2, 5), ([(3, 1)] * 3, 7), ([(3, 1), (3, 2), (3, 4)], 15)]
)
def test_receptive_fields_of_stacks(taps, field, receptive_field):
    def stack(x):
        for size, dilation in taps:
            kernel = np.zeros((size, size, 1, 1), np.float32)
            layer = models.layers.conv(1, size, dilation=dilation, use_bias=False)
            x = layer.apply({"params": {"kernel": kernel}}, x)
        return x

    assert receptive_field(stack, np.zeros((1, 16, 16, 1))) == field


def torch_name(path):
    """What PyTorch calls a leaf: stage1_block0/conv2/norm/scale is layer1.0.bn2.weight."""
    *modules, leaf = (entry.key for entry in path)
    name = ".".join(modules)
    name = re.sub(r"^stage(\d)_block(\d+)", r"layer\1.\2", name)
    name = re.sub(r"conv(\d)\.conv$", r"conv\1", name)
    name = re.sub(r"conv(\d)\.norm$", r"bn\1", name)
    for ours, theirs in {
        "stem.conv": "conv1",
        "stem.norm": "bn1",
        "shortcut.conv": "downsample.0",
        "shortcut.norm": "downsample.1",
        "head": "fc",
    }.items():
        name = name.replace(ours, theirs)
    leaves = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    return f"{name}.{leaves.get(leaf, leaf)}"


def draw(name, shape):
    """Draws a tensor from its name and shape in PyTorch, as tests/fixtures/make_torch_resnet.py."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if len(shape) > 1:
        return random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    if name.endswith(("bias", "running_mean")):
        return random.standard_normal(shape) * 0.1
    return random.uniform(0.4, 0.8, shape)


def draw_as_torch(path, leaf):
    """Draws a leaf of ours: the last two axes of a kernel are the first two in PyTorch."""
    *space, before, after = (1, *leaf.shape) if leaf.ndim == 1 else leaf.shape
    if leaf.ndim == 1:
        return draw(torch_name(path), leaf.shape).astype(np.float32)
    value = draw(torch_name(path), (after, before, *space)).astype(np.float32)
    return np.moveaxis(value, (1, 0), (-2, -1))


@pytest.mark.parametrize(
    "name",
    # test_torch_zoo.py has ResNet-18 among the quick tests.
    quick.only(
        CASES,
        "cifar_resnet20 32x32",
        "resnet50 65x47",
        slow=["cifar_resnet20 33x29", "resnet18 64x64"],
    ),
)
def test_equal_to_pytorch(name):
    case = CASES[name]
    images = np.random.RandomState(0).standard_normal(case["shape"]).astype(np.float32)
    model = models.create_model(case["name"], num_classes=10)
    shapes = shapes_of(model, *case["shape"][1:]).variables
    variables = {
        collection: jax.tree_util.tree_map_with_path(draw_as_torch, tree)
        for collection, tree in shapes.items()
    }
    trains = case["train_logits"] is not None

    @quick.jit
    def calls(variables, images):
        train = partial(model.apply, train=True, mutable=["batch_stats"])
        return model.apply(variables, images), train(variables, images) if trains else ()

    logits, trained = calls(variables, images)
    np.testing.assert_allclose(logits, case["logits"], atol=1e-4, rtol=1e-5)
    if not trains:
        return
    train_logits, updates = trained
    np.testing.assert_allclose(train_logits, case["train_logits"], atol=1e-4)
    stem = updates["batch_stats"]["stem"]["norm"]
    np.testing.assert_allclose(stem["mean"], case["stem_running_mean"], atol=1e-6)
    # PyTorch divides by n - 1, here 2047 or more.
    np.testing.assert_allclose(stem["var"], case["stem_running_var"], rtol=1e-3)


@pytest.mark.parametrize(("block", "last"), [(BasicBlock, "conv2"), (Bottleneck, "conv3")])
def test_a_residual_may_start_at_zero(block, last):
    layer = block(channels=8 // block.expansion, zero_init_residual=True)

    @quick.jit
    def start(x):
        return layer.init_with_output(jax.random.key(1), x, train=False)

    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype(np.float32)
    y, variables = jax.device_get(start(x))
    assert [k for k, v in variables["params"].items() if not v["norm"]["scale"].any()] == [last]
    np.testing.assert_array_equal(y, np.maximum(x, 0))


@pytest.mark.parametrize(
    ("small_images", "expected"),
    [
        (
            False,
            {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048},
        ),
        (True, {1: 256, 2: 512, 4: 1024, 8: 2048}),
    ],
)
def test_channels_of_the_maps(small_images, expected):
    maps = shapes_of(shallow("resnet50", small_images=small_images), 32, 32).maps
    assert {stride: size[-1] for stride, size in maps.items()} == expected
    assert maps[8][:2] == (4, 4)


def test_a_narrow_network_has_a_square_of_the_parameters():
    """Each number of channels goes into a kernel twice, and once where the other end is fixed."""
    narrow = shapes_of(models.create_model("resnet18", channels=16, num_classes=10), 64, 64)
    assert {stride: shape[-1] for stride, shape in narrow.maps.items()} == {
        2: 16, 4: 16, 8: 32, 16: 64, 32: 128
    }  # fmt: skip
    kernels = 16**2 * (9 * (4 + (2 + 3 * 4) + (8 + 3 * 16) + (32 + 3 * 64)) + 2 + 8 + 32)
    norms = 2 * 16 * (5 + (4 + 1) * (2 + 4 + 8))
    assert narrow.num_parameters == 49 * 3 * 16 + kernels + norms + 128 * 10 + 10
    with pytest.raises(ValueError, match="channels must be a whole number, at least 1, got 0"):
        models.create_model("resnet18", channels=0)


def test_names_of_the_parameters():
    params = shapes_of(models.create_model("resnet50"), 32, 32).variables["params"]
    paths = [
        "/".join(e.key for e in path) for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]
    block = [path for path in paths if re.fullmatch(r"stage2_block0/.*", path)]
    parts = ["conv1", "conv2", "conv3", "shortcut"]
    leaves = ["conv/kernel", "norm/bias", "norm/scale"]
    assert block == [f"stage2_block0/{part}/{leaf}" for part in parts for leaf in leaves]
    others = [path for path in paths if not path.startswith("stage")]
    assert others == [
        *("head/bias", "head/kernel"),
        *("stem/conv/kernel", "stem/norm/bias", "stem/norm/scale"),
    ]


def test_initial_variances():
    model = shallow("resnet18")

    @quick.jit
    def some(images):
        params = model.init(jax.random.key(0), images)["params"]
        return params["stage3_block0"]["conv1"]["conv"]["kernel"], params["head"]["kernel"]

    kernel, head = jax.device_get(some(np.zeros((1, 32, 32, 3))))
    np.testing.assert_allclose(kernel.var(), 2 / (9 * 256), rtol=0.05)
    np.testing.assert_allclose(np.abs(head).max(), 512**-0.5, rtol=1e-3)


@pytest.mark.parametrize("norm", ["group", "instance", "layer"])
def test_other_norms_keep_no_statistics(norm):
    traced = shapes_of(shallow("resnet18", norm=norm), 32, 32)
    assert set(traced.variables) == {"params"}
    assert traced.num_parameters == shapes_of(shallow("resnet18"), 32, 32).num_parameters


ONE_EACH = {"stage_sizes": (1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("name", "smaller", "num_norms", "num_activations"),
    [
        ("cifar_resnet20", {"stage_sizes": (1, 1, 1)}, 7, 7),
        ("densenet121", {"block_sizes": (2, 1, 1, 1)}, 15, 15),
        ("preact_resnet18", ONE_EACH, 9, 9),
        ("resnet18", ONE_EACH, 9 + 3, 9),
        ("resnet50", ONE_EACH, 13 + 4, 13),
        ("se_resnet50", ONE_EACH, 13 + 4, 13 + 4),
        ("senet154", ONE_EACH, 3 + 12 + 4, 3 + 12 + 4),
        ("wrn_28_2", {"stage_sizes": (1, 1, 1)}, 7, 7),
        ("xception", {"middle_blocks": 1}, 19, 14),
    ],
)
def test_options_reach_every_layer(name, smaller, num_norms, num_activations):
    options = {"activation": "tanh", "axis_name": "devices"}
    if name.startswith(("resnet", "se")):
        options["zero_init_residual"] = True
    model = models.create_model(name, **options).clone(**smaller)
    modules = {}

    def note(call, args, kwargs, context):
        modules[context.module.path] = context.module
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        jaxpr = jax.make_jaxpr(model.init_with_output)(jax.random.key(0), np.zeros((1, 32, 32, 3)))
    assert str(jaxpr).count(" tanh ") == num_activations
    assert "relu" not in str(jaxpr)
    norms = [module for module in modules.values() if isinstance(module, nn.BatchNorm)]
    assert len(norms) == num_norms
    assert all(norm.axis_name == "devices" for norm in norms)
    if "zero_init_residual" in options:
        blocks = [module for module in modules.values() if isinstance(module, BasicBlock)]
        assert len(blocks) == 4
        assert all(block.zero_init_residual for block in blocks)


def test_what_is_not_asked_for_is_not_computed():
    model = shallow("resnet18")
    inputs = shapes_of(model, 32, 32).variables, np.zeros((1, 32, 32, 3), np.float32)

    def flops(function):
        return quick.jit(function).lower(*inputs).compile().cost_analysis()["flops"]

    early = flops(lambda v, x: model.apply(v, x, method="features")[2])
    everything = flops(lambda v, x: model.apply(v, x, method="features"))
    assert early < 0.25 * everything
