"""What a run keeps of itself, changed in every place: a named error, or the run goes on right."""

import copy
import json
import pathlib
import resource
import shutil
import signal

import jax
import numpy as np
import pytest

from jaxvision import data, models, train

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


NAMED = (train.CheckpointError, train.SettingsError, ValueError)


some_or_all = pytest.mark.parametrize(
    "every", [pytest.param(7, id="some"), pytest.param(1, id="all", marks=pytest.mark.release)]
)


@some_or_all
def test_what_a_checkpoint_says_of_its_run(run, kept, every: int) -> None:
    """Restoring gives a model, or a `CheckpointError`; nothing raw whatever is written there."""
    content, change = kept
    paths = [path for path in places(content) if path[:1] == ("settings",)]
    assert len(paths) > 40
    refused = 0
    for index, path in enumerate(paths):
        for value in ODD[index % every :: every]:
            change(changed(content, path, value))
            try:
                train.classification.restore(run)
            except train.CheckpointError:
                refused += 1
    assert refused > len(paths) / 2


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("settings",), 3, "must be an object, and is 3"),
        (("settings", "data"), [1], r"data must be an object, and is \[1\]"),
        (("settings", "step", "mean"), ["x"], "step.mean must be a list of numbers, and is"),
        (("settings", "step", "model"), 7, "step.model must be an object, and is 7"),
        (("settings", "data", "image_shape"), [2, 2], "data.image_shape must be three whole num"),
        (("settings", "data", "class_names"), [1], "data.class_names must be a list of names"),
        (("settings", "data", "preprocessing"), {"size": 0}, "its preprocessing cannot be used"),
    ],
)
def test_the_field_is_named(run, kept, path, value, message: str) -> None:
    content, change = kept
    change(changed(content, path, value))
    with pytest.raises(train.CheckpointError, match=message):
        train.classification.restore(run)


@some_or_all
def test_going_on_from_what_a_checkpoint_says(run, kept, every: int, tmp_path) -> None:
    """A named error; or nothing that matters was changed, and the numbers are the same."""
    content, change = kept
    whole = fit(tmp_path / "whole", 4)
    expected = np.asarray(whole.state.params["head"]["kernel"])
    paths = [path for path in places(content) if path and path[:2] != ("settings", "versions")]
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
