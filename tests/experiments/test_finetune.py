"""Fine-tuning as a user starts it."""

import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scripts import run, run_here

from jaxvision import models, train

OLD = ["--classes", *"01234"]
NEW = ["--classes", *"56789", "--per-class", 10, "--batch-size", 50, "--no-figures"]
IMAGENET_MEAN = [0.485, 0.456, 0.406]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An MLP that tells 0 to 4 apart."""
    folder = tmp_path_factory.mktemp("runs") / "old"
    options = ["--model", "mlp", "--image-size", 8, "--num-steps", 100, "--mean", 0.3]
    run("classify", "--run-dir", folder, *OLD, *options, "--no-figures")
    return folder


def kernels(folder: pathlib.Path) -> dict[str, np.ndarray]:
    params = train.open_run(folder).variables()["params"]
    return {name: np.asarray(tree["kernel"]) for name, tree in params.items()}


@pytest.mark.slow
def test_other_classes_in_two_phases(start: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "new"
    options = ["--phases", 2, "--num-steps", 121, "--layer-decay", 0.5]
    done = run_here("finetune", start, "--run-dir", folder, *NEW, *options)
    assert "head/kernel -> (256, 5)" in done.stderr  # as many classes as before, but others
    before, first, last = kernels(start), kernels(folder / "phase1"), kernels(folder)
    layers = [name for name in before if name != "head"]
    for name in layers:
        np.testing.assert_array_equal(first[name], before[name])
        assert not np.array_equal(last[name], first[name])
    assert not np.array_equal(first["head"], before["head"])
    assert train.read_metrics(folder / "phase1")[-1]["step"] == 60
    assert train.read_metrics(folder)[-1]["step"] == 61

    saved = json.loads((folder / "settings.json").read_text())
    assert saved["inputs"]["mean"] == [0.3]  # the start's
    assert saved["data"]["image_shape"] == [8, 8, 1]
    assert saved["data"]["num_examples"] == 50
    run_here("evaluate", folder, "--no-figures", "--num-resamples", 0)
    evaluation = json.loads((folder / "evaluations" / "digits_test.json").read_text())
    assert evaluation["data"]["fields"]["label"]["names"] == [*"56789"]
    logged = train.read_metrics(folder)[-1]
    assert evaluation["scores"]["accuracy"]["value"] == logged["accuracy"] > 0.6

    before = (folder / "metrics.jsonl").read_text()
    run_here("finetune", start, "--run-dir", folder, *NEW, *options)
    assert (folder / "metrics.jsonl").read_text() == before


@pytest.mark.slow
def test_what_is_frozen_stays(start: pathlib.Path, tmp_path: pathlib.Path) -> None:
    options = ["--num-steps", 20, "--frozen", "hidden.*"]
    done = run_here(
        "finetune", start, "--run-dir", tmp_path, "--classes", *"789", *NEW[6:], *options
    )
    assert "params/head/kernel -> (256, 3)" in done.stderr
    before, after = kernels(start), kernels(tmp_path)
    assert all(np.array_equal(after[name], before[name]) for name in before if name != "head")
    assert np.abs(after["head"]).max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing/here"], "nothing/here"),
        (["nothing/here", "--phases", 2, "--trainable", "head"], "leave out --trainable"),
        pytest.param(
            ["START", "--phases", 0],
            "from 1 to the number of layers, 3, got 0",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["START", "--phases", 3, "--num-steps", 2],
            "--num-steps 2 is less than --phases 3",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["START", "--phases", 9],
            "from 1 to the number of layers, 3, got 9",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["START", "--frozen", "hiden0"], "did you mean 'hidden0'?", marks=pytest.mark.slow
        ),
        pytest.param(
            ["START", "--layer-decay", 0],
            "decay must be above 0 and at most 1, got 0",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["START", "--classes", "5", "11"], "unknown class '11'", marks=pytest.mark.slow
        ),
    ],
)
def test_what_cannot_be_done(request, tmp_path, monkeypatch, arguments, message) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # else it tries for long where there is no network
    if "START" in arguments:
        arguments = [request.getfixturevalue("start"), *arguments[1:]]
    options = ["--run-dir", tmp_path / "run", "--no-figures"]
    done = run_here("finetune", *options, *arguments, code=1)
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("source", ["file", "timm"])
def test_weights_of_another_library(source: str, tmp_path: pathlib.Path) -> None:
    """Gray digits for a model of color photographs: a stem for one channel, a head for ten."""
    model = models.create_model("squeezenet1_1" if source == "file" else "resnet18")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: np.abs(random.normal(0, 0.05, leaf.shape)).astype(np.float32), shapes
    )
    place, options = tmp_path / "weights.safetensors", ["--model", "squeezenet1_1"]
    if source == "timm":
        place, options = tmp_path / "weights", []
        place.mkdir()
        trained = {
            "input_size": [3, 40, 40],
            "crop_pct": 0.8,
            "interpolation": "bicubic",
            "mean": IMAGENET_MEAN,
            "std": [0.2, 0.2, 0.2],
            "num_classes": 1000,
        }
        config = {"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": trained}
        (place / "config.json").write_text(json.dumps(config))
    file = place / "model.safetensors" if source == "timm" else place
    models.save_weights(
        model, variables, file, library="torchvision" if source == "file" else "timm"
    )
    options += ["--num-steps", 2, "--batch-size", 8, "--mean", 0.4, "--per-class", 2]
    options += ["--eval-split", "test[:16]"]
    if source == "file":
        options += ["--image-size", 48]
    done = run_here("finetune", place, "--run-dir", tmp_path / "run", *options, "--no-figures")
    assert re.search(r"stem\S*/kernel \(\d, \d, 3, 64\) -> \(\d, \d, 1, 64\)", done.stderr)
    saved = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert saved["data"]["image_shape"] == ([48, 48, 1] if source == "file" else [40, 40, 1])
    assert saved["data"]["preprocessing"]["crop"] == (1.0 if source == "file" else 0.8)
    evaluated = run_here("evaluate", tmp_path / "run", "--no-figures", "--num-resamples", 0)
    assert " on 16 images of " in evaluated.stdout
