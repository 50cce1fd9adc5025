"""Weights of torchvision and timm: names and logits; see fixtures/make_torch_zoo.py."""

import functools
import gzip
import json
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import make_torch_zoo as zoo
import numpy as np
import pytest
import quick
from safetensors.numpy import load_file

from jaxvision import models
from jaxvision._trees import by_path

FOLDER = pathlib.Path(__file__).parents[2] / "fixtures" / "torch_zoo"
CASES = sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))
QUICK = {
    "timm-mobilenetv3_small_100",
    "timm-vit_tiny_patch16_224",
    "torchvision-resnet18",
    "torchvision-shufflenet_v2_x0_5",
}
# The smallest of each family, library and path through the code. What is left has other depths and
# widths, of which the names and shapes tell.
SLOW = {
    "timm-convnext_tiny",
    "timm-efficientnet_b0",
    "timm-inception_resnet_v2",
    "timm-inception_v4",
    "timm-legacy_seresnet50",
    "timm-legacy_xception",
    "timm-mixer_b16_224",
    "timm-mobilenetv1_100",
    "timm-resnet50",
    "timm-resnetv2_18",
    "timm-resnetv2_50",
    "timm-senet154",  # its deep stem
    "timm-seresnet50",
    "timm-vgg11_bn",
    "torchvision-alexnet",
    "torchvision-convnext_tiny",
    "torchvision-densenet121",
    "torchvision-efficientnet_b0",
    "torchvision-efficientnet_b5",  # its epsilon
    "torchvision-googlenet",
    "torchvision-inception_v3",
    "torchvision-mobilenet_v2",
    "torchvision-mobilenet_v3_large",
    "torchvision-mobilenet_v3_small",
    "torchvision-resnet50",
    "torchvision-resnext50_32x4d",
    "torchvision-squeezenet1_0",
    "torchvision-swin_t",
    "torchvision-vgg11",
    "torchvision-vgg11_bn",
    "torchvision-vit_b_32",
}


def read(name: str) -> dict:
    return json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))


@functools.cache
def shapes_of(name: str, options: str) -> dict:
    """The shapes of a model's variables, by path: traced once for both libraries."""
    model = models.create_model(name, num_classes=zoo.NUM_CLASSES, **json.loads(options))
    size = model.default_image_size
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return by_path(jax.eval_shape(model.init, jax.random.key(0), images))


@pytest.mark.parametrize("name", quick.only(CASES, "torchvision-resnet18", slow=CASES))
def test_names_and_shapes_are_torchs(name: str) -> None:
    """Both ways: every tensor in the shape of its leaf, every leaf in the shape of its tensor."""
    case = read(name)
    model = models.create_model(case["name"], num_classes=zoo.NUM_CLASSES, **case["ours"])
    names = model.torch_names()[case["package"]]
    theirs = {key: tuple(shape) for key, shape in case["state"].items()}
    written: dict[str, np.ndarray] = {}
    for path, leaf in shapes_of(case["name"], json.dumps(case["ours"], sort_keys=True)).items():
        key, form = names.find(path.partition("/")[2], len(leaf.shape))
        assert form.read(np.broadcast_to(np.int8(0), theirs[key])).shape == leaf.shape, path
        tensor = form.write(np.broadcast_to(np.int8(0), leaf.shape))
        if key in written:
            assert form.axis is not None
            tensor = np.concatenate([written[key], tensor], form.axis)
        written[key] = tensor
    for key in [*written]:
        written |= names.constants_beside(key)
    assert {key: tensor.shape for key, tensor in written.items()} == theirs


@pytest.mark.slow
def test_every_rule_matches_a_leaf_of_some_model() -> None:
    """A rule that matches none is misspelled, or left over from a name that has changed."""
    cases = [read(name) for name in sorted(QUICK | SLOW)]
    with_heads = {"name": "inception_v3", "package": "timm", "ours": {"auxiliary_heads": True}}
    idle: dict[tuple[str, str], set[str]] = {}
    for case in [*cases, with_heads]:
        model = models.create_model(case["name"], num_classes=zoo.NUM_CLASSES, **case["ours"])
        paths = shapes_of(case["name"], json.dumps(case["ours"], sort_keys=True))
        names = model.torch_names()[case["package"]]
        unmatched = {*names.unmatched(path.partition("/")[2] for path in paths)}
        family = getattr(models, case["name"]).__module__, case["package"]
        idle[family] = idle.get(family, unmatched) & unmatched
    assert {family: rules for family, rules in idle.items() if rules} == {}


@pytest.mark.parametrize("name", quick.only(CASES, *QUICK, slow=SLOW))
def test_logits_are_torchs(name: str, tmp_path: pathlib.Path) -> None:
    case = read(name)
    state = {key: zoo.draw(key, tuple(shape), case["gain"]) for key, shape in case["state"].items()}
    model = models.create_model(case["name"], num_classes=zoo.NUM_CLASSES, **case["ours"])
    variables = models.load_weights(model, state)
    # The last size is an odd one, where the model takes any. The usual one adds something where
    # edges differ, which small models tell.
    for output in case["outputs"][-1:] if name in SLOW else case["outputs"]:
        images = zoo.draw_images(tuple(output["size"]))
        auxiliary = "auxiliary" in output
        method = partial(model.apply, method="with_auxiliary") if auxiliary else model.apply
        logits = jax.device_get(quick.jit(method)(variables, images))
        if auxiliary:
            logits, early = logits
            np.testing.assert_allclose(early, output["auxiliary"], atol=1e-4)
        np.testing.assert_allclose(logits, output["logits"], atol=1e-4)

    models.save_weights(model, variables, tmp_path / "again.safetensors", library=case["package"])
    again = load_file(tmp_path / "again.safetensors")
    assert again.keys() == state.keys()
    for key, array in state.items():
        assert again[key].shape == array.shape
        np.testing.assert_array_equal(again[key], array)
