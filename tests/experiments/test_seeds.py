"""What experiments over seeds sum up."""

import dataclasses
import importlib
import json
import pathlib
import time

import pytest
from scripts import EXPERIMENTS, modules_of_scripts


def test_commands_that_share_a_folder_keep_how_long_each_seed_took(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    with modules_of_scripts():
        over_seeds = importlib.import_module("common.seeds").over_seeds

        def slow(seed: int) -> dict[str, float]:
            time.sleep(0.02)
            return {"accuracy": seed / 10}

        over_seeds([3], slow, tmp_path)
        summary = over_seeds([1, 3], lambda seed: {"accuracy": seed / 10}, tmp_path)
    assert summary.seeds == (1, 3)
    assert summary.scores == {"accuracy": [0.1, 0.3]}
    assert summary.seconds[1] >= 0.02
    assert summary.mean("accuracy") == pytest.approx(0.2)
    low, high = summary.interval("accuracy")
    assert low < 0.2 < high


@dataclasses.dataclass(frozen=True)
class Run:
    run_dir: str
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Settings:
    run: Run
    seeds: tuple[int, ...] = (4, 7)


def test_what_is_compared_has_a_folder_each_and_one_per_seed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    told = []

    def train_one(name: str, settings: Settings) -> dict[str, float]:
        told.append((name, settings.run.seed, settings.run.run_dir))
        return {"accuracy": settings.run.seed / 10}

    with modules_of_scripts():
        each_over_seeds = importlib.import_module("common.seeds").each_over_seeds
        summaries = each_over_seeds(("a", "b"), Settings(Run(str(tmp_path))), train_one)
    assert told == [
        (name, seed, str(tmp_path / name / f"seed{seed}")) for name in "ab" for seed in (4, 7)
    ]
    assert {name: each.scores["accuracy"] for name, each in summaries.items()} == {
        "a": [0.4, 0.7],
        "b": [0.4, 0.7],
    }
    kept = json.loads((tmp_path / "b" / "summary.json").read_text())
    assert kept["scores"]["accuracy"]["mean"] == pytest.approx(0.55)
    assert kept["settings"]["seeds"] == [4, 7]
