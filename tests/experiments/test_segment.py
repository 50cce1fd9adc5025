"""The scripts of segmentation, as a user starts them."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from scripts import run_here

from jaxvision import data

pytestmark = pytest.mark.slow
STEPS = ("--num-steps", 60, "--batch-size", 8, "--ema-decay", "None", "--learning-rate", 3e-2)
TINY = ("--model-options", "channels", "8,16", "norm", "group", "--patch-size", 1, *STEPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Images of bright squares, with paletted masks."""
    root = tmp_path_factory.mktemp("squares")
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir()
    for index in range(20):
        mask = np.zeros((24, 20), np.uint8)
        top, left = random.integers(0, 12, 2)
        mask[top : top + 9, left : left + 8] = 1
        mask[0, 0] = 255
        image = 60 + 120 * (mask == 1)[..., None] + random.integers(0, 40, (24, 20, 3))
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{index:02}.png")
        data.write_mask(root / "masks" / f"{index:02}.png", mask)
    return root


@pytest.fixture(scope="module")
def trained(folder: pathlib.Path) -> pathlib.Path:
    done = run_here(
        "segment",
        *("--run-dir", folder / "run", "--dataset", folder / "images", "--masks", folder / "masks"),
        *("--class-names", "sky", "square"),
        *("--train-split", "all[:80%]", "--eval-split", "all[80%:]", *TINY),
        *("--boundary-weights", "--loss", "pixel_cross_entropy", 1, "lovasz_softmax", 0.5),
    )
    assert "all[80%:] mean_iou" in done.stdout
    return folder / "run"


def test_a_run_on_folders_is_evaluated(trained: pathlib.Path) -> None:
    done = run_here("evaluate", trained, "--num-resamples", 50)
    assert f"4 images of {trained.parent.name}/all[80%:]" in done.stdout
    (path,) = (trained / "evaluations").glob("*.json")
    scores = json.loads(path.read_text())["scores"]
    assert scores["mean_iou"]["value"] > 0.8
    assert scores["iou/square"]["low"] <= scores["iou/square"]["value"]
    figures = {path.name for path in (trained / "figures").rglob("*.png")}
    assert figures == {"batch.png", "learning_curves.png", "confusion_matrix.png", "masks.png"}


def test_masks_of_files_of_any_size_are_written(trained: pathlib.Path, tmp_path) -> None:
    images = sorted((trained.parent / "images").iterdir())[-2:]
    large = tmp_path / "large.png"
    pixels = np.concatenate([np.asarray(Image.open(images[0]))] * 3, axis=1)
    Image.fromarray(pixels).save(large)
    out = tmp_path / "out"
    options = ("--out", out, "--tile", 32, "--overlap", 16, "--views", "horizontal_flip")
    done = run_here("predict", trained, *images, large, tmp_path / "none.png", *options, code=1)
    assert "there is no image file" in done.stderr
    areas = json.loads((out / "areas.json").read_text())
    assert set(areas) == {str(path) for path in (*images, large)}
    for path in (*images, large):
        mask = data.read_mask(out / areas[str(path)]["mask"])
        assert mask.shape == np.asarray(Image.open(path)).shape[:2]
        square = areas[str(path)]["classes"][1]
        assert square["name"] == "square"
        assert square["pixels"] == (mask == 1).sum()
    truth = data.read_mask(trained.parent / "masks" / images[0].name)
    found = data.read_mask(out / f"{images[0].stem}.png")
    assert (found == truth).mean() > 0.9


def test_a_crf_refines(trained: pathlib.Path) -> None:
    done = run_here("refine", trained, "--num-resamples", 50, "--num-steps", 2)
    assert "refined against plain: mean IoU" in done.stdout
    (path,) = (trained / "evaluations").glob("*-refined.json")
    content = json.loads(path.read_text())
    assert content["refined"]["mean_iou"]["value"] > 0.8
    assert {path.name for path in (trained / "refined").rglob("*.png")} == {
        "confusion_matrix.png",
        "masks.png",
    }


def test_segmenters_are_compared_over_seeds(folder: pathlib.Path, tmp_path) -> None:
    done = run_here(
        "segmenters",
        *("--run-dir", tmp_path, "--dataset", folder / "images", "--masks", folder / "masks"),
        *("--class-names", "sky", "square", "--models", "linear", "linear3x3"),
        *("--train-split", "all[:80%]", "--eval-split", "all[80%:]", *STEPS),
        *("--seeds", 0, 1, "--patch-size", 2, "--no-figures"),
        *("--augmentation.no-diagonal-flip", "--refined", "--crf.num-steps", 2),
        *("--views", "flips"),
    )
    for model in ("linear", "linear3x3"):
        summary = json.loads((tmp_path / model / "summary.json").read_text())
        assert len(summary["scores"]["mean_iou"]["values"]) == 2
        assert len(summary["scores"]["refined/mean_iou"]["values"]) == 2
        assert len(summary["scores"]["flips/mean_iou"]["values"]) == 2
        assert f"{model:16}" in done.stdout


def test_what_is_wrong_is_said(folder: pathlib.Path, tmp_path) -> None:
    def fails(*arguments: object) -> str:
        return run_here("segment", "--run-dir", tmp_path / "run", *arguments, code=1).stderr

    assert "name the folder of --masks too" in fails("--dataset", folder / "images")
    assert "is a data set" in fails("--masks", folder / "masks")
    images = ("--dataset", folder / "images", "--masks", folder / "masks")
    whole = ("--train-split", "all", "--eval-split", "all")
    assert "give --num-classes" in fails(*images, *whole)
    named = (*images, *whole, "--class-names", "sky", "square")
    assert "unknown segmenter 'unett'" in fails(*named, "--model", "unett")
    assert "the data have no masks" in fails("--dataset", "digits")
