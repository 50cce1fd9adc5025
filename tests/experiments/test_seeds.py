"""What experiments over seeds sum up."""

import importlib
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
