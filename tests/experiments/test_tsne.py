"""The script of embeddings, as a user starts it."""

import json

import pytest
from PIL import Image
from scripts import run_here

pytestmark = pytest.mark.slow


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
