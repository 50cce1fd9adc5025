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
    options = ("--num-steps", 500, "--seeds", 0, 1, "--samples", 20, "--kl-warmup-steps", 100)
    done = run_here("vae", "--run-dir", tmp_path, *options, "--network", "dense", "--conditional")
    assert "independent pixels: 2.410" in done.stdout
    assert scores(tmp_path)["bits_per_dimension"]["mean"] < 2.41
    evaluated = run_here("evaluate", tmp_path / "seed0", "--compare", tmp_path / "seed1")
    assert "nats per image: difference" in evaluated.stdout


def test_two_games_are_played_and_their_samples_compared(tmp_path) -> None:
    options = ("--num-updates", 120, "--seeds", 0, "--samples", 300, "--networks", "dense")
    games = ("--games", "hinge", "wgan", "--critic-steps", 2, "--clip", 0.02)
    done = run_here("gan", "--run-dir", tmp_path, *options, *games)
    assert "Frechet distance between two halves" in done.stdout
    for game in ("hinge", "wgan"):
        found = scores(tmp_path / game)
        assert found["frechet_ratio"]["mean"] > 1
        assert 0 <= found["copies"]["mean"] <= 1
        names = {path.name for path in (tmp_path / game / "seed0" / "figures").rglob("*.png")}
        assert names == {"interpolations.png", "learning_curves.png", "nearest.png", "samples.png"}
        assert list((tmp_path / game / "seed0" / "pictures" / "samples").glob("*.png"))
    assert "critic_auc" in run_here("evaluate", tmp_path / "hinge" / "seed0").stdout
    classifier = tmp_path / "classifier"
    compared = tmp_path / "compared"
    options = ("--classifier", classifier, "--run-dir", compared, "--samples", 300)
    done = run_here("samples", tmp_path / "hinge", tmp_path / "wgan" / "seed0", *options)
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert lines["samples"][2:] == [
        *("Frechet", "kernel", "precision", "recall", "density", "coverage", "modes", "rarest"),
        "copies",
    ]
    assert float(lines["held_out_images"][1]) < 3 < float(lines["hinge"][1])
    assert scores(compared / "seed0")["modes"]["mean"] <= 10
    assert (compared / "figures" / "samples.png").exists()
    said = run_here("samples", classifier, "--classifier", classifier, code=1)
    assert "cannot generate images" in said.stderr


def test_games_in_the_plane_are_drawn_beside_their_best_critics(tmp_path) -> None:
    options = ("--num-updates", 400, "--seeds", 0, 1, "--samples", 2000)
    done = run_here("plane", "--run-dir", tmp_path, *options, "--games", "minimax", "wgan_gp")
    assert "near a center, each seed" in done.stdout
    for game in ("minimax", "wgan_gp"):
        assert 0 <= scores(tmp_path / game)["near"]["mean"] <= 1
        assert list((tmp_path / game / "seed1" / "pictures" / "samples").glob("*.png"))
    assert (tmp_path / "figures" / "fields.png").exists()
