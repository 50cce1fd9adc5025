"""Tasks by name."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import train


class TrainedCounter(train.Trained):
    """What a run of counting trained."""

    def predict(self, data=None, *, batch_size=128):
        return float(self.run.state)


class Count:
    """A step that names its task."""

    def __init__(self, task: str | None = "counting") -> None:
        self.task = task

    def __call__(self, state, batch):
        return state + 1, {}

    def describe(self):
        return {"task": self.task, "by": 1}


def fit(run_dir: pathlib.Path, task: str | None = "counting") -> None:
    train.fit(Count(task), jnp.zeros(()), [np.ones(8)] * 3, run_dir=run_dir)


@pytest.mark.parametrize("place", [TrainedCounter, f"{__name__}:TrainedCounter"])
def test_a_run_comes_back_by_its_task(place, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("jaxvision.train.tasks._TASKS", {})
    train.register_task("counting", place)
    train.register_task("counting", place)  # as a notebook does that is run again
    fit(tmp_path)
    trained = train.restore(tmp_path)
    assert trained.predict() == 3
    assert trained.record.step == {"by": 1}
    assert trained.preprocessing is None
    assert repr(trained) == f"TrainedCounter({tmp_path}, step 3)"
    for call, what in (
        (lambda: trained.evaluate(None), "evaluate"),
        (lambda: trained.draw(None), "draw"),
        (lambda: trained.compare(None, None), "compare"),
        (lambda: trained.in_words(None), "describe predictions"),
        (lambda: next(trained.answers([])), "look at images"),
        (trained.backbone, "be fine-tuned"),
    ):
        with pytest.raises(NotImplementedError, match=f"runs of the task 'counting' cannot {what}"):
            call()


def test_tasks_that_cannot_be_found(tmp_path) -> None:
    fit(tmp_path / "none", task=None)
    with pytest.raises(train.CheckpointError, match="names no task: give the step or its loss a m"):
        train.restore(tmp_path / "none")
    fit(tmp_path / "other", task="clasification")
    message = "of an unknown task 'clasification'; did you mean 'classification'.*import that first"
    with pytest.raises(train.CheckpointError, match=message):
        train.restore(tmp_path / "other")
    fit(tmp_path / "wrong", task="classification")
    with pytest.raises(train.CheckpointError, match="is not the run of a classifier on images"):
        train.restore(tmp_path / "wrong")


def test_names_that_are_taken() -> None:
    with pytest.raises(ValueError, match=r"another task is called 'classification': jaxvision.tr"):
        train.register_task("classification", TrainedCounter)
    with pytest.raises(
        ValueError, match=r"a place to import from is 'package.module:name', not 'x"
    ):
        train.register_task("x", "x.y")
    assert {"agent", "classification", "multitask", "segmentation"} <= {*train.list_tasks()}
