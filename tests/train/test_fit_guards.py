"""What the loop refuses or takes in its stride: names, shapes, other programs, other runs."""

import itertools
import json
import os
import pathlib
import re
import types
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_net import digits

from jaxvision import data, models, train
from jaxvision.train.run._claim import Claim


def count(state, batch):
    """Counts rows."""
    return state + len(batch["image"]), {"rows": (1.0 * len(batch["image"]), 1.0)}


def fit(run_dir: pathlib.Path | None = None, *, step=count, state=None, **options):
    return train.fit(
        step,
        jnp.zeros(()) if state is None else state,
        options.pop("batches", None) or digits().batches(64),
        **{"num_steps": 2, "run_dir": run_dir, **options},
    )


def evaluate(state, batch):
    return {"rows": (batch["weight"].sum(), 1.0)}


def classifier(optimizer, **options):
    model = models.create_model("linear_classifier", num_classes=10)
    state = train.init_state(jax.random.key(0), model, optimizer, digits().sample_batch())
    loss_fn = train.classification.make_loss_fn(model, **options)
    return {"step": train.make_train_step(loss_fn, optimizer), "state": state}


# Evaluation


def test_evaluating_on_the_training_split_is_told_from_training() -> None:
    result = fit(evaluate=evaluate, eval_data=digits())
    assert result.metrics == {"rows": pytest.approx(1258 / 20)}
    assert [line["split"] for line in result.history][-2:] == ["train", "train_evaluation"]


def test_eval_data_may_be_a_list_of_batches() -> None:
    batches = list(itertools.islice(digits().batches(8), 3))
    assert fit(evaluate=evaluate, eval_data=batches, eval_every=1).metrics == {"rows": 8.0}


@pytest.mark.parametrize("make", [iter, lambda _: digits().batches(8, epochs=1)])
def test_eval_data_that_would_be_used_up(make) -> None:
    with pytest.raises(ValueError, match="data of an evaluation must last for every evaluation"):
        fit(evaluate=evaluate, eval_data=make([]))


def test_eval_batches_divide_over_the_devices() -> None:
    six = train.parallelize(count, train.data_mesh(jax.devices()[:6]))
    batches = [{"image": np.zeros((60, 2, 2, 1))}] * 2
    result = fit(step=six, batches=batches, evaluate=evaluate, eval_data=digits())
    assert result.metrics == {"rows": pytest.approx(1258 / 10)}  # of 132


# Steps and metrics


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda state, batch: state, r"a step must return a pair \(state, metrics\)"),
        (lambda state, batch: (state, jnp.ones(())), "metrics must be a dict of pairs"),
        (lambda state, batch: (state, {"loss": jnp.ones(())}), "'loss' must be a pair of sums"),
    ],
)
def test_steps_that_return_something_else(step, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        fit(step=step)


def test_evaluations_that_return_something_else() -> None:
    with pytest.raises(TypeError, match="'rows' must be a pair of sums"):
        fit(evaluate=lambda state, batch: {"rows": jnp.ones(())}, eval_data=digits())


@pytest.mark.parametrize("name", ["step", "split", "steps_per_second"])
def test_metrics_that_would_hide_what_a_log_needs(name: str) -> None:
    with pytest.raises(ValueError, match=f"must not be called '{name}'"):
        fit(step=lambda state, batch: (state, {name: (1.0, 1.0)}))


def test_what_is_infinite_from_the_start_may_stay_so(tmp_path: pathlib.Path) -> None:
    """The best score so far, for example; what was finite has to stay finite."""
    state = {"best": jnp.float32(-jnp.inf), "w": jnp.ones(())}
    result = fit(tmp_path, step=lambda state, batch: (state, {}), state=state)
    assert result.state["best"] == -jnp.inf
    with pytest.raises(train.NonFiniteLossError, match="w is not finite after step 1"):
        fit(
            tmp_path / "lost",
            step=lambda state, batch: ({**state, "w": state["w"] / 0}, {}),
            state={"best": jnp.float32(-jnp.inf), "w": jnp.ones(())},
            checkpoint_every=1,
        )


# Runs that go on


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": optax.sgd(1.0)},
        {"inputs": train.Inputs(augment=data.augment.random_flip())},
    ],
    ids=["optimizer", "augment"],
)
def test_another_step_is_refused(tmp_path: pathlib.Path, change: dict) -> None:
    """What no setting says is seen in what the step computes."""
    fit(tmp_path, **classifier(optax.sgd(0.1)))
    changed = {"optimizer": optax.sgd(0.1), **change}
    with pytest.raises(train.SettingsError, match="a run of another step"):
        fit(tmp_path, **classifier(**changed), num_steps=4)
    meant = fit(tmp_path, **classifier(**changed), num_steps=4, settings_may_differ=["program"])
    assert meant.step == 4


def test_settings_json_keeps_the_program_of_a_finished_run(tmp_path: pathlib.Path) -> None:
    fit(tmp_path, **classifier(optax.sgd(0.1)))
    before = json.loads((tmp_path / "settings.json").read_text())["program"]
    fit(tmp_path, **classifier(optax.sgd(0.1)))
    assert json.loads((tmp_path / "settings.json").read_text())["program"] == before
    assert before["platform"] == "cpu"


def test_data_are_described(tmp_path: pathlib.Path) -> None:
    fit(tmp_path)
    described = json.loads((tmp_path / "settings.json").read_text())["data"]
    assert described == digits().describe()
    assert described["image_shape"] == [8, 8, 1]


def test_settings_of_many_kinds(tmp_path: pathlib.Path) -> None:
    """An argparse namespace, a path, an array; NaN equals itself."""
    settings = types.SimpleNamespace(
        rate=float("nan"), path=tmp_path, sizes=np.arange(3), scale=np.float32(0.5)
    )
    fit(tmp_path / "run", settings=settings)
    fit(tmp_path / "run", settings=settings, num_steps=3)
    with pytest.raises(TypeError, match="must be a dataclass or a mapping, got 'fast'"):
        fit(tmp_path / "other", settings="fast")


def test_a_position_that_is_no_json(tmp_path: pathlib.Path) -> None:
    class Batches(Iterator):
        def __next__(self):
            return {"image": np.zeros((8, 2, 2, 1))}

        def get_state(self):
            return {"n": b"\0"}

        def set_state(self, state):
            pass

    with pytest.raises(TypeError, match=r"cannot keep 'data' in a checkpoint.*bytes"):
        fit(tmp_path, batches=Batches())


def test_a_damaged_later_checkpoint_costs_no_good_one(tmp_path: pathlib.Path) -> None:
    fit(tmp_path, num_steps=20, keep_checkpoints=1)
    newest = tmp_path / "checkpoints" / "000000020"
    largest = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(b"damaged")
    with (
        pytest.warns(UserWarning, match="000000020 is damaged"),
        pytest.warns(UserWarning, match="no whole checkpoint of it: the run begins at step 0"),
    ):
        fit(tmp_path, num_steps=7, keep_checkpoints=1)
    with pytest.warns(UserWarning, match="000000020 is damaged"):
        assert train.Checkpointer(tmp_path / "checkpoints").latest() == 7

    def lost(state, batch):
        return count(state, batch)[0], {"loss": (jnp.where(state > 500, jnp.nan, 0.0), 1.0)}

    with (
        pytest.warns(UserWarning, match="000000020 is damaged"),
        pytest.raises(train.NonFiniteLossError, match=r"last good checkpoint .* of step 7\."),
    ):
        fit(
            tmp_path,
            step=lost,
            num_steps=15,
            checkpoint_every=15,
            settings_may_differ=["program"],
        )


# One folder, one run


def test_another_run_in_the_folder(tmp_path: pathlib.Path) -> None:
    """A file is locked; that of another process would be in the same way."""
    claim = Claim(tmp_path)
    try:
        folder = re.escape(str(tmp_path))
        message = rf"process {os.getpid()} on .* is writing to the run folder {folder}"
        with pytest.raises(train.RunFolderError, match=message):
            fit(tmp_path)
    finally:
        claim.release()
    assert fit(tmp_path).step == 2


def test_a_file_or_a_bucket_is_no_folder() -> None:
    with pytest.raises(train.RunFolderError, match=r"test_fit_guards.py is a file"):
        fit(pathlib.Path(__file__))
    with pytest.raises(train.RunFolderError, match="gs://bucket/run must lie in a file system"):
        fit("gs://bucket/run")


def test_a_used_up_state_is_restored_from_the_folder(tmp_path: pathlib.Path) -> None:
    """As where a cell of a notebook runs again; a key is in the state."""
    run = classifier(optax.sgd(0.1))
    first = fit(tmp_path, **run)
    again = fit(tmp_path, **run, num_steps=3)
    assert (first.step, again.step) == (2, 3)
    fresh = fit(**classifier(optax.sgd(0.1)), num_steps=3)
    for one, other in zip(jax.tree.leaves(again.state), jax.tree.leaves(fresh.state), strict=True):
        assert (one == other).all()
    with pytest.raises(ValueError, match="the state was used up"):
        fit(tmp_path / "new", **run)
    assert not (tmp_path / "new").exists()
