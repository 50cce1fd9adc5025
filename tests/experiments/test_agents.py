"""Agents as a user starts them."""

import json
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image
from scripts import command, run, run_here

from jaxvision import train

pytestmark = pytest.mark.slow

CATCH = ["--environment", "Catch", "--eval-episodes", 100, "--learning-rate"]


def last(folder: pathlib.Path) -> dict:
    return train.read_metrics(folder)[-1]


def test_ppo_two_seeds_and_an_episode(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "ppo"
    options = ["--num-envs", 16, "--num-steps", 16, "--budget", 120_000, "--updates-per-step", 20]
    options += ["--value-clip", "None"]
    done = run_here("ppo", "--run-dir", folder, *CATCH, 5e-4, *options, "--seeds", 0, 1)
    assert done.stderr == ""
    assert "mean over 2 seeds" in done.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert min(summary["returns"]) > 0.9
    assert summary["interval"][0] <= summary["mean"] <= summary["interval"][1]
    assert last(folder / "seed0")["return"] == summary["returns"][0]
    with Image.open(folder / "learning_curves.png") as image:
        assert image.width > 500
    done = run_here("play", folder / "seed1")
    assert "Catch: return 1 in 9 steps" in done.stdout
    assert {"episode.gif", "episode.png"} <= {path.name for path in (folder / "seed1").iterdir()}
    assert "it holds seed0, seed1: name one of these" in run_here("play", folder, code=1).stderr
    done = run_here("play", folder / "seed1", "--max-steps", 3)
    assert "Catch: return 0 in 3 steps, where it was cut by --max-steps" in done.stdout
    wrong = run_here("play", folder / "seed1", "--strip", 0, code=1)
    assert "strip must be positive" in wrong.stderr
    assert "holds one seed" in run_here("play", folder / "seed1", "--seed", 0, code=1).stderr


def test_dqn_with_everything_and_seeds_in_one_program(tmp_path: pathlib.Path) -> None:
    options = ["--double", "--dueling", "--n-step", 3, "--prioritized", "--head", "categorical"]
    more = [
        "--low",
        -1,
        "--high",
        1,
        "--budget",
        30_000,
        "--learning-starts",
        1_000,
        "--no-figures",
    ]
    done = run_here(
        "dqn", "--run-dir", tmp_path, *CATCH, 2e-3, *options, *more, "--seeds", 3, 4, "--together"
    )
    assert "seed 4: mean return" in done.stdout
    assert min(json.loads((tmp_path / "summary.json").read_text())["returns"]) > 0.9
    folder = tmp_path / "together"
    assert "Catch: return 1 in 9 steps" in run_here("play", folder, "--seed", 4).stdout
    assert "choose with --seed one of 3, 4" in run_here("play", folder, code=1).stderr
    wrong = run_here("play", folder, "--seed", 5, code=1)
    assert "has no seed 5; it has 3, 4" in wrong.stderr


def test_pqn_and_reinforce(tmp_path: pathlib.Path) -> None:
    options = [*CATCH, 2e-3, "--num-envs", 16]
    pqn = ["--algorithm", "pqn", "--budget", 60_000, "--no-figures"]
    run_here("dqn", "--run-dir", tmp_path / "pqn", *options, *pqn)
    assert last(tmp_path / "pqn" / "seed0")["return"] > 0.9
    folder = tmp_path / "rf"
    options = ["--run-dir", folder, *options, "--max-steps", 9]
    run_here("reinforce", *options, "--budget", 6_000, "--no-figures")
    assert last(folder / "seed0")["env_steps"] == 5_920 * 9  # 37 steps of 160
    assert not (folder / "learning_curves.png").exists()
    assert last(folder / "seed0")["return"] > 0.9
    done = run_here("reinforce", *options, "--budget", 320, "--variance")
    lines = json.loads((folder / "variance.json").read_text())
    assert len(lines) == 2
    assert "reward to go" in done.stdout
    variance = lines[0]["variance"]
    assert variance["return of the episode"] > variance["less a learned value"] > 0
    assert (folder / "variance.png").is_file()


def test_a_grid_world_from_a_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "map.txt").write_text("S.#\n..T\n")
    folder = tmp_path / "run"
    options = ["--map", tmp_path / "map.txt", "--slip", 0.0, "--budget", 20_000]
    done = run_here("qlearning", "--run-dir", folder, *options)
    assert "value of the first cell -2.85, the best is -2.85" in done.stdout
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert names == {"best.png", "random.png", "learning_curves.png", "seed0/values.png"}
    (tmp_path / "map.txt").write_text("S....T\n")  # the run has a map of its own
    assert "GridWorld: return -3 in 3 steps" in run_here("play", folder / "seed0").stdout
    other = run_here("qlearning", "--run-dir", folder, *options, code=1).stderr
    assert "map: 'S.#\\n..T\\n' in the checkpoint, 'S....T\\n' now" in other


def test_killed_and_started_again(tmp_path: pathlib.Path) -> None:
    """Environment, memory and key are in the checkpoint: no number differs."""
    options = ["--budget", 24_000, "--learning-starts", 1_000, "--capacity", 4_000,
               "--updates-per-step", 50, "--checkpoint-every", 2_000, "--prioritized",
               "--no-figures", "--eval-episodes", 10]  # fmt: skip
    run("dqn", "--run-dir", tmp_path / "whole", *options)
    arguments = command("dqn", "--run-dir", tmp_path / "cut", *options)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    checkpoints = tmp_path / "cut" / "seed0" / "checkpoints"
    deadline = time.monotonic() + 300
    while len(list(checkpoints.glob("*"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run("dqn", "--run-dir", tmp_path / "cut", *options)
    one, other = (
        [
            {name: value for name, value in line.items() if name != "steps_per_second"}
            for line in train.read_metrics(tmp_path / name / "seed0")
        ]
        for name in ("whole", "cut")
    )
    np.testing.assert_equal(one, other)


def test_an_episode_of_gymnasium(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("gymnasium")
    run_here("ppo", "--run-dir", tmp_path, "--environment", "gym:CartPole-v1", "--num-envs", 2,
        "--num-steps", 16, "--updates-per-step", 1, "--budget", 64, "--eval-episodes", 2,
        "--no-figures")  # fmt: skip
    other = run_here("ppo", "--run-dir", tmp_path, "--environment", "CartPole-v1", code=1).stderr
    assert "holds a run with other settings" in other
    done = run_here("play", tmp_path / "seed0")
    assert "gym:CartPole-v1: return" in done.stdout
    assert "no pictures" in done.stdout


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("ppo", ["--environment", "CartPole-v2"], "did you mean 'CartPole-v1'"),
        ("ppo", ["--environment", "dm:walker"], "unknown kind of environment 'dm'"),
        ("ppo", ["--conv-layers", 8, 3, 1], "conv_layers need images"),
        ("ppo", ["--environment", "gym:Nope-v0"], "Gymnasium cannot make Nope-v0"),
        ("ppo", ["--environment", "ale:pongg"], "did you mean 'pong'"),
        ("ppo", ["--budget", 5_000], "a budget of 5000 environment steps is too small"),
        ("ppo", ["--minibatches", 3], "does not divide into 3 equal minibatches"),
        ("ppo", ["--num-steps", 0], "num_steps must be a whole number, at least 1, got 0"),
        ("ppo", ["--hidden-sizes", 0], "size of a layer must be a whole number of units"),
        ("dqn", ["--epsilon", "nan"], "epsilon must be in [0, 1], got nan"),
        (
            "dqn",
            ["--updates-per-step", 0],
            "updates_per_step must be a whole number, at least 1, got 0",
        ),
        ("reinforce", ["--variance", "--environment", "Pongg"], "did you mean 'Pong'"),
        ("qlearning", ["--frame-stack", 2], "leave frame_stack alone"),
        ("qlearning", ["--map", "none.txt"], "there is no map none.txt"),
    ],
)
def test_wrong_settings(script, options, message, tmp_path):
    wrong = run_here(script, "--run-dir", tmp_path / "run", *options, code=1)
    assert message in wrong.stderr
    assert not (tmp_path / "run").exists()
