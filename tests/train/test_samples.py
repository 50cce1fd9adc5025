"""Tasks that are built with the public API alone live through all that tasks live through.

They are in samples/, each under 60 lines, and touch no file of the library. Tasks of the library
that have no tests of their own for it go the same way.
"""

import pathlib
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import quick
import sample_runs
from small_net import numbers

from jaxvision import train

SAMPLES = ("segmenter", "gan", "captioner")
GENERATIVE = ("autoencoding", "vae", "dcgan")
TASKS = (*SAMPLES, "segmentation", "fixations", *GENERATIVE)
HERE = pathlib.Path(__file__).parent


def measured(history: list[dict]) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "steps_per_second"} for line in history]


@pytest.fixture(scope="module", params=quick.only(TASKS, "gan", "captioner"))
def whole(request, tmp_path_factory) -> tuple[str, pathlib.Path, train.FitResult]:
    """The run of a task, in one go."""
    folder = tmp_path_factory.mktemp(request.param) / "whole"
    return request.param, folder, sample_runs.fit(request.param, folder)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_short(name: str) -> None:
    assert len((HERE / "samples" / f"{name}.py").read_text().splitlines()) < 60


def test_it_learns_and_comes_back(whole) -> None:
    name, folder, result = whole
    trained = train.restore(folder)
    if name in GENERATIVE:
        check_generative(name, trained, result)
        return
    if name == "segmentation":
        assert result.metrics["mean_iou"] > 0.8
        scores = trained.evaluate(trained.predict(sample_runs.squares(20, 1)))
        assert scores["mean_iou"].value == pytest.approx(result.metrics["mean_iou"], abs=1e-12)
        return
    if name == "fixations":
        assert result.metrics["cc"] > 0.8
        scores = trained.evaluate(trained.predict(sample_runs.looked_at(20, 1)))
        assert scores["cc"].value == pytest.approx(result.metrics["cc"], rel=1e-5)
        return
    assert trained.record.task.startswith("tiny_")
    if name == "segmenter":
        assert result.metrics["mean_iou"] > 0.8
        test = sample_runs.squares(20, 1)
        found = trained.predict(test)
        assert (found == test.examples["mask"]).mean() > 0.9
    elif name == "captioner":
        assert result.metrics["whole_sentences"] == 1
        said = trained.predict(sample_runs.pictures(3, 2))
        bright = sample_runs.pictures(3, 2).examples["image"][:, 0, 0, 0] > 100
        words = ["bright" if each else "dark" for each in bright]
        assert [sentence.split()[1] for sentence in said] == words
    else:
        assert trained.predict(batch_size=5).shape == (5, 2)
        loss = [line["critic_loss"] for line in result.history]
        assert loss[-1] < loss[0]


def check_generative(name: str, trained: train.Trained, result: train.FitResult) -> None:
    test = sample_runs.squares(20, 1)
    scores = trained.evaluate(trained.predict(test))
    if name == "dcgan":
        assert trained.sample(jax.random.key(0), 3).shape == (3, 16, 16, 1)
        assert 0 <= scores["critic_auc"].value <= 1
        assert [line["critic_loss"] for line in result.history][-1] > 0
    elif name == "vae":
        assert result.metrics["loss"] < result.history[0]["loss"]
        assert scores["bits_per_dimension"].value < 8
    else:
        assert result.metrics["loss"] < result.history[0]["loss"]
        assert scores["psnr"].value > scores["seen_psnr"].value - 20


@pytest.mark.parametrize("name", quick.only(TASKS, "segmenter", "gan"))
def test_eight_devices_equal_one(name: str) -> None:
    one, eight = (
        sample_runs.fit(name, None, devices=count, num_steps=5).history[0] for count in (1, 8)
    )
    for key in one.keys() - {"steps_per_second", "split"}:
        assert one[key] == pytest.approx(eight[key], rel=1e-4), key


@pytest.mark.slow
def test_killed_it_goes_on_bit_for_bit(whole, tmp_path) -> None:
    name, unbroken, _ = whole
    killed = tmp_path / "killed"

    def start(*seconds: str) -> subprocess.Popen:
        # A kill may come between the last file of a checkpoint and its seal: a warning says so.
        command = [sys.executable, HERE / "sample_runs.py", name, killed, *seconds]
        return subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)

    process = start("0.1")
    while not list(killed.glob("checkpoints/*/manifest.json")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert len(train.read_metrics(killed)) < 10
    assert start().wait(timeout=300) == 0
    first, second = (measured(train.read_metrics(run)) for run in (unbroken, killed))
    assert first == second
    states = [train.open_run(run).state for run in (unbroken, killed)]
    jax.tree.map(np.testing.assert_array_equal, *map(numbers, states))
