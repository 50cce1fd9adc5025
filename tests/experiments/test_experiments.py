"""The scripts as a user starts them."""

import csv
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess

import jax
import numpy as np
import optax
import pytest
import quick
from PIL import Image
from scripts import command, run, run_here
from sklearn.datasets import load_digits

from jaxvision import data, models, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two small runs on 8x8 digits: an MLP, as a user starts it, and a linear classifier."""
    folder = tmp_path_factory.mktemp("runs")
    for model, start in (("mlp", run), ("linear_classifier", run_here)):
        options = ["--model", model, "--image-size", "None", "--num-steps", 150]
        options += ["--figures" if model == "mlp" else "--no-figures"]
        done = start("classify", "--run-dir", folder / model, *options, "--warmup-steps", 5)
        lines = done.stderr.splitlines()
        assert [line.partition(";")[0] for line in lines] == [
            f"step {step} of 150" for step in range(15, 151, 15)
        ]
        assert "training data: digits/train, 1,258 images" in done.stdout
        assert re.search(r"\n  0 +125 +36\n", done.stdout)
        said = done.stdout.splitlines()
        (end,) = [n for n, line in enumerate(said) if re.search(r": test accuracy 0\.\d+", line)]
        *drawn, last = said[end + 1 :]
        assert len(drawn) == (4 if model == "mlp" else 0)
        assert all(pathlib.Path(path.strip()).exists() for path in drawn)
        assert last == f"next: python experiments/evaluate.py {folder / model}"
    return folder


def test_run_folder(runs: pathlib.Path) -> None:
    folder = runs / "mlp"
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "command.txt",
        "settings.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "figures",
    }
    figures = folder / "figures"
    assert {path.relative_to(figures).as_posix() for path in figures.rglob("*.png")} == {
        "batch.png",
        "learning_curves.png",
        "digits_test/confusion_matrix.png",
        "digits_test/mistakes.png",
        "digits_test/reliability.png",
    }
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["settings"]["model"]["model"] == "mlp"
    assert settings["data"]["fields"]["label"]["names"] == [str(digit) for digit in range(10)]
    assert settings["versions"]["jaxvision"]


def test_evaluate_and_compare(runs: pathlib.Path) -> None:
    done = run_here("evaluate", runs / "mlp", "--compare", runs / "linear_classifier")
    content = json.loads((runs / "mlp" / "evaluations" / "digits_test.json").read_text())
    accuracy = content["scores"]["accuracy"]
    assert 0.9 < accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert f"accuracy                {accuracy['value']:.4f}" in done.stdout
    assert "359 images of digits/test" in done.stdout
    assert "McNemar's test: exact p = " in done.stdout
    zero = content["classes"]["0"]
    assert zero["count"] == 36
    assert zero["f1"]["low"] < zero["f1"]["value"]
    assert re.search(r"\n0 +36  \d\.\d+ \[", done.stdout)
    table = (runs / "mlp" / "evaluations" / "digits_test" / "mistakes.csv").read_text()
    header, *rows = list(csv.reader(table.splitlines()))
    assert header == ["index", "true", "predicted", "probability"]
    assert len(rows) == round(359 * (1 - accuracy["value"]))
    assert all(row[1] != row[2] for row in rows)
    logged = [line for line in train.read_metrics(runs / "mlp") if line["split"] == "test"]
    assert accuracy["value"] == logged[-1]["accuracy"]
    for path in done.stdout.split("\n")[-5:-1]:
        with Image.open(path) as image:
            assert image.size[0] > 400


def test_evaluate_another_split(runs: pathlib.Path) -> None:
    """Its scores lie beside those of the first, which stay as they are."""
    first = runs / "mlp" / "evaluations" / "digits_test.json"
    before = first.read_bytes() if first.exists() else None
    options = ["--split", "validation", "--no-figures", "--num-resamples", 0]
    assert "180 images of digits/validation" in run_here("evaluate", runs / "mlp", *options).stdout
    assert (runs / "mlp" / "evaluations" / "digits_validation.json").exists()
    assert (first.read_bytes() if first.exists() else None) == before


def test_masks_are_for_segmenters(runs: pathlib.Path) -> None:
    said = run_here("evaluate", runs / "mlp", "--masks", "./masks", code=1).stderr
    assert said.startswith("--masks is for runs of segmenters")


def test_predict(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    digits = load_digits()
    paths = []
    for index in range(5):
        pixels = np.round(digits.images[index] * (255 / 16)).astype(np.uint8)
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).resize((40, 40)).save(paths[-1])
    (tmp_path / "broken.png").write_bytes(paths[0].read_bytes()[:40])
    lines = run_here("predict", runs / "mlp", *paths, "--top", 2).stdout.splitlines()
    assert len(lines) == 5
    right = [re.search(rf": {digits.target[i]} \d", line) for i, line in enumerate(lines)]
    assert sum(match is not None for match in right) >= 4
    folder, out = tmp_path / "digits" / "deeper", tmp_path / "out"
    folder.mkdir(parents=True)
    for path in paths:
        path.rename(folder / path.name)
    run_here("predict", runs / "mlp", tmp_path / "digits", "--top", 2, "--out", out)
    header, *rows = list(csv.reader((out / "predictions.csv").read_text().splitlines()))
    assert header == ["file", "class", "probability", "class_2", "probability_2"]
    assert [row[0] for row in rows] == [str(folder / path.name) for path in paths]
    assert f"{rows[0][1]} {float(rows[0][2]):.1%}" in lines[0]
    assert all(float(row[2]) >= float(row[4]) for row in rows)
    done = run_here("predict", runs / "mlp", tmp_path / "out", code=1)
    assert "holds no images" in done.stderr
    done = run_here("predict", runs / "mlp", tmp_path / "broken.png", tmp_path / "none.png", code=1)
    assert "broken.png" in done.stderr
    assert "there is no image file" in done.stderr
    assert "there is no image file" in done.stderr


def test_export(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """What it prints is Python that loads what it wrote."""
    options = ["--out", tmp_path / "exported", "--dtype", "bfloat16", "--platforms", "cpu", "tpu"]
    done = run_here("export", runs / "mlp", *options, "--image-size", 20, 30)
    first, *told = done.stdout.splitlines()
    assert re.fullmatch(r".*exported: \d\.\d\d MB, computes in bfloat16, runs on cpu, tpu", first)
    assert told[0] == "  in  images: uint8 (batch, 20, 30, 1), pixels from 0 to 255"
    assert [line[:25] for line in told[1:3]] == [
        "  out logits: float32 (ba",
        "  out probabilities: floa",
    ]
    names = {"images": np.zeros((2, 20, 30, 1), np.uint8)}
    exec("\n".join(told[3:]), names)
    assert names["outputs"]["logits"].shape == (2, 10)
    both = ["--best", "--step", 1]
    assert "are two checkpoints" in run_here("export", runs / "mlp", *both, code=1).stderr
    assert "keeps no best state" in run_here("export", runs / "mlp", "--best", code=1).stderr
    assert (
        "is not a run folder: it has no checkpoints" in run_here("export", tmp_path, code=1).stderr
    )


@pytest.mark.slow
def test_a_run_of_the_library_needs_no_more_than_its_folder(tmp_path: pathlib.Path) -> None:
    """Nothing is taken from the settings of classify.py: not the size of the images either."""
    model = models.create_model("mlp", num_classes=10)
    digits, tx = data.load("digits", "train"), optax.adam(1e-3)
    state = train.init_state(jax.random.key(0), model, tx, digits.sample_batch())
    loss_fn = train.classification.make_loss_fn(model, inputs=train.Inputs([0.3]))
    step = train.make_train_step(loss_fn, tx)
    result = train.fit(
        step,
        state,
        digits.batches(128),
        num_steps=150,
        evaluate=train.make_eval_fn(loss_fn),
        eval_data=data.load("digits", "test"),
        run_dir=tmp_path / "run",
    )
    run_here("evaluate", tmp_path / "run", "--no-figures", "--num-resamples", 0)
    scores = json.loads((tmp_path / "run" / "evaluations" / "digits_test.json").read_text())[
        "scores"
    ]
    assert scores["accuracy"]["value"] == result.metrics["accuracy"] > 0.9
    assert scores["log_loss"] == {
        "value": pytest.approx(result.metrics["loss"], rel=1e-5),
        "low": None,
        "high": None,
        "note": "",
    }


def test_continues_and_refuses_other_settings(runs: pathlib.Path) -> None:
    options = ["--model", "mlp", "--image-size", "None", "--num-steps", 150, "--warmup-steps", 5]
    before = (runs / "mlp" / "metrics.jsonl").read_text()
    run_here("classify", "--run-dir", runs / "mlp", *options, "--no-figures")
    assert (runs / "mlp" / "metrics.jsonl").read_text() == before
    done = run_here("classify", "--run-dir", runs / "mlp", *options, "--seed", 1, code=1)
    assert "seed: 0 in the checkpoint, 1 now" in done.stderr


def test_a_run_is_trained_longer_if_that_is_said(
    runs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs / "linear_classifier", folder)
    options = ["--model", "linear_classifier", "--image-size", "None", "--num-steps", 180]
    options += ["--warmup-steps", 5, "--no-figures", "--run-dir", folder]
    refused = run_here("classify", *options, code=1).stderr
    assert "optimization.num_steps: 150 in the checkpoint, 180 now" in refused
    assert refused.endswith("To train it longer, add --longer.")
    done = run_here("classify", *options, "--longer", "--keep-best", "accuracy", "--patience", 9)
    assert "goes on at step 150" in done.stderr
    lines = train.read_metrics(folder)
    assert lines[-1]["step"] == 180
    rates = {line["step"]: line["learning_rate"] for line in lines if line["split"] == "train"}
    assert rates[150] < rates[152]
    assert len(train.Checkpointer(folder / "checkpoints").steps()) >= 3


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("classify", ["--modle", "mlp"], "--model"),
        ("classify", ["--optimizer", "adamm"], "adamw"),
        ("evaluate", [], "RUN_DIR"),
    ],
)
def test_wrong_flags_suggest_right_ones(script: str, arguments: list, message: str) -> None:
    assert message in run_here(script, *arguments, code=2).stderr


@pytest.mark.slow
def test_unknown_model_and_data(tmp_path: pathlib.Path) -> None:
    options = ["--run-dir", tmp_path / "run", "--model"]
    assert "did you mean 'resnet18'?" in run_here("classify", *options, "resnet81", code=1).stderr
    options = ["--run-dir", tmp_path / "run", "--model-options", "num_classes", "5"]
    message = run_here("classify", *options, code=1).stderr
    assert "num_classes is not given in --model-options" in message
    options = ["--run-dir", tmp_path / "run", "--dataset", "./none"]
    assert "there is no folder ./none" in run_here("classify", *options, code=1).stderr
    options = ["--run-dir", tmp_path / "run", "--dataset", "digit"]
    assert "did you mean 'digits'?" in run_here("classify", *options, code=1).stderr
    assert (
        "is not a run folder: it has no checkpoints"
        in run_here("evaluate", tmp_path, code=1).stderr
    )


SCRIPTS = (
    "classify", "evaluate", "predict", "export", "demo", "finetune", "transfer", "multitask",
    "dqn", "reinforce", "ppo", "qlearning", "play", "knn", "toys", "summary", "list_models", "plan",
    "receptive_field", "units", "explain", "fixations", "explainers",
)  # fmt: skip


@pytest.mark.parametrize("script", quick.only(SCRIPTS, "classify"))
def test_help_explains_every_field(script: str) -> None:
    blocks = re.split(r"│ -{1,2}(?=\w)", run_here(script, "--help").stdout)[1:]
    assert len(blocks) >= 1 + 2 * (script != "list_models")  # which has a pattern and no options
    for block in blocks:
        assert re.search(r" {2,}(show|k-NN|[A-Z][\w-]*)[:,]? ", block), block


@pytest.mark.slow
def test_units(tmp_path: pathlib.Path, runs: pathlib.Path) -> None:
    """All figures of a small convolutional network; an MLP has neither filters nor patches."""
    options = ["--model", "lenet5", "--num-steps", 40, "--no-figures"]
    run_here("classify", "--run-dir", tmp_path / "lenet", *options)
    few = ["--channels", 2, "--patches", 3, "--classes", 3, "--steps", 4, "--neighbors", 2]
    done = run_here("units", tmp_path / "lenet", *few, "--strides", 4)
    figures = tmp_path / "lenet" / "figures" / "units"
    names = ["filters", "patches_4", "classes", "neighbors"]
    assert done.stdout.splitlines() == [str(figures / f"{name}.png") for name in names]
    for name in names:
        with Image.open(figures / f"{name}.png") as image:
            assert image.size[0] > 400
    done = run_here("units", tmp_path / "lenet", *few, "--strides", 3, code=1)
    assert "no map of stride 3, but of [2, 4]" in done.stderr
    assert "--patches must be at least 1" in run_here("units", "x", "--patches", 0, code=1).stderr
    lines = run_here("units", runs / "mlp", *few).stdout.splitlines()
    assert [pathlib.Path(line).stem for line in lines][-2:] == ["classes", "neighbors"]


@pytest.mark.slow
def test_receptive_field(tmp_path: pathlib.Path) -> None:
    """LeNet's maps after its poolings see 6 and 16 pixels; wrong settings are named."""
    options = ["--channels", 1, "--num-images", 2, "--run-dir", tmp_path]
    head, *rows, path = run_here("receptive_field", "lenet5", *options).stdout.splitlines()
    assert head.split()[:3] == ["stride", "can", "see"]
    assert [re.split(r" {2,}", row.strip())[:3] for row in rows] == [
        ["2", "6 x 6", "0"],
        ["4", "16 x 16", "0"],
    ]
    with Image.open(path) as image:
        assert image.size[0] > 400
    done = run_here("receptive_field", "lenet5", *options, "--strides", 3, code=1)
    assert "no map of stride 3, but of [2, 4]" in done.stderr
    assert "did you mean" in run_here("receptive_field", "lenet", code=1).stderr


@pytest.mark.slow
def test_folder_of_images(tmp_path: pathlib.Path) -> None:
    """Folders of PNG files with train and test above the classes; a corrupt one is skipped."""
    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = "train" if index % 4 else "test"
        folder = tmp_path / "images" / split / f"digit{label}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.round(image * (255 / 16)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    (tmp_path / "images" / "train" / "digit0" / "bad.png").write_bytes(b"no image")
    shutil.rmtree(tmp_path / "images" / "test" / "digit3")  # the others keep their numbers
    place = os.path.relpath(tmp_path / "images")
    options = ["--dataset", f"./{place}", "--channels", 1, "--image-size", 8, "--model", "mlp"]
    options += ["--model-options", "hidden_sizes", "64,32", "activation", "tanh"]
    options += ["--num-steps", 100, "--run-dir", tmp_path / "run"]
    assert "bad.png" in run_here("classify", *options, code=1).stderr
    done = run_here("classify", *options, "--corrupt", "skip")
    assert "skipped 1 of" in done.stderr
    assert float(re.findall(r"accuracy (0\.\d+)", done.stdout)[0]) > 0.85
    assert "digit" in run_here("predict", tmp_path / "run", next(folder.iterdir())).stdout
    done = run("evaluate", tmp_path / "run", cwd=tmp_path)
    assert float(re.findall(r"accuracy +(0\.\d+)", done.stdout)[0]) > 0.85
    (tmp_path / "images" / "test" / "digit3").mkdir()
    (tmp_path / "images" / "test" / "letter").mkdir()
    assert "sub-folders letter" in run_here("evaluate", tmp_path / "run", code=1).stderr


@pytest.mark.slow
def test_distributed_is_one_flag(tmp_path: pathlib.Path) -> None:
    """Two processes with two devices each, the parameters cut over all of them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    options = ["--run-dir", tmp_path / "run", "--model", "mlp", "--image-size", "None"]
    options += ["--num-steps", 60, "--fsdp", "--distributed"]
    environment = os.environ | {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": "2",
        "JAX_NUM_CPU_DEVICES": "2",
    }
    started = [
        subprocess.Popen(
            command("classify", *options),
            env=environment | {"JAX_PROCESS_ID": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert "test accuracy" in outputs[0]
    assert "test accuracy" not in outputs[1]
    assert "359 images" in run_here("evaluate", tmp_path / "run").stdout


@pytest.mark.release
@pytest.mark.optimized
@pytest.mark.timeout(1200)
def test_demo_reaches_its_quality(tmp_path: pathlib.Path) -> None:
    done = run("demo", "--run-dir", tmp_path / "demo")
    mean = re.findall(r"mean +(\d+\.\d+)%", done.stdout)
    assert float(mean[0]) >= 99.0


@pytest.mark.release
@pytest.mark.optimized
@pytest.mark.timeout(1200)
def test_transfer_reports_the_gain(tmp_path: pathlib.Path) -> None:
    done = run("transfer", "--run-dir", tmp_path / "transfer", "--seeds", 0, 1)
    scratch, tuned = map(float, re.findall(r"mean +(\d+\.\d+)% +(\d+\.\d+)%", done.stdout)[0])
    assert 90 < scratch < tuned
    assert re.search(r"The gain lies in \[[+-]\d+\.\d+%, [+-]\d+\.\d+%\]", done.stdout)


@pytest.mark.release
@pytest.mark.optimized
@pytest.mark.timeout(1200)
def test_learned_weights_learn_every_task(tmp_path: pathlib.Path) -> None:
    done = run("multitask", "--run-dir", tmp_path / "multitask", "--seeds", 0)
    ((accuracy, slant, ink),) = re.findall(
        r"learned +mean +(\d+\.\d+)% +(\d+\.\d+) +(\d+\.\d+)%", done.stdout
    )
    assert float(accuracy) > 97
    assert float(slant) < 1
    assert float(ink) < 2.5
