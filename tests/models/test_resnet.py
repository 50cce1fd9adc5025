import json
import pathlib
import re
import zlib
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import models
from jaxvision.models.residual import BasicBlock, Bottleneck

FIXTURE = pathlib.Path(__file__).parent.parent / "fixtures" / "torch_resnet.json"
CASES = json.loads(FIXTURE.read_text())["cases"]


def modules_of(model):
    """Lists the modules that a call goes through, without computing anything."""
    seen = {}

    def note(call, args, kwargs, context):
        seen[context.module.path] = context.module
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    return list(seen.values())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ],
)
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 64, 64, 3)) == count


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
        "resnet50",
    ),
)
def test_receptive_fields(name, field, receptive_field_of):
    # It tells the stride in the 3x3 convolution from that in the first 1x1; parameters do not.
    assert receptive_field_of(models.create_model(name)) == field


def test_receptive_field_by_what_spreads(receptive_field):
    # A NaN reaches all that sees it. Over the places it can have in one step of the map, the
    # outputs it reaches number as many as an output's inputs.
    model = models.create_model("resnet18")
    images = np.zeros((4, 1, 96, 3), np.float32)
    images[np.arange(4), 0, 48 + np.arange(4)] = np.nan
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree.map(lambda p: np.zeros(p.shape, p.dtype), variables)

    @jax.jit
    def early_map(images):
        return model.apply(variables, images, method="features")["stride4"]

    spread = int(jnp.isnan(early_map(images)[:, 0, :, 0]).sum())
    assert spread == receptive_field(early_map, np.zeros((1, 96, 96, 3), np.float32)) == 43


@pytest.mark.parametrize(
    ("taps", "field"), [([(3, 1)] * 2, 5), ([(3, 1)] * 3, 7), ([(3, 1), (3, 2), (3, 4)], 15)]
)
def test_receptive_fields_of_stacks(taps, field, receptive_field):
    def stack(x):
        for size, dilation in taps:
            kernel = jnp.zeros((size, size, 1, 1))
            layer = models.layers.conv(1, size, dilation=dilation, use_bias=False)
            x = layer.apply({"params": {"kernel": kernel}}, x)
        return x

    assert receptive_field(stack, jnp.zeros((1, 16, 16, 1))) == field


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
    value = draw(torch_name(path), (after, before, *space))
    return np.moveaxis(value, (1, 0), (-2, -1)).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']} {case['shape'][1:3]}")
def test_equal_to_pytorch(case):
    images = np.random.RandomState(0).standard_normal(case["shape"]).astype(np.float32)
    model = models.create_model(case["name"], num_classes=10)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = {
        collection: jax.tree_util.tree_map_with_path(draw_as_torch, tree)
        for collection, tree in shapes.items()
    }
    logits = jax.jit(model.apply)(variables, images)
    np.testing.assert_allclose(logits, case["logits"], atol=1e-4, rtol=1e-5)

    if case["train_logits"] is None:
        return
    train_logits, updates = jax.jit(
        lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"])
    )(variables, images)
    np.testing.assert_allclose(train_logits, case["train_logits"], atol=1e-4)
    stem = updates["batch_stats"]["stem"]["norm"]
    np.testing.assert_allclose(stem["mean"], case["stem_running_mean"], atol=1e-6)
    # PyTorch divides by n - 1, here 2047 or more.
    np.testing.assert_allclose(stem["var"], case["stem_running_var"], rtol=1e-3)


@pytest.mark.parametrize(("block", "last"), [(BasicBlock, "conv2"), (Bottleneck, "conv3")])
def test_a_residual_may_start_at_zero(block, last):
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 8))
    channels = 8 // block.expansion
    layer = block(channels=channels, zero_init_residual=True)
    y, variables = jax.jit(partial(layer.init_with_output, train=False))(jax.random.key(1), x)
    assert [k for k, v in variables["params"].items() if not v["norm"]["scale"].any()] == [last]
    np.testing.assert_array_equal(y, jax.nn.relu(x))


def test_every_block_is_told_to_start_at_zero():
    model = models.create_model("resnet50", zero_init_residual=True)
    blocks = [m for m in modules_of(model) if isinstance(m, BasicBlock)]
    assert len(blocks) == 16
    assert all(block.zero_init_residual for block in blocks)


@pytest.mark.parametrize(
    ("small_images", "expected"),
    [
        (
            False,
            {"stride2": 64, "stride4": 256, "stride8": 512, "stride16": 1024, "stride32": 2048},
        ),
        (True, {"stride1": 256, "stride2": 512, "stride4": 1024, "stride8": 2048}),
    ],
)
def test_channels_of_the_maps(small_images, expected):
    model = models.create_model("resnet50", small_images=small_images)
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        jnp.zeros((1, 32, 32, 3)),
    )
    assert {key: value.shape[-1] for key, value in features.items()} == expected
    assert features["stride8"].shape[1:3] == (4, 4)


def test_names_of_the_parameters():
    model = models.create_model("resnet50")
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
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
    model = models.create_model("resnet18")

    @jax.jit
    def some(key):
        params = model.init(key, jnp.zeros((1, 32, 32, 3)))["params"]
        return params["stage3_block0"]["conv1"]["conv"]["kernel"], params["head"]["kernel"]

    kernel, head = some(jax.random.key(0))
    np.testing.assert_allclose(kernel.var(), 2 / (9 * 256), rtol=0.05)
    np.testing.assert_allclose(jnp.abs(head).max(), 512**-0.5, rtol=1e-3)


@pytest.mark.parametrize("norm", ["group", "instance", "layer"])
def test_other_norms_keep_no_statistics(norm, count_parameters):
    model = models.create_model("resnet18", norm=norm)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert set(variables) == {"params"}
    assert count_parameters(model, (1, 64, 64, 3)) == 11_689_512


@pytest.mark.parametrize(
    ("name", "count"),
    quick.only(
        [
            ("densenet121", 121),
            ("preact_resnet18", 17),
            ("resnet18", 17),
            ("resnet50", 49),
            ("se_resnet50", 49 + 16),
            ("wrn_28_2", 25),
            ("xception", 35),
        ],
        "resnet18",
        "preact_resnet18",
        "se_resnet50",
        "xception",
    ),
)
def test_the_activation_is_the_one_asked_for(name, count):
    model = models.create_model(name, activation="tanh")
    images = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    jaxpr = str(jax.make_jaxpr(model.apply)(variables, images))
    assert jaxpr.count(" tanh ") == count
    assert "relu" not in jaxpr


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("cifar_resnet20", 19),
        ("densenet121", 121),
        ("preact_resnet18", 17),
        ("resnet18", 20),
        ("resnet50", 53),
        ("senet154", 3 + 150 + 4),
        ("wrn_28_2", 25),
        ("xception", 40),
    ],
)
def test_every_batch_norm_is_told_the_mapped_axis(name, count):
    model = models.create_model(name, axis_name="devices")
    norms = [m for m in modules_of(model) if isinstance(m, nn.BatchNorm)]
    assert len(norms) == count
    assert all(norm.axis_name == "devices" for norm in norms)


def test_what_is_not_asked_for_is_not_computed():
    model = models.create_model("resnet18")
    images = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def flops(function):
        return jax.jit(function).lower(variables, images).compile().cost_analysis()["flops"]

    early = flops(lambda v, x: model.apply(v, x, method="features")["stride4"])
    everything = flops(lambda v, x: model.apply(v, x, method="features"))
    assert early < 0.5 * everything
