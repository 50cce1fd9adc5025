"""The comparison of k-NN with softmax regression and networks, as a user starts it."""

import json

import numpy as np
import pytest
from scripts import run_here


@pytest.mark.slow
def test_k_is_chosen_by_cross_validation_and_methods_are_compared(tmp_path) -> None:
    done = run_here(
        "knn",
        *("--run-dir", tmp_path, "--seeds", 0, 1, "--num-steps", 150, "--ks", 5, 1, 15),
        *("--penalties", 1, 1e-3, "--methods", "knn", "softmax", "mlp", "--per-class", 40),
    )
    scores = {}
    for method, name in (("knn", "k-NN"), ("softmax", "softmax regression"), ("mlp", "MLP")):
        assert f"\n{name:18}  " in done.stdout
        summary = json.loads((tmp_path / method / "summary.json").read_text())
        scores[method] = summary["scores"]
        assert summary["scores"]["accuracy"]["mean"] > 0.9
        assert summary["scores"]["examples"]["values"] == [359, 359]
    assert scores["softmax"]["penalty"]["values"] == [1e-3, 1e-3]
    for seed, k in enumerate(scores["knn"]["k"]["values"]):
        content = json.loads((tmp_path / f"knn/seed{seed}/cross_validation.json").read_text())
        assert content["values"] == [1, 5, 15]
        means = {name: np.mean(rows, axis=0) for name, rows in content["accuracies"].items()}
        assert list(means) == ["l2", "l1", "cosine"]
        name, value = content["chosen"]
        assert value == k
        assert means[name][[1, 5, 15].index(k)] == max(row.max() for row in means.values()) > 0.93
        assert f"k = {k:g} with the {name} distance" in done.stdout
    for method in ("knn", "softmax"):
        assert (tmp_path / method / "seed1" / "figures" / "cross_validation.png").exists()


@pytest.mark.slow
def test_lenet_sees_larger_images_and_is_tested_on_images_it_was_not_evaluated_on(tmp_path) -> None:
    options = ("--seeds", 0, "--num-steps", 60, "--no-figures", "--methods", "lenet5")
    done = run_here("knn", "--run-dir", tmp_path, *options)
    assert "validation accuracy" in done.stdout
    assert "test accuracy" not in done.stdout
    assert "one seed" in done.stdout
    settings = json.loads((tmp_path / "lenet5" / "seed0" / "settings.json").read_text())
    assert settings["data"]["image_shape"] == [32, 32, 1]
    summary = json.loads((tmp_path / "lenet5" / "summary.json").read_text())
    assert summary["scores"]["accuracy"]["mean"] > 0.7


@pytest.mark.slow
def test_what_is_wrong_is_said(tmp_path) -> None:
    options = ("--run-dir", tmp_path, "--methods", "knn", "--seeds", 0)
    said = run_here("knn", *options, "--ks", 2000, code=1).stderr
    assert "the largest fold leaves 1006 points, fewer than 2000 neighbors" in said
    assert "num_folds" in run_here("knn", *options, "--num-folds", 1, code=1).stderr
