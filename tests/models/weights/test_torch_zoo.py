"""Weights of torchvision and timm: the same logits; see fixtures/make_torch_zoo.py."""

import gzip
import json
import pathlib
from functools import partial
from typing import Any

import make_torch_zoo as zoo
import numpy as np
import pytest
import quick
from safetensors.numpy import load_file, save_file

from jaxvision import models

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures"
# One of some families, by model or by file; the others take minutes.
QUICK = {
    "mobilenetv3_small_100",
    "resnet18",
    "shufflenet_v2_x0_5",
    "vit_tiny_patch16_224",
}


def cases() -> list[Any]:
    paths = sorted((FIXTURES / "torch_zoo").glob("*.json.gz"))
    return [
        pytest.param(
            json.loads(gzip.decompress(path.read_bytes())),
            id=path.name.removesuffix(".json.gz"),
            marks=[]
            if {name := path.name.removesuffix(".json.gz"), name.partition("-")[2]} & QUICK
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
    large = sum(array.size for array in state.values()) > 29e6
    # What becomes of edges and of other sizes has been told by the small ones of a family.
    for output in case["outputs"][-1:] if large else case["outputs"]:
        logits = quick.jit(model.apply)(variables, zoo.draw_images(tuple(output["size"])))
        np.testing.assert_allclose(logits, output["logits"], atol=1e-4)
        if "auxiliary" in output:
            images = zoo.draw_images(tuple(output["size"]))
            _, auxiliary = quick.jit(partial(model.apply, method="with_auxiliary"))(
                variables, images
            )
            np.testing.assert_allclose(auxiliary, output["auxiliary"], atol=1e-4)

    models.save_weights(model, variables, tmp_path / "again.safetensors", layout=case["package"])
    again = load_file(tmp_path / "again.safetensors")
    assert again.keys() == state.keys()
    for key, array in state.items():
        assert again[key].shape == array.shape
        np.testing.assert_array_equal(again[key], array)
