"""Metrics that survive being cut off."""

import json
import math
import pathlib

import pytest
from tensorboardX.proto import event_pb2

from jaxvision.train.run.log import MetricsLog, read_metrics


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
