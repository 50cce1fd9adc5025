"""Runs that are killed go on as if nothing had happened."""

import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxvision import train

pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).with_name("small_run.py")
NUM_STEPS = 60


def start(run_dir: pathlib.Path, seconds: float = 0.0) -> subprocess.Popen:
    # A kill may come between the last file of a checkpoint and its seal: a warning says so.
    warnings = ["-W", "error", "-W", "default:checkpoint", "-W", f"default:{run_dir}"]
    command = [sys.executable, *warnings, str(SCRIPT), str(run_dir), str(NUM_STEPS)]
    return subprocess.Popen(
        [*command, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def last_step(run_dir: pathlib.Path) -> int:
    path = run_dir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def wait_for_step(process: subprocess.Popen, run_dir: pathlib.Path, step: int) -> None:
    deadline = time.monotonic() + 300
    while last_step(run_dir) < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def measured(run_dir: pathlib.Path) -> list[dict]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "steps_per_second"} for line in lines]


def assert_equal_runs(one: pathlib.Path, other: pathlib.Path) -> None:
    assert measured(one) == measured(other)
    first, second = np.load(one / "final.npz"), np.load(other / "final.npz")
    assert first.files == second.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    run_dir = tmp_path_factory.mktemp("runs") / "unbroken"
    finish(start(run_dir))
    return run_dir


def test_unbroken_run_learns(unbroken: pathlib.Path) -> None:
    losses = [line["loss"] for line in measured(unbroken) if line["split"] == "train"]
    assert len(losses) == NUM_STEPS // 2
    assert losses[-1] < losses[0] - 0.5


def test_killed_several_times(unbroken: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run_dir = tmp_path / "killed"
    generator = random.Random(time.time_ns())
    for kill in range(2):
        process = start(run_dir, seconds=0.03)
        wait_for_step(process, run_dir, 6 + 14 * kill + generator.randrange(8))
        time.sleep(generator.random() * 0.1)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finish(start(run_dir))
    assert_equal_runs(unbroken, run_dir)


def test_sigterm_saves_and_exits_0(unbroken: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run_dir = tmp_path / "terminated"
    process = start(run_dir, seconds=0.03)
    wait_for_step(process, run_dir, 22)
    process.send_signal(signal.SIGTERM)
    output = finish(process)
    assert f"to {run_dir}" in output
    saved = sorted(int(path.name) for path in (run_dir / "checkpoints").iterdir())
    assert saved[-1] >= 22
    assert f"saved step {saved[-1]}" in output
    assert not (run_dir / "final.npz").exists()
    finish(start(run_dir))
    assert_equal_runs(unbroken, run_dir)


def test_interrupt_saves_and_raises(unbroken: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run_dir = tmp_path / "interrupted"
    process = start(run_dir, seconds=0.03)
    wait_for_step(process, run_dir, 10)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in output
    assert "saved step" in output
    finish(start(run_dir))
    assert_equal_runs(unbroken, run_dir)


SLOW_EVALUATION = """
import sys, time
import jax.numpy as jnp, numpy as np
from jaxvision import train

def evaluate(state, batch):
    print("evaluating", flush=True)
    time.sleep(float(sys.argv[2]))
    return {"state": (state, jnp.ones(()))}

train.fit(
    lambda state, batch: (state + 1, {}), jnp.zeros(()), [np.ones(8)] * 10, num_steps=10,
    evaluate=evaluate, eval_every=100, checkpoint_every=4, run_dir=sys.argv[1],
)
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 0), (signal.SIGKILL, -9)],
)
def test_cut_off_in_the_last_evaluation(number: signal.Signals, code: int, tmp_path) -> None:
    """The last step is saved before it is evaluated; what is missing is made up for later."""

    def start(seconds: float) -> subprocess.Popen:
        command = [sys.executable, "-c", SLOW_EVALUATION, str(tmp_path), str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    process = start(2.0)
    assert process.stdout is not None
    assert process.stdout.readline() == "evaluating\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert train.Checkpointer(tmp_path / "checkpoints").latest() == 10
    finish(start(0.0))
    evaluations = [line for line in measured(tmp_path) if line["split"] == "evaluation"]
    assert evaluations == [{"step": 10, "split": "evaluation", "state": 10.0}]
