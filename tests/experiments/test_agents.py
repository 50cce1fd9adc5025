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

CATCH = ["--environment", "Catch", "--eval-episodes", 100, "--learning-rate"]
DQN = ["dqn", *CATCH, 2e-3, "--double", "--dueling", "--n-step", 3, "--prioritized",
       "--head", "categorical", "--low", -1, "--high", 1, "--learning-starts", 1_000,
       "--no-figures", "--seeds", 3, 4, "--together"]  # fmt: skip
PQN = ["dqn", *CATCH, 2e-3, "--algorithm", "pqn", "--num-envs", 16, "--no-figures"]
REINFORCE = ["reinforce", *CATCH, 2e-3, "--num-envs", 16, "--max-steps", 9]


def last(folder: pathlib.Path) -> dict:
    return train.read_metrics(folder)[-1]


def returns(folder: pathlib.Path) -> list[float]:
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["versions"]["jaxvision"]
    assert summary["hardware"]
    return summary["scores"]["return"]["values"]


@pytest.mark.slow
def test_ppo_two_seeds_and_an_episode(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "ppo"
    options = ["--num-envs", 16, "--num-steps", 16, "--budget", 61_440, "--updates-per-step", 20]
    options += ["--value-clip", "None"]
    done = run_here("ppo", "--run-dir", folder, *CATCH, 5e-4, *options, "--seeds", 0, 1)
    assert all(line.startswith("step ") for line in done.stderr.splitlines())
    assert "mean over 2 seeds" in done.stdout
    summary = json.loads((folder / "summary.json").read_text())["scores"]["return"]
    assert min(summary["values"]) > 0.9
    assert summary["interval"][0] <= summary["mean"] <= summary["interval"][1]
    assert last(folder / "seed0")["return"] == summary["values"][0]
    with Image.open(folder / "learning_curves.png") as image:
        assert image.width > 500
    done = run_here("play", folder / "seed1")
    assert "Catch: return 1 in 9 steps" in done.stdout
    assert {"episode.gif", "episode.png"} <= {path.name for path in (folder / "seed1").iterdir()}
    assert "the runs in it are seed0, seed1" in run_here("play", folder, code=1).stderr
    done = run("play", folder / "seed1", "--max-steps", 3)
    assert "Catch: return 0 in 3 steps, where it was cut by --max-steps" in done.stdout
    wrong = run_here("play", folder / "seed1", "--strip", 0, code=1)
    assert "strip must be positive" in wrong.stderr
    assert "has one seed only" in run_here("play", folder / "seed1", "--seed", 0, code=1).stderr


@pytest.mark.slow
def test_dqn_with_everything_and_seeds_in_one_program(tmp_path: pathlib.Path) -> None:
    done = run_here(*DQN, "--run-dir", tmp_path, "--budget", 2_000, "--updates-per-step", 50)
    assert "seed 4: mean return" in done.stdout
    assert len(returns(tmp_path)) == 2
    folder = tmp_path / "together"
    assert last(folder)["return/seed1"] == returns(tmp_path)[1]
    assert " in 9 steps" in run_here("play", folder, "--seed", 4).stdout
    assert "choose with --seed one of 3, 4" in run_here("play", folder, code=1).stderr
    wrong = run_here("play", folder, "--seed", 5, code=1)
    assert "has no seed 5; it has 3, 4" in wrong.stderr


@pytest.mark.slow
def test_pqn_and_reinforce(tmp_path: pathlib.Path) -> None:
    run_here(*PQN, "--run-dir", tmp_path / "pqn", "--budget", 5_120)
    assert -1 <= last(tmp_path / "pqn" / "seed0")["return"] <= 1
    folder = tmp_path / "rf"
    run_here(*REINFORCE, "--run-dir", folder, "--budget", 500, "--no-figures")
    assert last(folder / "seed0")["env_steps"] == 480 * 9  # 3 steps of 160
    assert not (folder / "learning_curves.png").exists()
    done = run_here(*REINFORCE, "--run-dir", folder, "--budget", 320, "--variance")
    lines = json.loads((folder / "variance.json").read_text())
    assert len(lines) == 2
    assert "reward to go" in done.stdout
    variance = lines[0]["variance"]
    assert variance["return of the episode"] > variance["less a learned value"] > 0
    assert (folder / "variance.png").is_file()


@pytest.mark.release
@pytest.mark.optimized
@pytest.mark.parametrize(
    ("command", "budget"),
    [(DQN, 30_000), (PQN, 60_000), ([*REINFORCE, "--no-figures"], 6_000)],
    ids=["dqn", "pqn", "reinforce"],
)
def test_scripts_learn_to_catch(command: list, budget: int, tmp_path: pathlib.Path) -> None:
    run_here(*command, "--run-dir", tmp_path, "--budget", budget)
    assert min(returns(tmp_path)) > 0.9
    if "--together" in command:
        episode = run_here("play", tmp_path / "together", "--seed", 4)
    else:
        episode = run_here("play", tmp_path / "seed0")
    assert "Catch: return 1 in 9 steps" in episode.stdout


def test_the_budget_names_flags_and_what_is_left_out(tmp_path: pathlib.Path) -> None:
    options = ("--num-steps", 8, "--updates-per-step", 2, "--num-envs", 2, "--hidden-sizes", 4)
    said = run_here("ppo", *options, "--budget", 20, "--no-figures", code=1).stderr
    assert said == (
        "--budget must be at least 32 environment steps, got 20: a program takes 32; "
        "--updates-per-step makes it shorter"
    )
    few = ("--eval-episodes", 2, "--run-dir", tmp_path)
    done = run_here("ppo", *options, *few, "--budget", 40)
    first, *_, figure, last = done.stdout.splitlines()
    assert first.startswith("8 of 40 environment steps are left out: a program takes 32;")
    assert figure == f"  {tmp_path / 'learning_curves.png'}"
    assert last == f"next: python experiments/play.py {tmp_path / 'seed0'}"


def test_values_of_a_grid_world_are_told_from_returns(tmp_path: pathlib.Path) -> None:
    options = ("--budget", 1_000, "--eval-episodes", 2, "--no-figures", "--run-dir", tmp_path)
    said = run_here("qlearning", *options).stdout
    assert "values are discounted, by 0.95 per step; mean returns are not" in said
    assert "mean return -200.00 of 2 episodes, all alike" in said


@pytest.mark.slow
def test_a_grid_world_from_a_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "map.txt").write_text("S.#\n..T\n")
    folder = tmp_path / "run"
    options = ["--map", tmp_path / "map.txt", "--slip", 0.0, "--budget", 20_000]
    done = run_here("qlearning", "--run-dir", folder, *options)
    assert "value of the first cell -2.85, optimal is -2.85" in done.stdout
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert names == {"best.png", "random.png", "learning_curves.png", "seed0/values.png"}
    (tmp_path / "map.txt").write_text("S....T\n")  # the run has a map of its own
    assert "GridWorld: return -3 in 3 steps" in run_here("play", folder / "seed0").stdout
    other = run_here("qlearning", "--run-dir", folder, *options, code=1).stderr
    assert "map: 'S.#\\n..T\\n' in the checkpoint, 'S....T\\n' now" in other


@pytest.mark.slow
def test_killed_and_started_again(tmp_path: pathlib.Path) -> None:
    """Environment, memory and key are in the checkpoint: no number differs."""
    options = ["--budget", 12_000, "--learning-starts", 1_000, "--capacity", 4_000,
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


@pytest.mark.slow
def test_an_episode_of_gymnasium(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("gymnasium")
    run_here("ppo", "--run-dir", tmp_path, "--environment", "gym:CartPole-v1", "--num-envs", 2,
        "--num-steps", 16, "--updates-per-step", 1, "--budget", 64, "--eval-episodes", 2,
        "--no-figures")  # fmt: skip
    other = run_here("ppo", "--run-dir", tmp_path, "--environment", "CartPole-v1", code=1).stderr
    assert "holds a run with other settings" in other
    done = run_here("play", tmp_path / "seed0")
    assert "CartPole-v1: return" in done.stdout
    assert "cannot be drawn" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("ppo", ["--environment", "CartPole-v2"], "did you mean 'CartPole-v1'"),
        ("ppo", ["--environment", "dm:walker"], "unknown kind of environment 'dm'"),
        ("ppo", ["--conv-layers", 8, 3, 1], "conv_layers need images"),
        ("ppo", ["--environment", "gym:Nope-v0"], "Gymnasium cannot make Nope-v0"),
        ("ppo", ["--environment", "ale:pongg"], "did you mean 'pong'"),
        (
            "ppo",
            ["--budget", 5_000],
            "--budget must be at least 5,120 environment steps, got 5,000",
        ),
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
        ("qlearning", ["--map", "none.txt"], "there is no map file none.txt"),
    ],
)
def test_wrong_settings(script, options, message, tmp_path):
    wrong = run_here(script, "--run-dir", tmp_path / "run", *options, code=1)
    assert message in wrong.stderr
    assert not (tmp_path / "run").exists()
