"""Data without a split to evaluate on: what the scripts hold out of training, and say."""

import importlib
import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from scripts import EXPERIMENTS, modules_of_scripts, run, run_here

from jaxvision import train


def save(path: pathlib.Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)


@pytest.fixture
def flat(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two classes of 20 images, dark and bright, and no splits."""
    for number in range(20):
        save(tmp_path / "pets" / "cat" / f"{number:02}.png", number)
        save(tmp_path / "pets" / "dog" / f"{number:02}.png", 200 + number)
    return tmp_path / "pets"


@pytest.fixture
def settings(flat, monkeypatch):
    """Makes settings of data in the folder."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    with modules_of_scripts():
        module = importlib.import_module("common.data")
        usual = {"dataset": str(flat), "channels": 1, "image_size": None}
        yield lambda **options: module.Data(**{**usual, **options})


def values(dataset):
    return dataset.examples["image"][:, 0, 0, 0].tolist()


def test_a_share_is_held_out_of_every_class(settings):
    learned, held_out = settings(validation=0.25).load_splits(0)
    assert np.bincount(held_out.examples["label"]).tolist() == [5, 5]
    assert sorted(values(learned) + values(held_out)) == [*range(20), *range(200, 220)]
    others = settings(validation=0.25).load_splits(1)[1]
    assert values(others) != values(held_out)
    few, same = settings(validation=0.25, per_class=2).load_splits(0)
    assert (len(few), values(same)) == (4, values(held_out))


def test_splits_and_slices_of_a_folder(settings, flat):
    parts = settings(train_split="all[:70%]", eval_split="all[70%:]").load_splits(0)
    assert [np.bincount(part.examples["label"]).tolist() for part in parts] == [[14, 14], [6, 6]]
    for split in ("train", "test"):
        (flat.parent / "both").mkdir(exist_ok=True)
        (flat.parent / "both" / split).symlink_to(flat, target_is_directory=True)
    parts = settings(dataset=str(flat.parent / "both")).load_splits(0)
    assert [(part.name, part.split, len(part)) for part in parts] == [
        ("both", "train", 40),
        ("both", "test", 40),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "pets has no split 'test': its sub-folders are the classes cat, dog"),
        ([], "hold out a fifth of train with --validation 0.2"),
        (["--validation", 1.5], "--validation: share must be above 0 and below 1, got 1.5"),
        (["--train-split", "tarin", "--validation", 0.2], "pets has no split 'tarin'"),
    ],
)
def test_data_that_cannot_be_evaluated_on(flat, options, message):
    options = ["--dataset", flat, "--no-figures", "--run-dir", flat.parent / "run", *options]
    assert message in run_here("classify", *options, code=1).stderr
    assert not (flat.parent / "run").exists()


@pytest.mark.slow
def test_a_run_is_evaluated_on_what_it_held_out(flat):
    folder = flat.parent / "run"
    options = ["--dataset", flat, "--channels", 1, "--image-size", 4, "--model", "mlp"]
    options += ["--validation", 0.25, "--num-steps", 30, "--run-dir", folder, "--no-figures"]
    assert "train-held-out accuracy" in run("classify", *options).stdout
    options = ["--no-figures", "--num-resamples", 0]
    done = run("evaluate", folder, *options)
    assert "10 images of pets/train-held-out" in done.stdout
    (file,) = (folder / "evaluations").glob("*.json")
    logged = [line for line in train.read_metrics(folder) if line["split"] == "train-held-out"]
    scores = json.loads(file.read_text())["scores"]
    assert scores["accuracy"]["value"] == logged[-1]["accuracy"]
    assert "40 images of pets/all" in run("evaluate", folder, *options, "--split", "all").stdout
    save(flat / "cat" / "20.png", 20)
    done = run("evaluate", folder, *options, code=1)
    assert "but pets/train now has 31 without the held-out ones" in done.stderr
