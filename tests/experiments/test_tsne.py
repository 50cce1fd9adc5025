"""The script of embeddings, as a user starts it."""

import json

import pytest
from PIL import Image
from scripts import run_here


def test_what_is_measured_is_shown_and_the_table_fits(tmp_path) -> None:
    few = ("--per-class", 3, "--splits", "test", "--num-steps", 30, "--perplexity", 5)
    options = ("--run-dir", tmp_path, "--methods", "tsne", "--seeds", 0, "--no-figures")
    done = run_here("tsne", *few, *options)
    assert "30 images of digits, means over the seeds 0" in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 80
    assert "nan" not in done.stderr
    lines = (tmp_path / "tsne" / "seed0" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 30]
    assert all(json.loads(line)["kl"] > 0 for line in lines)


def test_settings_without_effect_are_refused() -> None:
    said = run_here("tsne", "--validation", 0.2, code=1).stderr
    assert said == "leave out --validation: --splits names the images to embed"
    said = run_here("tsne", "--features", "runs/x", "--dataset", "mnist", code=1).stderr
    assert said == "leave out --dataset: the data are those of runs/x"


@pytest.mark.slow
def test_pixels_and_features_are_embedded(tmp_path) -> None:
    classifier, pixels, features = (
        tmp_path / name for name in ("classifier", "pixels", "features")
    )
    run_here("classify", "--run-dir", classifier, "--num-steps", 100, "--no-figures")
    few = ("--splits", "test", "--num-steps", 300, "--eval-every", 100)
    done = run_here("tsne", "--run-dir", pixels, *few, "--seeds", 0)
    assert "symmetric SNE" in done.stdout
    kept = {}
    for method in ("tsne", "symmetric_sne", "sne"):
        scores = json.loads((pixels / method / "summary.json").read_text())["scores"]
        kept[method] = scores["trustworthiness"]["mean"]
        assert len(scores["kl"]["values"]) == 1
        run = pixels / method / "seed0"
        assert (run / "figures" / "kl.png").exists()
        with Image.open(run / "embedding.gif") as film:
            assert film.n_frames == 3
    assert kept["tsne"] > max(kept["symmetric_sne"], kept["sne"]) > 0.9
    assert (pixels / "figures" / "embeddings.png").exists()
    options = ("--features", classifier, "--methods", "tsne", "--seeds", 0, "--no-figures")
    run_here("tsne", "--run-dir", features, *few, *options)
    scores = json.loads((features / "tsne" / "summary.json").read_text())["scores"]
    assert scores["accuracy"]["mean"] > 0.9
    refused = run_here("tsne", "--run-dir", tmp_path / "none", "--perplexity", 900, *few, code=1)
    assert "perplexity must be more than 1 and less than" in refused.stderr
