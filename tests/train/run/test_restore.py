"""A run from its folder, with nothing else."""

import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_net

from jaxvision import models, train
from jaxvision.train.run.record import RunRecord

IMAGES = small_net.batches(1, size=16)[0]["image"]


def fit(run_dir: pathlib.Path, model, *, ema_decay: float | None = 0.9) -> train.TrainState:
    """Three steps, each with a checkpoint."""
    optimizer = train.create_optimizer("momentum", 0.1)
    state = train.init_state(jax.random.key(0), model, optimizer, IMAGES)
    loss_fn = train.classification.make_loss_fn(model)
    step = train.make_train_step(loss_fn, optimizer, ema_decay=ema_decay)
    parallel = train.parallelize(step, train.data_mesh(jax.devices()[:1]))
    result = train.fit(
        parallel,
        state,
        small_net.batches(3, size=16),
        num_steps=3,
        checkpoint_every=1,
        run_dir=run_dir,
        settings={"learning_rate": 0.1},
    )
    return result.state


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, train.TrainState]:
    """The folder and the last state of a run with BatchNorm and an average."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    model = models.create_model("cifar_resnet20", num_classes=10, in_channels=1)
    return folder, fit(folder, model)


def damage(folder: pathlib.Path, step: int) -> None:
    """Changes one byte of the largest file of a checkpoint."""
    files = [p for p in (folder / "checkpoints" / f"{step:09d}").rglob("*") if p.is_file()]
    path = max(files, key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_logits_are_those_of_the_trained_state(trained) -> None:
    """Bit for bit: the averaged parameters, the running statistics, and a model that is equal."""
    folder, state = trained
    run = train.open_run(folder)
    model, variables = run.model(), run.variables()
    assert model == models.create_model("cifar_resnet20", num_classes=10, in_channels=1)
    assert run.record.settings == {"learning_rate": 0.1}
    assert run.record.step["ema_decay"] == 0.9
    assert run.state["opt_state"] is None
    expected = train.evaluation_variables(state)
    assert jax.tree.structure(variables) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    assert any(
        not np.array_equal(one, other)
        for one, other in zip(
            jax.tree.leaves(variables["params"]), jax.tree.leaves(state.params), strict=True
        )
    )
    apply = jax.jit(model.apply)
    np.testing.assert_array_equal(apply(variables, IMAGES), apply(expected, IMAGES))


def test_without_an_average_the_parameters_are_restored(tmp_path: pathlib.Path) -> None:
    model = models.create_model("mlp", num_classes=10, hidden_sizes=(8,), dropout=0.1)
    state = fit(tmp_path, model, ema_decay=None)
    run = train.open_run(str(tmp_path))
    variables = run.variables()
    assert run.model() == model
    assert set(variables) == {"params"}
    jax.tree.map(np.testing.assert_array_equal, variables["params"], state.params)


def test_an_earlier_step(trained) -> None:
    folder, _ = trained
    first, last, newest = (train.open_run(folder, step=step).variables() for step in (1, 3, None))
    jax.tree.map(np.testing.assert_array_equal, last, newest)
    kernels = [variables["params"]["head"]["kernel"] for variables in (first, last)]
    assert not np.array_equal(*kernels)


@pytest.mark.slow
def test_the_folder_is_enough(trained, tmp_path: pathlib.Path) -> None:
    """Moved elsewhere, in a new process that starts elsewhere."""
    folder, state = trained
    shutil.copytree(folder, tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "images.npy", IMAGES)
    code = (
        "import sys, jax, numpy as np\n"
        "from jaxvision import train\n"
        "run = train.open_run(sys.argv[1])\n"
        "model, variables = run.model(), run.variables()\n"
        "logits = jax.jit(model.apply)(variables, np.load(sys.argv[2]))\n"
        "np.savez(sys.argv[3], logits, *jax.tree.leaves(variables))\n"
    )
    arguments = [tmp_path / "moved", tmp_path / "images.npy", tmp_path / "out.npz"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    logits, *leaves = np.load(tmp_path / "out.npz").values()
    expected = train.evaluation_variables(state)
    for leaf, other in zip(leaves, jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(leaf, other)
    model = models.create_model("cifar_resnet20", num_classes=10, in_channels=1)
    np.testing.assert_allclose(logits, jax.jit(model.apply)(expected, IMAGES), atol=1e-5)


def test_damaged_checkpoints_are_passed_over(trained, tmp_path: pathlib.Path) -> None:
    folder, _ = trained
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy, 3)
    second = train.open_run(folder, step=2).variables()
    with pytest.warns(UserWarning, match="000000003 is damaged and not used"):
        variables = train.open_run(copy).variables()
    jax.tree.map(np.testing.assert_array_equal, variables, second)
    # Asked for by its step, it is not read at all: most of the damage would go unnoticed.
    message = "checkpoint .*copy.*000000003 is damaged: .* has changed since it was written"
    with pytest.raises(train.CheckpointError, match=message):
        train.open_run(copy, step=3)
    damage(copy, 2)
    damage(copy, 1)
    with (
        pytest.warns(UserWarning, match="is damaged and not used"),
        pytest.raises(train.CheckpointError, match="copy has no checkpoint that is whole"),
    ):
        train.open_run(copy)


def test_folders_that_hold_no_run(trained, tmp_path: pathlib.Path) -> None:
    folder, _ = trained
    none = "is not the folder of a run: it has no checkpoints/"
    for path, said in {
        tmp_path: f"{tmp_path} {none}$",
        tmp_path / "nowhere": f"there is no run folder {tmp_path}/nowhere$",
        folder.with_name(folder.name + "x"): f"run folder {folder}x; did you mean {folder}\\?$",
        folder / "metrics.jsonl": "metrics.jsonl is a file, and no run folder$",
        folder / "checkpoints": f"{none}; did you mean {folder}\\?$",
        folder / "checkpoints" / "000000003": f"{none}; did you mean {folder}\\?$",
        folder.parent: f"{none}; the runs in it are {folder.name}$",
    }.items():
        with pytest.raises(train.CheckpointError, match=said):
            train.open_run(path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(train.CheckpointError, match="has no checkpoint that is whole"):
        train.open_run(tmp_path)


def test_no_checkpoint_of_that_step(trained) -> None:
    with pytest.raises(train.CheckpointError, match="no checkpoint of step 7; it has 1, 2, 3"):
        train.open_run(trained[0], step=7)


STATE = train.TrainState(
    step=jnp.int32(1),
    params={"w": jnp.ones(2)},
    model_state={},
    opt_state=(),
    ema_params=None,
    key=jax.random.key(0),
)
LINEAR = {"name": "linear_classifier", "num_classes": 3}


def record(**changes) -> dict:
    empty: dict = {
        name: {} for name in ("models", "inputs", "step", "data", "settings", "versions")
    }
    return {"record": {"schema": 1, "task": None, **empty, **changes}}


@pytest.mark.parametrize(
    ("state", "extra", "message"),
    [
        (STATE, {}, "the record of the run in .* is missing: fit did not save its checkpoints"),
        (STATE, {"record": [1]}, r"the record of the run in .* must be an object, and is \[1\]"),
        (STATE, record(schema=2), r"has the schema 2, and .* reads 1: use .* \(which it does not"),
        (STATE, record(schema=None, versions={"jaxvision": "0.1"}), r"\(jaxvision 0.1\)"),
        (STATE, record(), "does not say what its model was: make the loss with a task's make_los"),
        (STATE, record(models="lenet5"), "models must be an object, and is 'lenet5'"),
        (STATE, record(models={"model": 3}), "model must be an object or null, and is 3"),
        (STATE, record(models={"model": None}), "does not say how its model was made: make it w"),
        (STATE, record(models={"modle": LINEAR}), "unknown model 'model'; did you mean 'modle'"),
        (
            STATE,
            record(models={"model": {"name": "resnet81"}}),
            "cannot be made here: unknown model 'resnet81'; did you mean 'resnet18'.*import that",
        ),
        (
            STATE,
            record(models={"model": {**LINEAR, "depth": 3}}),
            "cannot be made here: unknown linear_classifier option 'depth'",
        ),
    ],
)
def test_runs_that_say_too_little(state, extra, message: str, tmp_path: pathlib.Path) -> None:
    checkpointer = train.Checkpointer(tmp_path / "checkpoints")
    checkpointer.save(1, state, **extra)
    checkpointer.wait()
    with pytest.raises(train.CheckpointError, match=message):
        train.open_run(tmp_path).model()


def test_a_run_of_two_networks(tmp_path: pathlib.Path) -> None:
    """Each has a state of its own, of which the optimizer's is not read."""
    checkpointer = train.Checkpointer(tmp_path / "checkpoints")
    critic = STATE.replace(params={"w": jnp.zeros(3)}, ema_params={"w": jnp.ones(3)})
    extra = record(models={"generator": LINEAR, "critic": {**LINEAR, "num_classes": 1}})
    checkpointer.save(1, {"generator": STATE, "critic": critic}, **extra)
    checkpointer.wait()
    run = train.open_run(tmp_path)
    assert run.model("critic") == models.create_model("linear_classifier", num_classes=1)
    assert run.variables("critic")["params"]["w"].tolist() == [1, 1, 1]
    assert run.variables("generator")["params"]["w"].tolist() == [1, 1]
    assert run.state["critic"]["opt_state"] is None
    assert "models generator, critic" in repr(run)
    message = "keeps no state of a model called model, but critic, generator: read it from"
    with pytest.raises(train.CheckpointError, match=message):
        run.variables()


def test_steps_that_are_none(trained) -> None:
    with pytest.raises(train.CheckpointError, match="keeps no best state: give fit keep_best="):
        train.open_run(trained[0], step="best")
    with pytest.raises(train.CheckpointError, match="must be a number, 'best' or None, got 'last'"):
        train.open_run(trained[0], step="last")


def test_a_run_on_volumes_has_no_preprocessing(tmp_path: pathlib.Path) -> None:
    def saved(image_shape: list[int] | None) -> train.SavedRun:
        described = {"image_shape": image_shape}
        record = RunRecord(None, {}, {}, {}, described, {}, {})
        return train.SavedRun(tmp_path, 1, record, {})

    assert saved([32, 32, 32, 1]).preprocessing is None
    assert saved(None).preprocessing is None
    assert saved([32, 48, 1]).preprocessing.size == (32, 48)
