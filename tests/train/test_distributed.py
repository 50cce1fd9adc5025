"""Two processes on the loopback interface train one run."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxvision import data

SCRIPT = pathlib.Path(__file__).with_name("distributed_run.py")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_one(
    run_dir: pathlib.Path,
    num_steps: int,
    seconds: float,
    address: str,
    *,
    processes: int,
    index: int,
    devices: int,
) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(run_dir), str(num_steps), str(seconds)],
        env=os.environ
        | {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(processes),
            "JAX_PROCESS_ID": str(index),
            "JAX_NUM_CPU_DEVICES": str(devices),
            "JAX_PLATFORMS": "cpu",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start(
    run_dir: pathlib.Path, num_steps: int, *, processes: int, devices: int, seconds: float = 0.0
) -> list[subprocess.Popen]:
    address = f"127.0.0.1:{free_port()}"
    return [
        start_one(
            run_dir, num_steps, seconds, address, processes=processes, index=index, devices=devices
        )
        for index in range(processes)
    ]


def finish(started: list[subprocess.Popen]) -> list[str]:
    outputs = [process.communicate(timeout=300)[0] for process in started]
    for process, output in zip(started, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def losses(run_dir: pathlib.Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["split"] == "train"}


def wait_for_step(run_dir: pathlib.Path, step: int, started: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + 200
    path = run_dir / "metrics.jsonl"
    while not path.exists() or f'"step": {step},' not in path.read_text():
        assert time.monotonic() < deadline
        for process in started:
            assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    run_dir = tmp_path_factory.mktemp("runs") / "alone"
    finish(start(run_dir, 20, processes=1, devices=1))
    return run_dir


def assert_close(one: pathlib.Path, other: pathlib.Path, process: int = 0) -> None:
    first, second = losses(one), losses(other)
    assert first.keys() == second.keys()
    for step, loss in first.items():
        np.testing.assert_allclose(loss, second[step], atol=1e-4, err_msg=f"step {step}")
    final = [
        json.loads((run_dir / f"process{index}.json").read_text())["final"]
        for run_dir, index in ((one, 0), (other, process))
    ]
    for a, b in zip(*final, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-4)


@pytest.mark.slow
def test_two_processes_train_the_same_run(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run_dir = tmp_path / "two"
    finish(start(run_dir, 20, processes=2, devices=2))
    for process in range(2):
        assert_close(alone, run_dir, process)
    # Each read its own half of every batch: together they are what one process reads.
    whole = json.loads((alone / "process0.json").read_text())["rows"]
    halves = [json.loads((run_dir / f"process{i}.json").read_text())["rows"] for i in range(2)]
    assert all(len(part) == 24 for half in halves for part in half)
    assert [a + b for a, b in zip(*halves, strict=True)] == whole
    # Every process has all rows of an evaluation, in their order and without the padding.
    digits = data.load("digits", "validation")
    labels = [int(digits[i]["label"]) for i in range(len(digits))]
    for process in range(2):
        evaluated = json.loads((run_dir / f"process{process}.json").read_text())["evaluated"]
        assert evaluated == labels
    # The same command again finds nothing left to do, in both.
    finish(start(run_dir, 20, processes=2, devices=2))
    # One checkpoint, written by both.
    newest = run_dir / "checkpoints" / "000000020" / "state"
    assert {path.name for path in newest.glob("ocdbt.process_*")} == {
        "ocdbt.process_0",
        "ocdbt.process_1",
    }


@pytest.mark.parametrize(
    ("processes", "devices"),
    [
        pytest.param(1, 8, marks=pytest.mark.slow),
        pytest.param(1, 1, marks=pytest.mark.release),
        pytest.param(2, 1, marks=pytest.mark.release),
    ],
)
def test_resumes_on_other_devices(
    processes: int, devices: int, alone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Cut off by SIGTERM on two processes with two devices each, it goes on elsewhere."""
    run_dir = tmp_path / "moved"
    started = start(run_dir, 20, processes=2, devices=2, seconds=0.1)
    wait_for_step(run_dir, 7, started)
    for process in started:
        process.send_signal(signal.SIGTERM)
    assert any("saved step" in output for output in finish(started))
    saved = sorted(int(path.name) for path in (run_dir / "checkpoints").iterdir())[-1]
    assert 7 <= saved < 20
    finish(start(run_dir, 20, processes=processes, devices=devices))
    assert_close(alone, run_dir)


@pytest.mark.slow
def test_processes_that_cannot_be_found() -> None:
    code = "from jaxvision import train; train.start(distributed=True)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert done.returncode != 0
    assert "set JAX_COORDINATOR_ADDRESS" in done.stderr
    assert jax.process_count() == 1


@pytest.mark.release
def test_processes_that_see_different_disks(tmp_path: pathlib.Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    started = [
        start_one(tmp_path / f"disk{index}", 4, 0.0, address, processes=2, index=index, devices=1)
        for index in range(2)
    ]
    for process in started:
        output = process.communicate(timeout=300)[0]
        assert process.returncode == 1
        assert "process 1 does not see what process 0 writes to" in output
