"""What scripts say of values that do not go together: a line, before anything is trained."""

import importlib
import pathlib
import types
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from scripts import EXPERIMENTS, modules_of_scripts, run_here

PLAIN = ("--model", "mlp", "--image-size", "None", "--no-figures")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    with modules_of_scripts():
        yield importlib.import_module("common.places")


def pets(root: pathlib.Path) -> pathlib.Path:
    for split, counts in (("train", (2, 6)), ("test", (1, 2))):
        for kind, count in zip(("cat", "dog"), counts, strict=True):
            folder = root / "pets" / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((6, 8, 3), 20 * number, np.uint8)
                Image.fromarray(pixels).save(folder / f"{kind}{number}.png")
    return root / "pets"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class-weights", 1, 2, 3], "one number for each of 10 classes, got 3: 1.0, 2.0, 3.0"),
        (["--mean", ".5", ".5"], "mean must be one number, or one for each of 1 channels, got 2"),
        (["--batch-size", 0], "batch_size must be a whole number of images, at least 1, got 0"),
        (["--accumulate-steps", 7], "--accumulate-steps 7 must divide --batch-size 128"),
        (["--model-options", "hidden_size", 3], "did you mean 'hidden_sizes'"),
        (
            ["--mixup", 1, "--loss", "weston_watkins_hinge"],
            "weston_watkins_hinge takes classes only",
        ),
        (["--label-smoothing", 2], "label_smoothing must be in [0, 1], got 2"),
        (["--log-every", 0], "log_every must be a whole number of steps, at least 1, got 0"),
        (["--seed", -1], "seed must be in [0, 2**63), got -1"),
        (["--seed", 2**63], "seed must be in [0, 2**63), got 9223372036854775808"),
        (["--patience", 0], "patience must be a whole number of evaluations, at least 1, got 0"),
        (["--keep-best", "acc"], "unknown metric of --keep-best 'acc'"),
        (["--classes"], "--classes needs two names or more, got none"),
        (["--train-split", "train[5:3]"], "'train[5:3]' of digits has no examples"),
        (["--train-split", "all[:80%]"], "cannot read 'all[:80%]' of digits: all has no parts"),
        (["--eval-split", "tset"], "did you mean 'test'?"),
        (["--mean"], "--mean and --std need one number, or one per channel"),
        (["--rotation", "inf"], "rotation must be a number, not negative, got inf"),
        (["--translation", 2], "translation must be in [0, 1], got 2.0"),
        (["--scale", 1], "scale must be in [0, 1), got 1.0"),
        (["--rand-augment", 300], "rand_augment is a number of operations, at most 10"),
        (["--classes", 1], "--classes needs two names or more, got '1'"),
        (["--dataset", "CIFAR-10"], "did you mean 'cifar10'"),
        (["--dataset", "nowhere/at/all"], "there is no data set or folder nowhere/at/all (looked"),
        (["--model", "timm/resnet18.a1_in1k"], "finetune.py timm/resnet18.a1_in1k --dataset ..."),
    ],
)
def test_values_are_refused_in_a_line(
    tmp_path: pathlib.Path, arguments: list, message: str
) -> None:
    said = run_here("classify", *PLAIN, *arguments, "--run-dir", tmp_path, code=1).stderr
    assert message in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("finetune", ["runs/lenett", "--dataset", "./pets"]),
        ("evaluate", ["runs/lenett"]),
        ("predict", ["runs/lenett", "photo.png"]),
    ],
)
def test_a_mistyped_run_folder_is_said_at_once_with_the_near_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, script: str, arguments: list
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "lenet" / "checkpoints").mkdir(parents=True)
    said = run_here(script, *arguments, code=1).stderr
    assert "runs/lenett; did you mean runs/lenet?" in said


def test_a_mistyped_folder_of_images_is_said_with_the_near_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pets(tmp_path)
    for name, near in (("./pest", "./pets"), ("pest/train", "./pets/train"), ("pets", "./pets")):
        said = run_here("classify", *PLAIN, "--dataset", name, code=1).stderr
        assert near in said
        assert "\n" not in said.strip()


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("evaluate", ["--best", "--step", 2], "--best and --step 2 are two checkpoints: give one"),
        ("evaluate", ["--batch-size", 0], "batch_size must be a whole number of images, at least"),
        ("evaluate", ["--num-resamples", -1], "num_resamples must be a whole number, at least 0"),
        ("predict", ["photo.png", "--top", 0], "--top must be at least 1, got 0"),
        ("predict", ["photo.png", "--out", "FILE"], "is a file: name a folder"),
        ("predict", [], "python experiments/predict.py FOLDER IMAGE..."),
    ],
)
def test_what_is_made_of_a_run_refuses_values_in_a_line(
    tmp_path: pathlib.Path, script: str, arguments: list, message: str
) -> None:
    file = tmp_path / "notes.txt"
    file.touch()
    arguments = [file if each == "FILE" else each for each in arguments]
    message = message.replace("FOLDER", str(tmp_path))
    (said,) = run_here(script, tmp_path, *arguments, code=1).stderr.splitlines()
    assert message in said


def test_a_corrupt_image_is_said_with_the_remedy(tmp_path: pathlib.Path) -> None:
    root = pets(tmp_path)
    (root / "train" / "cat" / "cat0.png").write_bytes(b"not an image")
    said = run_here("classify", *PLAIN, "--dataset", root, code=1).stderr
    assert "cat0.png" in said
    assert "--corrupt skip" in said


def test_a_folder_without_a_test_split_is_said_with_the_remedy(tmp_path: pathlib.Path) -> None:
    root = pets(tmp_path) / "train"
    said = run_here("classify", *PLAIN, "--dataset", root, code=1).stderr
    assert "has no split 'test'" in said
    assert "; hold out a fifth of train with --validation 0.2, or name a split" in said
    assert "data.split" not in said


def test_what_a_run_lacks_is_said_of_flags_and_files(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ("--num-steps", 1, "--batch-size", 8, "--run-dir", "runs/mlp")
    run_here("classify", *PLAIN, *few)
    (said,) = run_here("evaluate", "runs/mlp", "--best", code=1).stderr.splitlines()
    assert said.startswith("runs/mlp keeps no best checkpoint: leave out --best, or train it with")
    pathlib.Path("bad.png").write_bytes(b"not an image")
    said = run_here("predict", "runs/mlp", "digit.png", "bad.png", code=1).stderr
    assert said.splitlines()[-2:] == [
        f"there is no image file digit.png (looked for in {tmp_path})",
        "bad.png is not an image, or of a kind that Pillow cannot read",
    ]


def test_segmentation_refuses_values_in_a_line(tmp_path: pathlib.Path) -> None:
    for folder, value in (("images", 90), ("masks", 1)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / folder / "1.png")
    data = ("--dataset", tmp_path / "images", "--masks", tmp_path / "masks", "--no-figures")
    usual = ("--class-names", "a", "b", "--train-split", "all", "--eval-split", "all")
    for arguments, message in (
        (["--num-classes", 1], "--num-classes must be at least 2, got 1: the data have"),
        (["--model-options", "depth", 3], "unknown option 'depth'"),
        (["--class-weights", 1, 2, 3], "class_weights must have one entry per class"),
        (["--mixup", 1], "--mixup cannot mix masks"),
        (["--mean", ".5", ".5"], "mean"),
    ):
        said = run_here("segment", *data, *usual, *arguments, code=1).stderr
        assert message in said
        assert "Traceback" not in said


def test_where_a_name_is_that_of_a_hub(
    places: types.ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("runs/x", "./x/y", "~/x", "lenet", "a/b/c", "mine/x"):
        assert places.looks_like_a_folder(name)
    for name in ("timm/resnet50.a1_in1k", "somebody/model"):
        assert not places.looks_like_a_folder(name)


def test_a_folder_of_runs_names_the_runs_in_it(
    places: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "seed0" / "checkpoints").mkdir(parents=True)
    with pytest.raises(SystemExit, match="the runs in it are seed0"):
        places.run_folder(str(tmp_path))
