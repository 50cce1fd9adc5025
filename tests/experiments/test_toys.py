"""What a linear classifier cannot learn: the points themselves, and the script."""

import importlib
import json

import jax
import numpy as np
import pytest
import quick
from scripts import EXPERIMENTS, modules_of_scripts, run_here


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    with modules_of_scripts():
        yield importlib.import_module("common.toys")


@pytest.mark.parametrize("toy", ["xor", "annulus", "three_modes"])
def test_classes_are_balanced_and_have_the_same_mean(toys, toy) -> None:
    draw = quick.jit(lambda key: toys.draw(toy, key, 20_001))
    points, labels = map(np.asarray, draw(jax.random.key(0)))
    assert labels.tolist() == [0, 1] * 10_000 + [0]
    assert np.abs(points).max() <= 1
    for number in (0, 1):
        # The mean of 10,000 coordinates of at most 1 has a standard deviation below 0.01.
        np.testing.assert_allclose(points[labels == number].mean(axis=0), 0, atol=0.03)
    again, _ = draw(jax.random.key(0))
    np.testing.assert_array_equal(again, points)
    other, _ = draw(jax.random.key(1))
    assert not np.array_equal(other, points)


def test_where_class_1_lies(toys) -> None:
    points = np.array([[0.5, 0.5], [-0.2, -0.3], [0.5, -0.5], [0.0, 0.6], [0.0, 0.99]], np.float32)
    inside = quick.jit(lambda: {name: of(points) for name, of in toys.IN_CLASS_1.items()})()
    assert {name: found.tolist() for name, found in inside.items()} == {
        "xor": [True, True, False, False, False],
        "annulus": [True, False, True, True, False],
        "three_modes": [False, True, True, True, False],
    }


@pytest.mark.slow
def test_an_mlp_solves_what_logistic_regression_cannot(tmp_path) -> None:
    done = run_here(
        "toys",
        *("--run-dir", tmp_path, "--num-points", 1000, "--num-test-points", 4000),
        *("--num-steps", 400, "--widths", 16, 1, "--num-width-steps", 1500),
    )
    for toy, name in (
        ("xor", "XOR quadrants"),
        ("annulus", "annulus"),
        ("three_modes", "three modes"),
    ):
        scores = json.loads((tmp_path / toy / "summary.json").read_text())["scores"]
        # A line may be right for two thirds of XOR quadrants, if the noise turns it that way.
        assert max(scores["linear"]["values"]) < 0.7
        assert scores["mlp"]["mean"] > 0.97
        assert f"{name:14}  logistic regression" in done.stdout
    scores = json.loads((tmp_path / "widths" / "summary.json").read_text())["scores"]
    assert list(scores) == ["width 1", "width 16"]
    assert scores["width 16"]["mean"] < scores["width 1"]["mean"] / 2
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {"boundaries.png", "widths.png", "fits.png"}
    options = ("--run-dir", tmp_path / "other", "--toys", "--widths", 0, "--no-figures")
    assert "hidden_sizes must be 1 or more each" in run_here("toys", *options, code=1).stderr
