"""The scripts of models that make images, as a user starts them."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from scripts import run_here

pytestmark = pytest.mark.slow


def scores(folder: pathlib.Path) -> dict:
    return json.loads((folder / "summary.json").read_text())["scores"]


def test_autoencoders_are_compared(tmp_path) -> None:
    done = run_here(
        "autoencode",
        *("--run-dir", tmp_path, "--num-steps", 300, "--seeds", 0, "--kinds"),
        *("undercomplete", "denoising", "sparse", "sparse_l1", "contractive"),
    )
    for kind in ("undercomplete", "denoising", "sparse", "sparse_l1", "contractive"):
        assert f"{kind:14}" in done.stdout
        assert scores(tmp_path / kind)["psnr"]["mean"] > 12
        figures = {path.name for path in (tmp_path / kind / "seed0" / "figures").rglob("*.png")}
        assert figures >= {"filters.png", "samples.png", "reconstructions.png", "codes.png"}
    near_zero = {
        kind: scores(tmp_path / kind)["near_zero"]["mean"]
        for kind in ("undercomplete", "sparse_l1")
    }
    assert near_zero["sparse_l1"] > 2 * near_zero["undercomplete"]
    noisy = scores(tmp_path / "denoising")
    assert noisy["psnr"]["mean"] > noisy["seen_psnr"]["mean"] + 2
    assert "psnr" in run_here("evaluate", tmp_path / "denoising" / "seed0").stdout


def test_a_vae_is_better_than_pixels_by_themselves(tmp_path) -> None:
    options = ("--num-steps", 500, "--seeds", 0, 1, "--samples", 20, "--kl-warmup-steps", 100)
    done = run_here("vae", "--run-dir", tmp_path, *options, "--network", "dense", "--conditional")
    assert "independent pixels: 2.410" in done.stdout
    assert "normal: 2.922" in done.stdout
    assert scores(tmp_path)["normal/bits_per_dimension"]["mean"] == pytest.approx(2.922, abs=5e-4)
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
        assert names == {
            *("interpolations.png", "learning_curves.png", "nearest.png", "samples.png"),
            *("distances.png", "closest.png"),
        }
        shares = [found[f"share/{digit}"]["mean"] for digit in range(10)]
        assert sum(shares) == pytest.approx(1)
        assert min(shares) == found["rarest_share"]["mean"]
        assert list((tmp_path / game / "seed0" / "pictures" / "samples").glob("*.png"))
    assert (tmp_path / "figures" / "classes.png").exists()
    assert "critic_auc" in run_here("evaluate", tmp_path / "hinge" / "seed0").stdout
    classifier = tmp_path / "classifier"
    compared = tmp_path / "compared"
    options = ("--classifier", classifier, "--run-dir", compared, "--samples", 300)
    done = run_here("samples", tmp_path / "hinge", tmp_path / "wgan" / "seed0", *options)
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert lines["samples"][2:] == [
        *("Frechet", "of", "equals", "kernel", "precision", "recall", "density", "coverage"),
        *("modes", "rarest", "copies"),
    ]
    assert float(lines["held_out_images"][1]) < 3 < float(lines["hinge"][1])
    assert scores(compared / "seed0")["modes"]["mean"] <= 10
    kept = json.loads((compared / "hinge" / "summary.json").read_text())["trained_by"]
    assert [command.startswith(f"gan.py --run-dir {tmp_path}") for command in kept] == [True] * 2
    assert 0.4 < scores(compared / "held_out_images")["frechet_ratio_of_equals"]["mean"] < 1.5
    assert {path.name for path in (compared / "figures").iterdir()} == {
        *("samples.png", "distances.png", "closest_hinge.png", "closest_seed0.png")
    }
    limited = ("--truncation", 0.3, "--no-figures")
    run_here("samples", tmp_path / "hinge", *options[:2], "--run-dir", tmp_path / "low", *limited)
    assert scores(tmp_path / "low" / "hinge") != scores(compared / "hinge")
    said = run_here("samples", classifier, "--classifier", classifier, code=1)
    assert "cannot generate images" in said.stderr


def test_images_in_color_of_a_folder_without_classes(tmp_path) -> None:
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = random.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        for place in (f"pets/{('cat', 'dog')[number % 2]}", "photos"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / place / f"{number}.png")
    few = ("--seeds", 0, "--mean", 0.5, "--std", 0.5, "--num-steps", 4, "--batch-size", 8)
    photos = ("--dataset", tmp_path / "photos")
    held_out = (*photos, "--validation", 0.2, *few, "--no-figures")
    done = run_here("vae", *held_out, "--samples", 5, "--run-dir", tmp_path / "vae")
    too_few = "normal: needs more training images than values of an image, 192, got 32"
    assert too_few in done.stdout
    run_here("autoencode", *held_out, "--kinds", "denoising", "--run-dir", tmp_path / "ae")
    assert "psnr" in run_here("evaluate", tmp_path / "ae" / "denoising" / "seed0").stdout
    games = ("--games", "hinge", "--networks", "dense", "--num-updates", 4, "--batch-size", 8)
    games += ("--seeds", 0, "--samples", 40)
    said = run_here("gan", *photos, *games, "--run-dir", tmp_path / "none", code=1)
    assert "has no classes to train a classifier on" in said.stderr
    pets = ("--dataset", tmp_path / "pets", "--validation", 0.2, "--num-steps", 4)
    classifier = tmp_path / "classifier"
    run_here("classify", *pets, "--batch-size", 8, "--no-figures", "--run-dir", classifier)
    run_here("gan", *photos, *games, "--classifier", classifier, "--run-dir", tmp_path / "gan")
    assert scores(tmp_path / "gan" / "hinge")["share/cat"]["mean"] <= 1


def test_games_in_the_plane_are_drawn_beside_their_best_critics(tmp_path) -> None:
    options = ("--num-updates", 400, "--seeds", 0, 1, "--samples", 2000)
    done = run_here("plane", "--run-dir", tmp_path, *options, "--games", "minimax", "wgan_gp")
    assert "near a center, each seed" in done.stdout
    for game in ("minimax", "wgan_gp"):
        assert 0 <= scores(tmp_path / game)["near"]["mean"] <= 1
        assert list((tmp_path / game / "seed1" / "pictures" / "samples").glob("*.png"))
    assert (tmp_path / "figures" / "fields.png").exists()
