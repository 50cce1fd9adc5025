"""What a run keeps of itself, changed in every place: a named error, or the run goes on right."""

import copy
import dataclasses
import json
import pathlib
import resource
import shutil
import signal

import jax
import numpy as np
import pytest
import small_net

from jaxvision import data, models, train
from jaxvision.train.run.record import check_settings, make_record, read_record

ODD = (None, True, -1, 0, 3, 1.5, 10**30, "x", "", [], [1], [None], {}, {"a": 1}, [[[]]])
IMAGES = np.arange(16 * 4, dtype=np.uint8).reshape(16, 2, 2, 1)


def dataset() -> data.Dataset:
    return data.from_arrays({"image": IMAGES, "label": np.arange(16) % 3})


def fit(run_dir: pathlib.Path, num_steps: int) -> train.FitResult:
    model = models.create_model("linear_classifier", num_classes=3)
    optimizer = train.create_optimizer("sgd", 0.1)
    state = train.init_state(jax.random.key(0), model, optimizer, dataset().sample_batch())
    step = train.make_train_step(train.classification.make_loss_fn(model), optimizer)
    return train.fit(
        step, state, dataset().batches(8), num_steps=num_steps, run_dir=run_dir, progress=False,
        settings={"rate": 0.1, "names": ["a"]}, log_every=2, fuse_steps=1, checkpoint_every=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("run")
    fit(folder, 3)
    return folder


@pytest.fixture
def kept(run, monkeypatch):
    """What the run's checkpoint says; a test may change what is read of it."""
    checkpointer = train.Checkpointer(run / "checkpoints")
    content = checkpointer.extra(3)

    def change(changed) -> None:
        monkeypatch.setattr(train.Checkpointer, "extra", lambda self, step: copy.deepcopy(changed))

    return content, change


def places(content, path=()):
    """The paths of all values in nested dicts and lists."""
    yield path
    items = content.items() if isinstance(content, dict) else ()
    items = enumerate(content) if isinstance(content, list) else items
    for name, value in items:
        yield from places(value, (*path, name))


def changed(content, path, value):
    if not path:
        return value
    content = copy.copy(content)
    content[path[0]] = changed(content[path[0]], path[1:], value)
    return content


@dataclasses.dataclass(frozen=True)
class Optimizer:
    rate: float = 0.1


@dataclasses.dataclass(frozen=True)
class Settings:
    seed: int = 0
    path: pathlib.Path = pathlib.Path("a/b")
    sizes: tuple[int, ...] = (1, 2)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)


class Described:
    def describe(self) -> dict:
        return {"ema_decay": 0.9}


class Adversaries:
    """A step of two networks, one of which nobody can make again."""

    def describe(self) -> dict:
        known = models.create_model("linear_classifier", num_classes=3)
        return {
            "task": "adversaries",
            "models": {"generator": small_net.SmallNet(), "critic": known},
            "inputs": train.Inputs((0.5,), (0.25,)),
            "rate": 2,
        }


FOLDER = pathlib.Path("runs/x")


def test_settings_become_json() -> None:
    record = make_record(Settings(), Described())
    assert record.settings == {
        "seed": 0,
        "path": "a/b",
        "sizes": [1, 2],
        "optimizer": {"rate": 0.1},
    }
    assert record.step == {"ema_decay": 0.9}
    assert record.versions["jax"]
    assert read_record(json.loads(json.dumps(record.to_json())), "here") == record
    assert make_record({"x": np.float32(0.5), "y": np.arange(2)}, None).settings == {
        "x": 0.5,
        "y": [0, 1],
    }


def test_settings_that_are_no_json() -> None:
    with pytest.raises(TypeError, match="numbers, strings, lists and dicts"):
        make_record({"f": test_settings_become_json}, None)


def test_equal_settings_pass_whatever_the_versions() -> None:
    saved = make_record(Settings(), Described())
    saved = dataclasses.replace(saved, versions={**saved.versions, "jax": "0.1"})
    check_settings(saved, make_record(Settings(), Described()), FOLDER)


def test_differences_are_shown() -> None:
    saved = make_record(Settings(), Described())
    saved = dataclasses.replace(saved, settings={**saved.settings, "gone": 3})
    now = make_record(Settings(seed=1, optimizer=Optimizer(0.2)), None)
    with pytest.raises(train.SettingsError) as caught:
        check_settings(saved, now, FOLDER)
    assert str(caught.value).splitlines() == [
        "runs/x holds a run with other settings:",
        "  gone: 3 in the checkpoint, '(absent)' now",
        "  optimizer.rate: 0.1 in the checkpoint, 0.2 now",
        "  seed: 0 in the checkpoint, 1 now",
        "  ema_decay: 0.9 in the checkpoint, '(absent)' now",
        "Repeat its settings to continue it, or choose another run folder.",
    ]


def test_settings_that_may_differ() -> None:
    saved, now = make_record(Settings(), None), make_record(Settings(seed=1), None)
    check_settings(saved, now, FOLDER, may_differ=("seed",))
    with pytest.raises(train.SettingsError):
        check_settings(saved, now, FOLDER, may_differ=("path",))


def test_a_step_names_its_task_its_models_and_its_inputs() -> None:
    record = make_record(None, Adversaries())
    assert record.task == "adversaries"
    assert record.models["generator"] is None
    assert record.models["critic"]["name"] == "linear_classifier"
    assert record.inputs == {"mean": [0.5], "std": [0.25]}
    assert record.step == {"rate": 2}
    other = dataclasses.replace(record, models={}, task="another")
    with pytest.raises(train.SettingsError) as caught:
        check_settings(record, other, FOLDER)
    lines = str(caught.value).splitlines()
    assert "  critic.num_classes: 3 in the checkpoint, '(absent)' now" in lines
    assert "  task: 'adversaries' in the checkpoint, 'another' now" in lines


NAMED = (train.CheckpointError, train.SettingsError, ValueError)


some_or_all = pytest.mark.parametrize(
    "every", [pytest.param(7, id="some"), pytest.param(1, id="all", marks=pytest.mark.release)]
)


@some_or_all
def test_what_a_checkpoint_says_of_its_run(run, kept, every: int) -> None:
    """Restoring gives a model, or a `CheckpointError`; nothing raw whatever is written there."""
    content, change = kept
    paths = [path for path in places(content) if path[:1] == ("record",)]
    assert len(paths) > 40
    refused = 0
    for index, path in enumerate(paths):
        for value in ODD[index % every :: every]:
            change(changed(content, path, value))
            try:
                train.restore(run)
            except train.CheckpointError:
                refused += 1
    assert refused > len(paths) / 2


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("record",), 3, "must be an object, and is 3"),
        (("record", "schema"), 0, "has the schema 0, and this version of jaxvision reads 1"),
        (("record", "data"), [1], r"data must be an object, and is \[1\]"),
        (("record", "inputs", "mean"), ["x"], "mean must be a list of numbers, and is"),
        (("record", "models", "model"), 7, "model must be an object or null, and is 7"),
        (
            ("record", "task"),
            "clasification",
            "is of an unknown task 'clasification'; did you mean",
        ),
        (("record", "task"), None, "names no task: give the step or its loss a method describe"),
        (("record", "data", "image_shape"), [2, 2], "image_shape must be three whole numbers"),
        (("record", "data", "fields", "label", "names"), [1], "names must be a list of names"),
        (("record", "data", "fields"), 1, "data.fields must be an object, and is 1"),
        (("record", "data", "preprocessing"), {"size": 0}, "its preprocessing cannot be used"),
        (("record", "best"), {"metric": 1}, "best must be null, or a metric and what is better"),
    ],
)
def test_the_field_is_named(run, kept, path, value, message: str) -> None:
    content, change = kept
    change(changed(content, path, value))
    with pytest.raises(train.CheckpointError, match=message):
        train.restore(run)


@some_or_all
def test_going_on_from_what_a_checkpoint_says(run, kept, every: int, tmp_path) -> None:
    """A named error; or nothing that matters was changed, and the numbers are the same."""
    content, change = kept
    whole = fit(tmp_path / "whole", 4)
    expected = np.asarray(whole.state.params["head"]["kernel"])
    paths = [path for path in places(content) if path and path[:2] != ("record", "versions")]
    refused = 0
    for index, path in enumerate(paths[::every]):
        change(changed(content, path, ODD[index % len(ODD)]))
        folder = tmp_path / str(index)
        shutil.copytree(run, folder)
        try:
            result = fit(folder, 4)
        except NAMED:
            refused += 1
            continue
        np.testing.assert_array_equal(result.state.params["head"]["kernel"], expected)
    assert refused > len(paths) / every / 3


def test_settings_json_is_written_anew(run, tmp_path) -> None:
    """The checkpoint says what the run was; the file is for people."""
    for number, text in enumerate(["", "[]", "{", "\\xff", "null"]):
        folder = tmp_path / str(number)
        shutil.copytree(run, folder)
        (folder / "settings.json").write_text(text)
        fit(folder, 4)
        assert json.loads((folder / "settings.json").read_text())["settings"]["rate"] == 0.1


@pytest.mark.parametrize("step", [0, 2, 4])
def test_a_position_in_the_data_of_another_step(run, kept, step: int, tmp_path) -> None:
    content, change = kept
    change(changed(content, ("data", "step"), step))
    shutil.copytree(run, tmp_path / "run")
    with pytest.raises(train.CheckpointError, match=f"position in the data is that of step {step}"):
        fit(tmp_path / "run", 4)


def test_checkpoints_that_are_elsewhere(run, tmp_path) -> None:
    """The run begins anew, says so, and keeps what was measured before."""
    shutil.copytree(run, tmp_path / "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    for path in sorted((tmp_path / "run" / "checkpoints").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.warns(
        UserWarning, match=r"begins at step 0, and they are kept in metrics\.before-1"
    ):
        fit(tmp_path / "run", 4)
    assert (tmp_path / "run" / "metrics.before-1.jsonl").read_text() == before
    assert [line["step"] for line in train.read_metrics(tmp_path / "run")] == [2, 4]


def test_a_disk_that_is_full_from_the_start(tmp_path) -> None:
    """A limit on file sizes fails a write in the same place as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(train.RunFolderError, match=r"File too large; free some space or choos"):
            train.fit(lambda state, batch: (state, {}), np.zeros(1), [np.ones(8)], run_dir=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("url", ["gs://bucket/run", "s3://bucket/run"])
def test_a_bucket_as_a_path_is_no_folder(url: str, tmp_path, monkeypatch) -> None:
    """`Path` makes one slash of two."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(train.RunFolderError, match="must lie in a file system: mount the bucket"):
        fit(pathlib.Path(url), 3)
    assert not any(tmp_path.iterdir())
