"""Weights of torchvision and timm: the same logits; see fixtures/make_torch_zoo.py."""

import gzip
import importlib.util
import json
import pathlib
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxvision import models

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures"
# One of each family; the others take minutes.
QUICK = {
    "convnext_tiny",
    "mixer_b16_224",
    "resnet18",
    "resnet50",
    "swin_t",
    "vit_tiny_patch16_224",
}


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo", FIXTURES / "make_torch_zoo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


zoo = load_script()


def cases() -> list[Any]:
    paths = sorted((FIXTURES / "torch_zoo").glob("*.json.gz"))
    return [
        pytest.param(
            json.loads(gzip.decompress(path.read_bytes())),
            id=path.name.removesuffix(".json.gz"),
            marks=[]
            if path.name.partition("-")[2].partition(".json")[0] in QUICK
            else pytest.mark.slow,
        )
        for path in paths
    ]


@pytest.mark.parametrize("case", cases())
def test_logits_are_torchs(case: dict, tmp_path: pathlib.Path) -> None:
    state = {key: zoo.draw(key, tuple(shape), case["gain"]) for key, shape in case["state"].items()}
    save_file(state, tmp_path / "weights.safetensors")
    model = models.create_model(case["name"], num_classes=zoo.NUM_CLASSES, **case["ours"])
    variables = models.load_weights(model, tmp_path / "weights.safetensors")
    for output in case["outputs"]:
        logits = jax.jit(model.apply)(variables, zoo.draw_images(tuple(output["size"])))
        np.testing.assert_allclose(logits, output["logits"], atol=1e-4)

    models.save_weights(model, variables, tmp_path / "again.safetensors", layout=case["library"])
    again = load_file(tmp_path / "again.safetensors")
    assert again.keys() == state.keys()
    for key, array in state.items():
        np.testing.assert_array_equal(again[key], array)
