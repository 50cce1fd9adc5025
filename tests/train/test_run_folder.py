"""Settings that are compared, metrics that survive being cut off."""

import dataclasses
import json
import math
import pathlib

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from jaxvision.train.run_folder import (
    MetricsLog,
    SettingsError,
    check_settings,
    read_metrics,
    run_settings,
)


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


FOLDER = pathlib.Path("runs/x")


def test_settings_become_json() -> None:
    content = run_settings(Settings(), Described())
    assert content["settings"] == {
        "seed": 0,
        "path": "a/b",
        "sizes": [1, 2],
        "optimizer": {"rate": 0.1},
    }
    assert content["step"] == {"ema_decay": 0.9}
    assert content["versions"]["jax"]
    assert json.loads(json.dumps(content)) == content
    assert run_settings({"x": np.float32(0.5), "y": np.arange(2)}, None)["settings"] == {
        "x": 0.5,
        "y": [0, 1],
    }


def test_settings_that_are_no_json() -> None:
    with pytest.raises(TypeError, match="numbers, strings, lists and dicts"):
        run_settings({"f": test_settings_become_json}, None)


def test_equal_settings_pass_whatever_the_versions() -> None:
    saved = run_settings(Settings(), Described())
    saved["versions"]["jax"] = "0.1"
    check_settings(saved, run_settings(Settings(), Described()), FOLDER)


def test_differences_are_shown() -> None:
    saved = run_settings(Settings(), Described())
    saved["settings"]["gone"] = 3
    now = run_settings(Settings(seed=1, optimizer=Optimizer(0.2)), None)
    with pytest.raises(SettingsError) as caught:
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
    saved, now = run_settings(Settings(), None), run_settings(Settings(seed=1), None)
    check_settings(saved, now, FOLDER, may_differ=("seed",))
    with pytest.raises(SettingsError):
        check_settings(saved, now, FOLDER, may_differ=("path",))


def events(folder: pathlib.Path) -> list[tuple[int, str, float]]:
    """Reads TensorBoard's files: length, checksum, record, checksum."""
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            length = int.from_bytes(content[at : at + 8], "little")
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            at += 16 + length
    return found


def test_log_is_json_lines_and_tensorboard(tmp_path: pathlib.Path) -> None:
    log = MetricsLog(tmp_path, step=0)
    log.write(10, "train", {"loss": 0.5, "accuracy": 0.25})
    log.write(10, "test", {"loss": 0.75})
    log.close()
    assert read_metrics(tmp_path) == [
        {"step": 10, "split": "train", "loss": 0.5, "accuracy": 0.25},
        {"step": 10, "split": "test", "loss": 0.75},
    ]
    assert events(tmp_path) == [
        (10, "train/loss", 0.5),
        (10, "train/accuracy", 0.25),
        (10, "test/loss", 0.75),
    ]


def test_log_goes_on_from_a_step(tmp_path: pathlib.Path) -> None:
    """Lines after the checkpoint, and one that was cut short, are forgotten."""
    log = MetricsLog(tmp_path, step=0)
    for step in (10, 20, 30):
        log.write(step, "train", {"loss": float(step)})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "spl')
    kept = [line for line in read_metrics(tmp_path) if line["step"] <= 20]
    log = MetricsLog(tmp_path, step=20, kept=kept)
    log.write(30, "train", {"loss": -1.0})
    log.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [
        (10, 10.0),
        (20, 20.0),
        (30, -1.0),
    ]


def test_a_number_that_is_not_finite_is_null(tmp_path: pathlib.Path) -> None:
    """JSON has no NaN; most readers stop there."""
    log = MetricsLog(tmp_path, step=0)
    log.write(10, "test", {"return": math.nan, "loss": 1.0})
    log.close()
    assert '"return": null, "loss": 1.0}' in (tmp_path / "metrics.jsonl").read_text()
    (line,) = read_metrics(tmp_path)
    assert math.isnan(line["return"])


def test_no_metrics(tmp_path: pathlib.Path) -> None:
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    "damage",
    [
        b'{"step": 20, "spl',
        b"[1, 2]",
        b"null",
        b"3",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"split": "train", "loss": 1.0}',
        b'{"step": "20", "split": "train"}',
        b'{"step": 20, "split": "train", "loss": [1.0]}',
        b'{"step": 20, "split": "train", "loss": true}',
    ],
    ids=lambda damage: damage[:40].decode(errors="replace"),
)
def test_a_damaged_line_costs_no_other(damage: bytes, tmp_path: pathlib.Path) -> None:
    good = [json.dumps({"step": step, "split": "train"}).encode() for step in (10, 30)]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([good[0], damage, good[1], b""]))
    with pytest.warns(UserWarning, match="1 of its 3 lines are left out, the first in line 2"):
        assert [line["step"] for line in read_metrics(tmp_path)] == [10, 30]
    # The last line may be one that a kill has cut short: that is no damage.
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([*good, damage]))
    assert [line["step"] for line in read_metrics(tmp_path)] == [10, 30]
