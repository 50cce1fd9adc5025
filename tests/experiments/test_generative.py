"""The scripts of models that make images, as a user starts them."""

import json
import pathlib

import pytest
from scripts import run_here

pytestmark = pytest.mark.slow


def scores(folder: pathlib.Path) -> dict:
    return json.loads((folder / "summary.json").read_text())["scores"]


def test_autoencoders_are_compared(tmp_path) -> None:
    done = run_here(
        "autoencode",
        *("--run-dir", tmp_path, "--num-steps", 300, "--seeds", 0, "--kinds"),
        *("undercomplete", "denoising", "sparse", "contractive"),
    )
    for kind in ("undercomplete", "denoising", "sparse", "contractive"):
        assert f"{kind:14}" in done.stdout
        assert scores(tmp_path / kind)["psnr"]["mean"] > 12
        figures = {path.name for path in (tmp_path / kind / "seed0" / "figures").rglob("*.png")}
        assert figures >= {"filters.png", "samples.png", "reconstructions.png", "codes.png"}
    noisy = scores(tmp_path / "denoising")
    assert noisy["psnr"]["mean"] > noisy["seen_psnr"]["mean"] + 2
    assert "psnr" in run_here("evaluate", tmp_path / "denoising" / "seed0").stdout


def test_a_vae_is_better_than_pixels_by_themselves(tmp_path) -> None:
    options = ("--num-steps", 600, "--seeds", 0, 1, "--samples", 100, "--conditional")
    done = run_here("vae", "--run-dir", tmp_path, *options, "--kl-warmup-steps", 200)
    assert "pixels by themselves: 2.410" in done.stdout
    assert scores(tmp_path)["bits_per_dimension"]["mean"] < 2.41
    evaluated = run_here("evaluate", tmp_path / "seed0", "--compare", tmp_path / "seed1")
    assert "nats per image: difference" in evaluated.stdout


def test_two_games_are_played(tmp_path) -> None:
    options = ("--num-steps", 40, "--seeds", 0, "--samples", 300, "--critic-steps", 2)
    games = ("--games", "hinge", "wasserstein", "--clip", 0.02)
    done = run_here("gan", "--run-dir", tmp_path, *options, *games, "--batch-size", 16)
    assert "Frechet distance between two halves" in done.stdout
    for game in ("hinge", "wasserstein"):
        found = scores(tmp_path / game)
        assert found["frechet_ratio"]["mean"] > 1
        assert 0 <= found["copies"]["mean"] <= 1
        names = {path.name for path in (tmp_path / game / "seed0" / "figures").rglob("*.png")}
        assert names == {"interpolations.png", "learning_curves.png", "nearest.png", "samples.png"}
        assert list((tmp_path / game / "seed0" / "pictures" / "samples").glob("*.png"))
    assert "critic_auc" in run_here("evaluate", tmp_path / "hinge" / "seed0").stdout
