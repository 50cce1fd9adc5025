"""What happens between programs: what fails, stalls or is asked to stop loses nothing."""

import itertools
import os
import pathlib
import signal
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import data, train
from jaxvision.train import _loop as loop


def add(state, batch):
    """Adds up rows."""
    return state + batch["image"].sum(), {"loss": (batch["image"].sum(), 1.0)}


def rows() -> data.Dataset:
    return data.from_arrays({"image": np.ones((16, 2, 2, 1), np.float32)})


def fit(run_dir: pathlib.Path | None, **options) -> train.FitResult:
    given = {"num_steps": 6, "eval_every": 2, "log_every": 2, "fuse_steps": 1, **options}
    batches = given.pop("batches", None)
    batches = rows().batches(8) if batches is None else batches
    return train.fit(add, jnp.zeros(()), batches, run_dir=run_dir, progress=False, **given)


def total(state, batch):
    return {"total": (state, 1.0)}


def without_speed(history: list[dict]) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "steps_per_second"} for line in history]


@pytest.mark.parametrize("checkpoint_every", [None, 5])
def test_an_evaluation_that_fails_costs_no_step(
    tmp_path: pathlib.Path, checkpoint_every: int | None
) -> None:
    """The run goes on where the evaluation failed, and that evaluation is made up for."""
    measured = []

    def batches_of_evaluation(failing: bool = False):
        measured.append(True)
        if failing and len(measured) == 2:  # that of step 4
            raise RuntimeError("the disk is gone")
        return rows().batches(8, epochs=1)

    options = {"evaluate": total, "checkpoint_every": checkpoint_every}
    with pytest.raises(RuntimeError, match="the disk is gone"):
        fit(tmp_path / "run", eval_data=lambda: batches_of_evaluation(failing=True), **options)
    assert train.Checkpointer(tmp_path / "run" / "checkpoints").latest() == 4
    result = fit(tmp_path / "run", eval_data=batches_of_evaluation, **options)
    unbroken = fit(None, eval_data=batches_of_evaluation, **options)
    assert without_speed(result.history) == without_speed(unbroken.history)


def test_a_finished_run_says_so_and_is_compared(tmp_path: pathlib.Path, capsys) -> None:
    first = fit(tmp_path)
    assert capsys.readouterr().err == ""
    again = fit(tmp_path)
    assert f"{tmp_path} is finished at step 6: nothing was trained" in capsys.readouterr().err
    assert float(again.state) == float(first.state)

    def twice(state, batch):
        return add(state, {"image": 2 * batch["image"]})

    with pytest.raises(train.SettingsError, match="a run of another step"):
        train.fit(twice, jnp.zeros(()), rows().batches(8), num_steps=6, run_dir=tmp_path)
    with pytest.raises(ValueError, match="seed was 0, now 1"):
        fit(tmp_path, batches=rows().batches(8, seed=1))


def test_a_step_is_traced_once(tmp_path: pathlib.Path) -> None:
    """Though it is looked at before it runs, for its fingerprint and for fusing."""
    traced = []

    def step(state, batch):
        traced.append(batch["image"].shape)
        return add(state, batch)

    train.fit(step, jnp.zeros(()), rows().batches(8), num_steps=3, run_dir=tmp_path, fuse_steps=1)
    assert traced == [(8, 2, 2, 1)]


def test_no_batches() -> None:
    with pytest.raises(ValueError, match="there is nothing to train on: batches is empty"):
        fit(None, batches=[])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.nan, "8 of the 8 rows that count have numbers in 'image' that are not finite"),
        (1e38, "A lower learning rate, warm-up or clip_norm usually helps"),
    ],
)
def test_the_reason_of_a_loss_that_is_not_finite(image: float, message: str) -> None:
    batches = [{"image": np.full((8, 2, 2, 1), image, np.float32)}] * 3
    with pytest.raises(train.NonFiniteLossError, match=message):
        fit(None, batches=batches)


# Signals


def test_sigterm_while_the_data_stall(tmp_path: pathlib.Path, monkeypatch, capsys) -> None:
    """It saves what is trained, and does not wait for the data."""
    monkeypatch.setattr(data.prefetch, "PATIENCE", 0.1)
    over = threading.Event()
    while_waiting = loop.Loop.while_waiting

    def asked_to_stop(self):
        if self.step == 3:  # all that there is has been trained on
            os.kill(os.getpid(), signal.SIGTERM)
        while_waiting(self)

    monkeypatch.setattr(loop.Loop, "while_waiting", asked_to_stop)

    def stalling():
        yield from itertools.islice(rows().batches(8), 3)
        over.wait(60)

    with (
        pytest.warns(UserWarning, match="this run cannot be continued"),
        pytest.raises(SystemExit) as end,
    ):
        fit(tmp_path, batches=stalling())
    over.set()
    assert end.value.code == 0
    assert f"saved step 3 to {tmp_path}" in capsys.readouterr().err


def test_sigterm_before_the_first_program(tmp_path: pathlib.Path, monkeypatch) -> None:
    """The run, which has not moved, is saved as any other and goes on from its beginning."""
    next_batch, while_waiting = data.Batches.__next__, loop.Loop.while_waiting

    def slow(self):
        time.sleep(0.5)
        return next_batch(self)

    def asked_to_stop(self):
        os.kill(os.getpid(), signal.SIGTERM)
        while_waiting(self)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Loop, "while_waiting", asked_to_stop)
        patched.setattr(data.Batches, "__next__", slow)
        with pytest.raises(SystemExit):
            fit(tmp_path, fuse_steps=2)
    assert train.Checkpointer(tmp_path / "checkpoints").latest() == 0
    assert float(fit(tmp_path).state) == float(fit(None).state) > 0


def test_sigterm_between_the_batches_of_an_evaluation(tmp_path: pathlib.Path, capsys) -> None:
    measured = []

    def slow():
        for _ in range(1000):
            measured.append(True)
            if len(measured) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            yield {"image": np.ones((8, 2, 2, 1), np.float32)}

    with pytest.raises(SystemExit):
        fit(tmp_path, evaluate=total, eval_data=slow)
    assert len(measured) < 100
    assert f"saved step 2 to {tmp_path}" in capsys.readouterr().err
    result = fit(tmp_path, evaluate=total, eval_data=rows())
    assert [line["step"] for line in result.history if line["split"] != "train"] == [2, 4, 6]


def test_two_runs_in_two_threads(tmp_path: pathlib.Path) -> None:
    """Orbax keeps state that threads share: the second is refused, and the first is untouched."""
    begun, over = threading.Event(), threading.Event()
    results = []

    def waiting():
        for batch in itertools.islice(rows().batches(8), 6):
            begun.set()
            over.wait(60)
            yield batch

    def first():
        with pytest.warns(UserWarning, match="cannot be continued"):
            results.append(fit(tmp_path / "first", batches=waiting()))

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(60)
    try:
        with pytest.raises(train.RunFolderError, match="another thread of this process is writing"):
            fit(tmp_path / "second")
        assert fit(None).step == 6  # without a folder there is nothing to disturb
    finally:
        over.set()
        thread.join()
    assert results[0].step == 6
    assert fit(tmp_path / "second").step == 6
