"""The script of fixations, and what others make of its run folders, as a user starts them."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from scripts import run_here

from jaxvision import data, train
from jaxvision.data.builders.shapes import ShapesConfig

pytestmark = pytest.mark.slow
SCORES = ("nss", "auc_judd", "cc", "sim", "kl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Runs with two seeds on small scenes; the whole of the printed table is kept."""
    root = tmp_path_factory.mktemp("fixations")
    config = ShapesConfig(size=(32, 32), num_scenes=(24, 4, 8))
    data.load("shapes", "test", root / "data", config=config, in_memory=False)
    done = run_here(
        "fixations",
        *("--run-dir", root / "run", "--dataset", f"shapes/{config.name}"),
        *("--data-dir", root / "data", "--model", "linear3x3", "--patch-size", 1, "--seeds", 0, 1),
        *("--num-steps", 30, "--learning-rate", 0.05, "--num-fixations", 20),
    )
    (root / "said").write_text(done.stdout)
    return root


def test_all_predictions_are_scored(folder: pathlib.Path) -> None:
    """The true density has the best scores, and the network's are those of its run folder."""
    places = ("network", "center_prior", "color_contrast", "spectral_residual", "true_density")
    scores = {}
    for name in places:
        summary = json.loads((folder / "run" / name / "summary.json").read_text())
        assert tuple(sorted(summary["scores"])) == tuple(sorted(SCORES))
        assert all(len(each["values"]) == 2 for each in summary["scores"].values())
        scores[name] = {score: each["mean"] for score, each in summary["scores"].items()}
        (line,) = [
            each
            for each in (folder / "said").read_text().splitlines()
            if each.startswith(f"{name.replace('_', ' '):20}  ")
        ]
        assert f"{scores[name]['nss']:8.4f}" in line
    best = scores.pop("true_density")
    assert (best["cc"], best["sim"]) == pytest.approx((1, 1))
    assert best["kl"] == pytest.approx(0, abs=1e-6)
    for name, others in scores.items():
        assert others["nss"] < best["nss"], name
        assert others["auc_judd"] < best["auc_judd"], name
        assert others["kl"] > 0.01, name
    logged = [
        train.read_metrics(folder / "run" / "network" / f"seed{seed}")[-1]["loss"]
        for seed in (0, 1)
    ]
    assert scores["network"]["kl"] == pytest.approx(np.mean(logged), rel=1e-4)


def test_a_run_is_evaluated_again(folder: pathlib.Path) -> None:
    run = folder / "run" / "network" / "seed1"
    done = run_here("evaluate", run, "--compare", run.parent / "seed0", "--num-resamples", 20)
    assert f"{run} on 8 images of shapes/size32" in done.stdout
    assert "divergence" in done.stdout
    (path,) = (run / "evaluations").glob("*.json")
    scores = json.loads(path.read_text())["scores"]
    assert scores["cc"]["low"] < scores["cc"]["value"] < scores["cc"]["high"]
    figures = {path.name for path in (run / "figures").rglob("*.png")}
    assert figures == {"batch.png", "learning_curves.png", "densities.png"}


def test_densities_of_files_of_any_size_are_written(folder: pathlib.Path, tmp_path) -> None:
    run = folder / "run" / "network" / "seed0"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    done = run_here("predict", run, tmp_path / "scene.png", "--out", tmp_path / "out")
    assert "most looked at: x " in done.stdout
    gray = np.asarray(Image.open(tmp_path / "out" / "scene.png"))
    assert gray.shape == (40, 50)
    assert gray.max() == 255
    (content,) = json.loads((tmp_path / "out" / "densities.json").read_text()).values()
    column, row = content["most_looked_at"]
    assert content["density"] == "scene.png"
    assert gray[row, column] == 255
    failed = run_here("predict", run, tmp_path / "scene.png", "--tile", 16, code=1)
    assert "cannot take tile" in failed.stderr


def test_what_is_wrong_is_said(tmp_path: pathlib.Path) -> None:
    options = ("--run-dir", tmp_path / "run", "--seeds", 0, "--no-figures")
    failed = run_here("fixations", *options, "--augmentation.mixup", 0.2, code=1)
    assert "leave out --mixup and --cutmix" in failed.stderr
    failed = run_here("fixations", *options, "--dataset", "digits", code=1)
    assert "the data have no masks of objects" in failed.stderr
